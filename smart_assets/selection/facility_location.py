"""Facility location, the paper's f2: every row is represented by the picked row that is most like it.

It starts from 0, as submodlib's does: a negative similarity never covers.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import row_blocks
from smart_assets.selection.objective import (
    GAIN_STEP,
    Gains,
    GpuUse,
    Indices,
    Limits,
    Marginal,
    OnProgress,
    Picks,
    SubmodularObjective,
    Vectors,
)

if TYPE_CHECKING:
    from smart_assets.core.threads import Threads
    from smart_assets.selection.engines.ground_set import GroundSet
    from smart_assets.selection.engines.products import Products

_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class FacilityLocation(SubmodularObjective):
    """Representation: f(S) = sum_i max(0, max_{j in S} s_ij) (the paper's f2, stage 2)."""

    gpu: ClassVar[GpuUse] = "auto"
    compares_all_pairs: ClassVar[bool] = True

    name: Literal["facility_location"] = "facility_location"

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective."""
        return self.name

    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S) in [0, n] for unit `vectors` (n, d) and a subset (k,)."""
        return float(self._cover(vectors, subset).sum())

    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S) >= 0 for every j (n,); 0 for the elements of `subset` (k,)."""
        cover = self._cover(vectors, subset)
        gains = np.empty(len(vectors))
        for block in row_blocks(len(vectors), _step(vectors)):
            gains[block] = np.maximum(vectors[block] @ vectors.T - cover, 0).sum(axis=1)
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""
        cover = np.zeros(len(vectors))
        gains = np.empty(len(order))
        for block in row_blocks(len(order), _step(vectors)):
            similarities = vectors[order[block]] @ vectors.T
            covers = np.maximum.accumulate(np.vstack([cover, similarities]), axis=0)
            gains[block] = np.maximum(similarities - covers[:-1], 0).sum(axis=1)
            cover = covers[-1]
        return gains

    def picks(
        self, ground: "GroundSet", products: "Products", count: int, limits: Limits, on_progress: OnProgress
    ) -> Picks:
        """See `engines.facility_location`."""
        from smart_assets.selection.engines.facility_location import facility_location_picks

        return facility_location_picks(ground, products, count, limits.memory_bytes, on_progress)

    def marginal(self, ground: "GroundSet", shared: "Threads") -> Marginal:
        """See `FacilityLocationMarginal`."""
        return FacilityLocationMarginal(ground, shared)

    def submodlib_function(self, kernel: NDArray[np.float32]) -> Any:
        """Return submodlib's function of the same name."""
        from submodlib import FacilityLocationFunction

        return FacilityLocationFunction(n=len(kernel), mode="dense", separate_rep=False, sijs=kernel)

    @staticmethod
    def _cover(vectors: Vectors, subset: Indices) -> NDArray[np.float64]:
        """max(0, max_{j in S} s_ij) for every row i (n,)."""
        cover = np.zeros(len(vectors))
        for block in row_blocks(len(subset), _step(vectors)):
            np.maximum(cover, (vectors[subset[block]] @ vectors.T).max(axis=0), out=cover)
        return cover


def _step(vectors: Vectors) -> int:
    """Rows whose similarities with all `vectors` are held at a time."""
    return max(1, _BLOCK_BYTES // (8 * len(vectors)))


class FacilityLocationMarginal:
    """O(n d) a gain: every row is compared with every candidate."""

    def __init__(self, ground: "GroundSet", shared: "Threads") -> None:
        self._ground, self._shared = ground, shared
        self._cover = np.zeros(len(ground))

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        return np.concatenate([self._gains(ids[block]) for block in row_blocks(len(ids), GAIN_STEP)])

    def _gains(self, ids: Indices) -> Gains:
        chosen = self._ground.unit(ids).T
        parts = np.empty((-(-len(self._ground) // GAIN_STEP), len(ids)))

        def work(block: slice) -> None:
            more = self._rows(block) @ chosen - self._cover[block, None]
            parts[block.start // GAIN_STEP] = np.maximum(more, 0, out=more).sum(axis=0)

        self._shared.over_blocks(work, len(self._ground), GAIN_STEP)
        return parts.sum(axis=0)

    def take(self, index: int) -> None:
        """See `Marginal`."""
        chosen = self._ground.unit(np.array([index]))[0]

        def work(block: slice) -> None:
            np.maximum(self._cover[block], self._rows(block) @ chosen, out=self._cover[block])

        self._shared.over_blocks(work, len(self._ground), GAIN_STEP)

    def _rows(self, block: slice) -> NDArray[np.float64]:
        rows = self._shared.scratch("unit rows", (block.stop - block.start, self._ground.width), np.float64)
        self._ground.read(np.arange(block.start, block.stop), rows)
        return rows
