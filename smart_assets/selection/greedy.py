"""Greedy orderings: a ground set's elements, best first, with what each one added.

An ordering is computed once for the whole group and every budget is a prefix of it (paper, stage 2). Every pick gains
as much as the best that was left, in float64, and ties (of equal vectors: on every machine) go to the lowest index;
submodlib alone sums in 32 bits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.core.threads import threads, usable_cores
from smart_assets.selection.objective import Gains, Indices, Limits, OnProgress, Picks, SubmodularObjective

if TYPE_CHECKING:
    from smart_assets.selection.engines.ground_set import GroundSet

EngineName = Literal["auto", "cpu", "cuda", "submodlib"]
"""`auto` is the GPU where torch finds one and the ground set is large enough to be worth it, else the CPU."""

ENGINE_VERSION = "exact-2"
"""Keys stored orderings: change it with anything that can change a pick or a gain. A CPU and a GPU pick alike."""

SUBMODLIB_VERSION = "submodlib-1"
"""The same for the orderings of submodlib, which sums in 32 bits."""

GPU_WORTH_PAIRS = 10_000**2
"""Pairs of a ground set from which on `auto` looks for a GPU: below, a CPU needs a second or two."""


@dataclass(frozen=True, slots=True)
class GreedyOrdering:
    """Ground-set indices, best first, and the marginal gain each one added."""

    indices: Indices  # (k,)
    gains: Gains  # (k,)
    engine: str = "cpu"  # what picked
    exact: bool = True  # each pick was the best that was left

    @property
    def value(self) -> float:
        """The objective's value of all that was picked."""
        return float(self.gains.sum())


def greedy_ordering(
    vectors: NDArray[np.floating],
    objective: SubmodularObjective,
    budget: int | None = None,
    engine: EngineName = "auto",
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> GreedyOrdering:
    """Order the rows of `vectors` (n, d) greedily by `objective`: k = min(budget, n) of them, all where it is None.

    Rows are renormalized as they are read, in float64 whatever their own precision. The same input gives the same
    ordering, whatever the number of threads.

    Raises:
        SelectionError: The vectors are not (n, d) with n, d >= 1, not finite, or zero; or the engine cannot hold them,
            or is not there.
        BudgetError: The budget is below 1.
    """
    from smart_assets.selection.engines.equal_rows import by_index
    from smart_assets.selection.engines.ground_set import GroundSet

    ground = GroundSet.of(vectors)
    count = len(ground) if budget is None else min(budget, len(ground))
    if count < 1:
        raise BudgetError(f"the budget of an ordering must be at least 1; got {budget}")
    engine_name = _resolve(engine, len(ground), objective)
    report = on_progress or (lambda *_: None)
    picks, gains = _ENGINES[engine_name](ground, objective, count, limits or Limits(), report)
    report(count, 1.0)
    return GreedyOrdering(by_index(ground.rows, picks), gains, engine_name)


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """`vectors` (n, d) as float64 with every row divided by its length, so that inner products are cosines.

    Raises:
        SelectionError: The shape is not (n, d) with n, d >= 1, or a row is zero or not finite.
    """
    from smart_assets.selection.engines.ground_set import GroundSet

    return GroundSet.of(vectors).unit(slice(None))


def _resolve(engine: EngineName, size: int, objective: SubmodularObjective) -> Literal["cpu", "cuda", "submodlib"]:
    """Return what stands for `auto`, once it is known that the objective can be ordered by it."""
    if engine == "cuda":
        if objective.gpu == "never":
            raise SelectionError(f"the engine 'cuda' has no {objective.label}: use 'auto' or 'cpu'")
        _require_cuda()
    if engine != "auto":
        return engine
    if objective.gpu != "auto" or size**2 < GPU_WORTH_PAIRS:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise SelectionError("the engine 'cuda' needs a GPU that torch can use, and there is none: use 'auto' or 'cpu'")


def _on_cpu(
    ground: "GroundSet", objective: SubmodularObjective, count: int, limits: Limits, on_progress: OnProgress
) -> Picks:
    from smart_assets.selection.engines.cpu_products import CpuProducts

    with threads(limits.threads or usable_cores()) as shared:
        return objective.picks(ground, CpuProducts(ground, shared), count, limits, on_progress)


def _on_cuda(
    ground: "GroundSet", objective: SubmodularObjective, count: int, limits: Limits, on_progress: OnProgress
) -> Picks:
    from smart_assets.selection.engines.torch_products import TorchProducts

    products = TorchProducts(ground, "cuda", limits.memory_bytes)
    return objective.picks(ground, products, count, limits, on_progress)


def _by_submodlib(ground: "GroundSet", objective: SubmodularObjective, count: int, *_: object) -> Picks:
    from smart_assets.selection.engines.submodlib import submodlib_picks

    unit = ground.unit(slice(None))
    picks = submodlib_picks(unit, objective, min(count, len(unit) - 1)) if len(unit) > 1 else np.empty(0, np.int64)
    if count == len(unit):  # submodlib is never asked for the last one: nothing is left to choose
        picks = np.append(picks, np.setdiff1d(np.arange(len(unit)), picks))
    return picks, objective.ordered_gains(unit, picks)


_ENGINES: Mapping[str, Callable[["GroundSet", SubmodularObjective, int, Limits, OnProgress], Picks]] = {
    "cpu": _on_cpu,
    "cuda": _on_cuda,
    "submodlib": _by_submodlib,
}
