"""The FAISS index over a source's rows: exact while that is affordable, cells of a k-means (IVF) beyond.

Vectors are unit rows, so the inner product FAISS searches by is the cosine. Near duplicates are worth knowing: they
cost budget twice, and across a split they leak. FAISS only proposes them; their cosines are taken again in float64 and
rounded to what float32 vectors can tell, so that equal rows have cosine 1 and no cosine depends on how a search was
batched or threaded.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError, StoreError
from smart_assets.core.files import written
from smart_assets.core.progress import Log, Progress
from smart_assets.embedding.settings import Index
from smart_assets.embedding.windows import DECIMALS, PromptVectors

if TYPE_CHECKING:
    import faiss

IndexKind = Literal["flat", "ivf"]
"""`flat` compares with every row and is exact; `ivf` looks into the nearest cells only and may miss neighbours."""

_ROWS_A_CELL = 39  # fewer make k-means centres of noise; FAISS warns below this
_TRAINING_ROWS_A_CELL = 64
_CELLS_SEARCHED = 32
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class DocumentPairs:
    """Pairs of rows near as a whole that are not so in their last windows, in the order of `NearDuplicatePairs`."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float64]
    last_cosine: NDArray[np.float64]
    """(p,) of the last windows; NaN where one of them was not read."""


@dataclass(frozen=True, slots=True)
class NearDuplicatePairs:
    """Near-duplicate pairs of rows, most alike first, then by row; and how alike each row's nearest other row is."""

    first: NDArray[np.int64]
    """(p,) the lower row of each pair."""
    second: NDArray[np.int64]
    """(p,) the higher row."""
    cosine: NDArray[np.float64]
    """(p,) falling, in [threshold, 1], to 6 decimals."""
    nearest: NDArray[np.float64]
    """(n,) cosine of each row with the nearest other row found; NaN where none was."""
    saturated: int
    """Rows whose every neighbour looked at was a near duplicate: these may have more pairs than are listed."""
    kind: IndexKind
    """Kind of the index searched."""
    documents: DocumentPairs
    """Pairs that are no near duplicates: prompts of one document, that ask something else at its end."""

    @property
    def exact(self) -> bool:
        """Whether every pair at or above the threshold is listed."""
        return self.kind == "flat" and self.saturated == 0


def build_index(vectors: NDArray[np.float32], settings: Index, device: str) -> "faiss.Index":
    """Return an index over `vectors` (n, d), unit rows; on the GPU where `device` is one and FAISS can use it.

    The same vectors and settings give the same index on the CPU, whatever its threads.

    Raises:
        EmbeddingError: `vectors` are not n > 0 finite rows.
    """
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise EmbeddingError(f"an index needs finite vectors (n, d) with n, d > 0; got shape {vectors.shape}")
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    index = _to_device(_empty_index(len(rows), rows.shape[1], settings), device)
    if not index.is_trained:
        index.train(rows)
    index.add(rows)
    return index


def index_kind(index: "faiss.Index") -> IndexKind:
    """Return what kind of index this is."""
    return "ivf" if hasattr(index, "nprobe") else "flat"


def write_index(index: "faiss.Index", path: Path) -> None:
    """Write `index` to `path`, beside it first and then renamed; an index on the GPU is written as one for the CPU.

    Raises:
        StoreError: the file cannot be written.
    """
    import faiss

    gpu: Any = faiss  # FAISS for the CPU declares none of these names
    on_gpu = hasattr(gpu, "GpuIndex") and isinstance(index, gpu.GpuIndex)
    try:
        with written(path) as draft:
            faiss.write_index(gpu.index_gpu_to_cpu(index) if on_gpu else index, str(draft))
    except (OSError, RuntimeError) as error:
        raise StoreError(f"cannot write the similarity index {str(path)!r}: {error}; check its disk") from error


def read_index(path: Path) -> "faiss.Index":
    """Read an index that `write_index` wrote.

    Raises:
        StoreError: the file is not there or is not a whole index.
    """
    import faiss

    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise StoreError(
            f"{str(path)!r} is not a whole similarity index: {str(error)[:300]!r}; materialize similarity_index again"
        ) from error


def nearest_rows(index: "faiss.Index", vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the rows nearest to each of `vectors` (m, d), nearest first (m, count); -1 where there are fewer."""
    starts = range(0, len(vectors), _BATCH)
    rows = [index.search(np.ascontiguousarray(vectors[start : start + _BATCH]), count)[1] for start in starts]
    return np.concatenate(rows) if rows else np.empty((0, count), np.int64)


def near_duplicates(index: "faiss.Index", prompts: PromptVectors, settings: Index, log: Log) -> NearDuplicatePairs:
    """Find the pairs of rows with a cosine of at least `settings.near_duplicate`.

    A pair is found when one of its rows is among the `settings.neighbours` nearest others of the other one. Where a
    prompt has several windows, the cosine of the last ones has to be as large, too.

    Args:
        index: the index that was built over the vectors of whole prompts.
        prompts: n of them.
        settings: threshold and number of neighbours.
        log: takes progress lines.

    Raises:
        EmbeddingError: the index does not hold `vectors`.
    """
    vectors = prompts.whole
    if vectors.ndim != 2 or (index.ntotal, index.d) != vectors.shape:
        raise EmbeddingError(
            f"the similarity index holds ({index.ntotal}, {index.d}) vectors, but {vectors.shape} are given; "
            "build it again from these vectors"
        )
    progress = Progress("searching near duplicates", log)
    nearest = np.full(len(vectors), np.nan)
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    saturated = 0
    for start in range(0, len(vectors), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(vectors)))
        others, cosines = _neighbours(index, vectors, rows, settings.neighbours)
        nearest[rows] = np.where(np.isfinite(cosines[:, 0]), cosines.max(axis=1), np.nan)
        alike = cosines >= settings.near_duplicate
        saturated += int((alike.sum(axis=1) == settings.neighbours).sum())
        row_of_pair = rows[np.nonzero(alike)[0]]
        pairs.append((np.minimum(row_of_pair, others[alike]), np.maximum(row_of_pair, others[alike]), cosines[alike]))
        progress.at(int(rows[-1]) + 1, (int(rows[-1]) + 1) / len(vectors))
    first, second, cosine = (np.concatenate(column) for column in zip(*pairs, strict=True))
    _, unique = np.unique(first * len(vectors) + second, return_index=True)
    order = unique[np.lexsort((second[unique], first[unique], -cosine[unique]))]
    first, second, cosine = first[order], second[order], cosine[order]
    same = prompts.same_ends(first, prompts, second, settings.near_duplicate)
    others = first[~same], second[~same]
    documents = DocumentPairs(*others, cosine[~same], prompts.end_cosines(others[0], prompts, others[1]))
    return NearDuplicatePairs(first[same], second[same], cosine[same], nearest, saturated, index_kind(index), documents)


def _empty_index(rows: int, width: int, settings: Index) -> "faiss.Index":
    import faiss

    flat = faiss.IndexFlatIP(width)
    if rows < settings.exact_below:
        return flat
    cells = max(1, min(round(4 * math.sqrt(rows)), rows // _ROWS_A_CELL))
    index: Any = faiss.IndexIVFFlat(flat, width, cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = min(cells, _CELLS_SEARCHED)
    index.cp.seed = settings.seed
    index.cp.spherical = True  # centres are directions too
    index.cp.max_points_per_centroid = _TRAINING_ROWS_A_CELL
    return index


def _to_device(index: "faiss.Index", device: str) -> "faiss.Index":
    import faiss

    if not device.startswith("cuda") or faiss.get_num_gpus() == 0:
        return index
    gpu: Any = faiss
    number = int(device.partition(":")[2] or 0)
    return gpu.index_cpu_to_gpu(gpu.StandardGpuResources(), number, index)


def _neighbours(
    index: "faiss.Index", vectors: NDArray[np.float32], rows: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the `count` nearest other rows of each of `rows` (b,) and their cosines, both (b, count).

    Where fewer were found, the rest has cosine -inf.
    """
    queries = np.ascontiguousarray(vectors[rows])
    # One more than wanted, since a row finds itself; but among many equal rows it may not, so it is looked for.
    _, nearest = index.search(queries, count + 1)
    absent = (nearest == rows[:, None]) | (nearest < 0)
    order = np.argsort(absent, axis=1, kind="stable")[:, :count]
    others = np.take_along_axis(nearest, order, axis=1)
    cosines = np.einsum("bd,bkd->bk", queries, vectors[others], dtype=np.float64)
    cosines[np.take_along_axis(absent, order, axis=1)] = -np.inf
    return others, np.round(cosines, DECIMALS)
