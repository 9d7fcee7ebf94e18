"""How far rows read again, and vectors embedded again, agree with the stored ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.tasks.changes import COLUMNS, changes_between, in_words
from smart_assets.tasks.read_result import INSTANCES_FILE

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class RowAgreement:
    """A source's rows as they are stored, and as its files give them now."""

    source: str
    stored: int
    read: int
    only_stored: int
    only_read: int
    other_side: int  # rows that stand on the other side of the split
    words: tuple[str, ...]  # what changed, by task

    @property
    def identical(self) -> bool:
        """Whether each row is in both, on the same side."""
        return not (self.only_stored or self.only_read or self.other_side)


@dataclass(frozen=True, slots=True)
class VectorAgreement:
    """A source's stored vectors and those embedded again, over the prompts that both have."""

    source: str
    prompts: int
    differing: int  # whose vectors are not equal to the bit
    max_distance: float  # 1 - cosine, in [0, 2]
    mean_distance: float  # over all prompts


def rows_agree(source: str, stored: Path, read: Path) -> RowAgreement:
    """Compare two artifacts of `raw_tasks`."""
    tables = [pq.read_table(folder / INSTANCES_FILE, columns=[*COLUMNS, "split"]) for folder in (stored, read)]
    changes = changes_between(*tables)
    old, new = tables
    sides = new["split"].take(pc.index_in(old["id"], value_set=new["id"].combine_chunks()))  # null where it is gone
    moved = pc.sum(pc.not_equal(sides, old["split"])).as_py() or 0
    return RowAgreement(
        source,
        stored=old.num_rows,
        read=new.num_rows,
        only_stored=changes.removed.num_rows,
        only_read=changes.added.num_rows,
        other_side=moved,
        words=in_words(changes),
    )


def vectors_agree(source: str, stored: Path, embedded: Path) -> VectorAgreement:
    """Compare two artifacts of `prompt_embeddings`, prompt by prompt.

    Vectors of another width agree in nothing: each distance is then 1.
    """
    folders = (stored, embedded)
    places = _places(*(_prompt_hashes(folder) for folder in folders))
    prompts = len(places)
    vectors = [np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    if vectors[0].shape[1] != vectors[1].shape[1]:
        return VectorAgreement(source, prompts, prompts, 1.0, 1.0)
    distances, differ = np.zeros(prompts), np.zeros(prompts, bool)
    for start in range(0, prompts, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        old, new = vectors[0][places[part, 0]], vectors[1][places[part, 1]]
        differ[part] = (old != new).any(axis=1)
        distances[part] = np.where(differ[part], _distances(old, new), 0)
    if not prompts:
        return VectorAgreement(source, 0, 0, 0.0, 0.0)
    return VectorAgreement(source, prompts, int(differ.sum()), float(distances.max()), float(distances.mean()))


def _prompt_hashes(folder: Path) -> pa.Array:
    return pq.read_table(folder / "rows.parquet", columns=["prompt_hash"])["prompt_hash"].combine_chunks()


def _places(stored: pa.Array, embedded: pa.Array) -> NDArray[np.int64]:
    """Return where each prompt that is in both stands first in each (n, 2)."""
    prompts = pc.unique(stored)
    in_embedded = pc.index_in(prompts, value_set=embedded)
    both = pc.is_valid(in_embedded)
    in_stored = pc.index_in(prompts, value_set=stored)
    return np.stack([places.filter(both).to_numpy().astype(np.int64) for places in (in_stored, in_embedded)], axis=1)


def _distances(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 - cosine (n,) of vectors (n, d); 1 beside one without a direction."""
    first, second = vectors.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("ij,ij->i", first, second)
    cosines = np.divide(products, lengths, out=np.zeros(len(vectors)), where=np.isfinite(lengths) & (lengths > 0))
    return np.maximum(1 - cosines, 0)
