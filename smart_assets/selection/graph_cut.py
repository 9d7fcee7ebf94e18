"""Graph cut, the paper's f1: like all rows, and unlike each other."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smart_assets.core.errors import SelectionError
from smart_assets.selection.objective import (
    GAIN_STEP,
    MAX_PARAMETER,
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


@dataclass(frozen=True, slots=True)
class GraphCut(SubmodularObjective):
    """Representation less redundancy: f(S) = sum_{i in V, j in S} s_ij - lambda sum_{i, j in S} s_ij.

    The paper's f1 (stage 1). Gains may be negative, and with negative similarities they may grow as the subset grows.
    """

    gpu: ClassVar[GpuUse] = "asked"  # a CPU orders as fast as it could send a GPU the rows
    compares_all_pairs: ClassVar[bool] = False
    raised_for_submodlib: ClassVar[bool] = True

    redundancy_weight: Annotated[
        float,
        Field(
            ge=0, le=MAX_PARAMETER, description="Lambda: what a similarity inside the subset costs. The paper's 0.4."
        ),
    ] = 0.4
    name: Literal["graph_cut"] = "graph_cut"

    def __post_init__(self) -> None:
        if not 0 <= self.redundancy_weight <= MAX_PARAMETER:
            raise SelectionError(
                f"redundancy_weight of graph_cut must lie in [0, {MAX_PARAMETER:g}]; got {self.redundancy_weight}"
            )

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective."""
        return f"{self.name}(redundancy_weight={float(self.redundancy_weight)})"

    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S), of any sign, for unit `vectors` (n, d) and a subset (k,)."""
        chosen = vectors[subset].sum(axis=0)
        return float(chosen @ (vectors.sum(axis=0) - self.redundancy_weight * chosen))

    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S), of any sign, for every j (n,); 0 for the elements of `subset` (k,)."""
        chosen = vectors[subset].sum(axis=0)
        gains = vectors @ (vectors.sum(axis=0) - 2 * self.redundancy_weight * chosen) - self.redundancy_weight
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""
        ordered = vectors[order]
        before = np.cumsum(ordered, axis=0) - ordered
        redundancy = 2 * np.einsum("ij,ij->i", ordered, before) + 1
        return ordered @ vectors.sum(axis=0) - self.redundancy_weight * redundancy

    def picks(
        self,
        ground: "GroundSet",
        products: "Products",
        count: int,
        limits: Limits,  # noqa: ARG002  (its engine takes no memory that grows with the pairs)
        on_progress: OnProgress,
    ) -> Picks:
        """See `engines.graph_cut`."""
        from smart_assets.selection.engines.graph_cut import graph_cut_picks

        return graph_cut_picks(ground, products, self.redundancy_weight, count, on_progress)

    def marginal(self, ground: "GroundSet", shared: "Threads") -> Marginal:
        """See `GraphCutMarginal`."""
        return GraphCutMarginal(ground, shared, self.redundancy_weight)

    def submodlib_function(self, kernel: NDArray[np.float32]) -> Any:
        """Return submodlib's function of the same name."""
        from submodlib import GraphCutFunction

        weight = self.redundancy_weight
        return GraphCutFunction(n=len(kernel), mode="dense", lambdaVal=weight, separate_rep=False, ggsijs=kernel)


class GraphCutMarginal:
    """O(d) a gain: x_j.w - lambda, with w = T - 2 lambda P for the sums T of all and P of the picked."""

    def __init__(self, ground: "GroundSet", shared: "Threads", redundancy_weight: float) -> None:
        self._ground, self._shared, self._weight = ground, shared, redundancy_weight
        self._direction = ground.total()

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        gains = np.empty(len(ids))

        def work(block: slice) -> None:
            gains[block] = self._ground.unit(ids[block]) @ self._direction - self._weight

        self._shared.over_blocks(work, len(ids), GAIN_STEP)
        return gains

    def take(self, index: int) -> None:
        """See `Marginal`."""
        self._direction -= 2 * self._weight * self._ground.unit(np.array([index]))[0]
