"""From weights over tasks to exact task budgets: by SMART's rule, or in proportion to given rates.

SMART's rule is the arithmetic of its reference. Its arrays run over the tasks in pick order; every step keeps the total
exactly, and what rounding leaves over goes out one by one in that order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.highest_averages import highest_averages

Weights = NDArray[np.float64]
"""(m,) non-negative, summing to 1."""
Budgets = NDArray[np.int64]
"""(m,) instances."""


def taylor_softmax(gains: ArrayLike, temperature: float = 1.0) -> Weights:
    """Weights (1 + g + g^2/2) / sum_k(1 + g_k + g_k^2/2) with g = gain / temperature (paper, stage 1).

    Every weight is positive, and below g = -1 it rises again: see `negative_gain_warning`.

    Raises:
        SelectionError: There is no gain, one is not finite, or the temperature is not positive.
    """
    if not temperature > 0:
        raise SelectionError(f"the temperature of task weights must be above 0; got {temperature}")
    scaled = np.asarray(gains, dtype=np.float64) / temperature
    raw = 1 + scaled + scaled**2 / 2
    if not raw.size or not np.isfinite(raw).all():
        raise SelectionError(f"task gains must be finite, and at least one; got {gains} at temperature {temperature}")
    return raw / raw.sum()


def negative_gain_warning(gains: ArrayLike) -> str | None:
    """Say why negative gains are weighed oddly, or None where there are none."""
    values = np.asarray(gains, dtype=np.float64)
    negative = int((values < 0).sum())
    if not negative:
        return None
    return (
        f"{negative} of {values.size} tasks have a negative gain, the lowest {values.min():.3g}; the weight "
        f"1 + g + g^2/2 is smallest at g = -1 and rises again below it (-2 weighs as much as 0), so a worse task can "
        f"get more: lower redundancy_weight or set max_tasks"
    )


def proportional_rates(sizes: ArrayLike, size_cap: int | None = None, temperature: float = 1.0) -> NDArray[np.float64]:
    """Examples-proportional mixing of T5: min(e, K)^(1/T), not normalized (Raffel et al. 2020, section 3.5.2).

    `sizes` (m,) are instances a task, `size_cap` is K (none where None), `temperature` is T >= 1: 1 is proportional,
    and a large one nears equal weights.

    Raises:
        SelectionError: No task has an instance.
    """
    capped = np.asarray(sizes, dtype=np.float64)
    if size_cap is not None:
        capped = np.minimum(capped, size_cap)
    raw = np.where(capped > 0, capped ** (1 / temperature), 0.0)
    if not raw.sum() > 0:
        raise SelectionError("proportional budgets need a task with at least one instance; got none")
    return raw


def proportional_budgets(
    rates: NDArray[np.float64], sizes: Sequence[int], total: int, ties: Sequence[bytes]
) -> Budgets:
    """Task budgets (m,) in proportion to `rates`, never above `sizes`; see `highest_averages`.

    Raises:
        BudgetError: `total` is not in [1, sum of sizes].
    """
    limits = _limits(sizes, total)
    return np.array(highest_averages(rates.tolist(), limits.tolist(), total, ties), dtype=np.int64)


def apportion(weights: ArrayLike, total: int) -> Budgets:
    """Budgets floor(weight * total), and what is left over one by one in pick order; they sum to `total`.

    Raises:
        SelectionError: The weights are negative or do not sum to 1.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-11:
        raise SelectionError(f"weights must be non-negative and sum to 1; got the sum {shares.sum()}")
    budgets = np.floor(shares * total).astype(np.int64)
    budgets[: total - budgets.sum()] += 1
    return budgets


def cap_and_redistribute(budgets: ArrayLike, sizes: ArrayLike) -> Budgets:
    """Cap each budget at its task's size and hand the surplus out one by one, in pick order, round after round.

    Raises:
        BudgetError: The budgets' total exceeds the sizes' total.
    """
    limits = np.asarray(sizes, dtype=np.int64)
    wanted = np.asarray(budgets, dtype=np.int64)
    capped = np.minimum(wanted, limits)
    surplus = int(wanted.sum() - capped.sum())
    if wanted.sum() > limits.sum():
        raise BudgetError(_out_of_range(int(wanted.sum()), limits))
    while surplus:
        open_tasks = np.flatnonzero(capped < limits)
        # As many whole rounds at once as no task's room cuts short; the last round reaches only the first tasks.
        rounds = min(surplus // len(open_tasks), int((limits - capped)[open_tasks].min()))
        receivers = open_tasks if rounds else open_tasks[:surplus]
        capped[receivers] += max(rounds, 1)
        surplus -= len(receivers) * max(rounds, 1)
    return capped


def task_budgets(weights: ArrayLike, sizes: Sequence[int] | NDArray[np.int64], total: int) -> Budgets:
    """Task budgets (m,) that sum to `total` exactly and never exceed `sizes` (m,), both in pick order.

    Raises:
        BudgetError: `total` is not in [1, sum of sizes].
        SelectionError: The weights are negative or do not sum to 1.
    """
    limits = _limits(sizes, total)
    return cap_and_redistribute(apportion(weights, total), limits)


def _limits(sizes: ArrayLike, total: int) -> NDArray[np.int64]:
    limits = np.asarray(sizes, dtype=np.int64)
    if not 1 <= total <= limits.sum():
        raise BudgetError(_out_of_range(total, limits))
    return limits


def _out_of_range(total: int, sizes: NDArray[np.int64]) -> str:
    return (
        f"budget must lie in [1, {sizes.sum()}], the training instances of the {sizes.size} tasks it may take from; "
        f"got {total}: choose a smaller budget, more tasks, or add instances"
    )
