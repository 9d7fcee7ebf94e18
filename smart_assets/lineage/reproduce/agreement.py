"""How far rows read again, and vectors embedded again, agree with the stored ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.tasks.changes import COLUMNS, changes_between, in_words

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
    tables = [pq.read_table(folder / "instances.parquet", columns=[*COLUMNS, "split"]) for folder in (stored, read)]
    changes = changes_between(*tables)
    old, new = (dict(zip(one["id"].to_pylist(), one["split"].to_pylist(), strict=True)) for one in tables)
    moved = sum(new.get(row, side) != side for row, side in old.items())
    return RowAgreement(
        source,
        stored=tables[0].num_rows,
        read=tables[1].num_rows,
        only_stored=changes.removed.num_rows,
        only_read=changes.added.num_rows,
        other_side=moved,
        words=in_words(changes),
    )


def vectors_agree(source: str, stored: Path, embedded: Path) -> VectorAgreement:
    """Compare two artifacts of `prompt_embeddings`, prompt by prompt.

    Vectors of another width agree in nothing: each distance is then 1.
    """
    places = [_places(folder) for folder in (stored, embedded)]
    common = sorted(places[0].keys() & places[1].keys())
    vectors = [np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False) for folder in (stored, embedded)]
    if vectors[0].shape[1] != vectors[1].shape[1]:
        return VectorAgreement(source, len(common), len(common), 1.0, 1.0)
    distances = np.concatenate(
        [
            np.zeros(0),
            *(
                _distances(*(own[[place[one] for one in part]] for own, place in zip(vectors, places, strict=True)))
                for part in (common[at : at + _ROWS_AT_ONCE] for at in range(0, len(common), _ROWS_AT_ONCE))
            ),
        ]
    )
    differing = ~np.isnan(distances)
    apart = np.where(differing, distances, 0.0)
    if not len(apart):
        return VectorAgreement(source, 0, 0, 0.0, 0.0)
    return VectorAgreement(source, len(common), int(differing.sum()), float(apart.max()), float(apart.mean()))


def _places(folder: Path) -> dict[str, int]:
    """Where each prompt stands first."""
    hashes: pa.ChunkedArray = pq.read_table(folder / "rows.parquet", columns=["prompt_hash"])["prompt_hash"]
    found: dict[str, int] = {}
    for place, prompt in enumerate(hashes.to_pylist()):
        found.setdefault(prompt, place)
    return found


def _distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - cosine (n,) of vectors (n, d); NaN where they are equal to the bit."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.einsum("ij,ij->i", first, second) / lengths
    return np.where((one == other).all(axis=1), np.nan, np.maximum(1 - cosines, 0))
