"""Greedy orderings: a ground set's elements, best first, with what each one added.

An ordering is computed once for the whole group and every budget is a prefix of it (paper, stage 2). An engine only
picks; the gains are computed here from the objective's definition in float64, so that they mean the same whatever
engine picked, and always sum to the objective's value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from smart_assets.errors import BudgetError, SelectionError
from smart_assets.selection.objectives import Gains, Indices, Objective, Vectors
from smart_assets.selection.submodlib_engine import submodlib_picks

ENGINE_VERSION = "submodlib-1"
"""Keys stored orderings: change it with anything that can change a pick or a gain."""

EngineName = Literal["submodlib"]


@dataclass(frozen=True, slots=True)
class GreedyOrdering:
    """Ground-set indices, best first, and the marginal gain each one added."""

    indices: Indices  # (k,)
    gains: Gains  # (k,)


class Engine(Protocol):
    """What picks greedily, and nothing else."""

    def __call__(self, vectors: Vectors, objective: Objective, count: int) -> Indices:
        """Pick `count` (1 <= count < n) of unit `vectors` (n, d), best first (count,)."""
        ...


_ENGINES: Mapping[EngineName, Engine] = {"submodlib": submodlib_picks}


def greedy_ordering(
    vectors: NDArray[np.floating], objective: Objective, budget: int | None = None, engine: EngineName = "submodlib"
) -> GreedyOrdering:
    """Order the rows of `vectors` (n, d) greedily by `objective`: k = min(budget, n) of them, all where it is None.

    Rows are renormalized first. The same input gives the same ordering on one machine.

    Raises:
        SelectionError: The vectors are not (n, d) with n, d >= 1, not finite, or zero; or the engine cannot hold them.
        BudgetError: The budget is below 1.
    """
    unit = unit_rows(vectors)
    size = len(unit)
    count = size if budget is None else min(budget, size)
    if count < 1:
        raise BudgetError(f"the budget of an ordering must be at least 1; got {budget}")
    indices = np.empty(0, dtype=np.int64)
    if size > 1:
        indices = _ENGINES[engine](unit, objective, min(count, size - 1))
    if count == size:  # an engine is never asked for the last one: nothing is left to choose
        indices = np.append(indices, np.setdiff1d(np.arange(size), indices))
    return GreedyOrdering(indices, objective.ordered_gains(unit, indices))


def unit_rows(vectors: NDArray[np.floating]) -> Vectors:
    """`vectors` (n, d) as float64 with every row divided by its length, so that inner products are cosines.

    Raises:
        SelectionError: The shape is not (n, d) with n, d >= 1, or a row is zero or not finite.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise SelectionError(f"vectors must have the shape (n, d) with n and d at least 1; got {vectors.shape}")
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise SelectionError(
            f"a vector must be finite and not zero to have a direction; row {bad[0]} has the length "
            f"{lengths[bad[0], 0]}: embed it again, or remove the row"
        )
    return exact / lengths
