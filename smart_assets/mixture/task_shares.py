"""The division of a total budget over the tasks, by the first part of a recipe."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.highest_averages import tie_key
from smart_assets.mixture.pool import Pool
from smart_assets.mixture.recipes import EqualBudgets, PooledBudgets, ProportionalBudgets, SubmodularBudgets
from smart_assets.mixture.task_budgets import (
    Budgets,
    Weights,
    proportional_budgets,
    proportional_rates,
    task_budgets,
    taylor_softmax,
)
from smart_assets.mixture.task_scores import propose_max_tasks


def with_seeds(budgets: pa.Table) -> pa.Table:
    """Task budgets with the column `seed`, null where the file has none: they are then those of all seeds."""
    if "seed" in budgets.column_names:
        return budgets
    return budgets.append_column("seed", pa.nulls(budgets.num_rows, pa.int64()))


@dataclass(frozen=True, slots=True)
class TaskShares:
    """Tasks in pick order, or in order of name where nothing was picked; lists of one length m."""

    tasks: list[str]
    sizes: list[int]
    limits: list[int]  # how many rows each can give: fewer than its size where others have the texts of some
    gains: list[float] | None  # None where no objective weighed the tasks
    weights: Weights  # (m,)
    budgets: Budgets  # (m,)
    pooled: bool = False  # one draw over all tasks: the budgets are then what it gives on average
    seed: int | None = None  # whose ties these are; None where the budgets are the same for all seeds

    def table(self) -> pa.Table:
        """Columns task, position, size, gain, weight, budget; gain is null where there is none, budget where pooled.

        Only where the budgets are a seed's own there is a column `seed`: others are written as they were before there
        was any, so that nothing is trained again for an empty column.
        """
        table = pa.table(
            {
                "task": pa.array(self.tasks, pa.string()),
                "position": pa.array(range(len(self.tasks)), pa.int64()),
                "size": pa.array(self.sizes, pa.int64()),
                "gain": _column(self.gains, len(self.tasks), pa.float64()),
                "weight": pa.array(self.weights, pa.float64()),
                "budget": _column(None if self.pooled else self.budgets, len(self.tasks), pa.int64()),
            }
        )
        seeds = pa.array([self.seed] * len(self.tasks), pa.int64())
        return table if self.seed is None else table.append_column("seed", seeds)


def share_budget(
    rule: SubmodularBudgets | ProportionalBudgets | EqualBudgets | PooledBudgets,
    total: int,
    pool: Pool,
    seed: int | None = None,
) -> TaskShares:
    """Divide `total` instances over the pool's tasks.

    Args:
        rule: how.
        total: instances.
        pool: whose tasks share.
        seed: decides between tasks that tie for a row under proportional and equal budgets, whatever their names.

    Raises:
        BudgetError: `total` is not in [1, instances of the selected tasks].
        SelectionError: The pool lacks a task's gain under the rule's objective.
    """
    sizes, limits = pool.task_sizes(), pool.task_limits()
    match rule:
        case SubmodularBudgets():
            return _by_gains(rule, total, pool, sizes, limits)
        case ProportionalBudgets():
            rates = proportional_rates(list(sizes.values()), rule.size_cap, rule.temperature)
        case EqualBudgets():
            rates = np.ones(len(sizes))
        case PooledBudgets():
            rates = proportional_rates(list(sizes.values()))
        case _:
            assert_never(rule)
    pooled = isinstance(rule, PooledBudgets)
    ties = [tie_key(seed, task) for task in sizes]
    budgets = proportional_budgets(rates, list(limits.values()), total, ties)
    weights = rates / rates.sum()
    return TaskShares(
        tasks=list(sizes),
        sizes=list(sizes.values()),
        limits=list(limits.values()),
        gains=None,
        weights=weights,
        budgets=budgets,
        pooled=pooled,
        seed=None if pooled else seed,
    )


def _by_gains(
    rule: SubmodularBudgets, total: int, pool: Pool, all_sizes: dict[str, int], all_limits: dict[str, int]
) -> TaskShares:
    """By the rule of the SMART reference; what is left over goes out in pick order, so that no task ties."""
    tasks, gains = _picked(rule, pool, all_sizes)
    sizes = [all_sizes.get(task, 0) for task in tasks]
    limits = [all_limits.get(task, 0) for task in tasks]
    if rule.max_tasks == "auto" and total > sum(sizes):
        raise BudgetError(_beyond_auto(total, sizes, all_sizes))
    weights = taylor_softmax(gains, rule.temperature)
    return TaskShares(tasks, sizes, limits, gains, weights, task_budgets(weights, limits, total))


def _picked(rule: SubmodularBudgets, pool: Pool, sizes: dict[str, int]) -> tuple[list[str], list[float]]:
    """Return the first tasks of the ordering and their gains; one without instances is picked all the same."""
    label = rule.objective.label
    picks = pool.task_gains.filter(pc.field("objective") == label).sort_by("rank")
    tasks = picks["task"].to_pylist()
    missing = sizes.keys() - set(tasks)
    if missing:
        raise SelectionError(
            f"task {min(missing)!r} has instances but no gain under {label}: materialize task_scores again"
        )
    gains = picks["gain"].to_pylist()
    taken = propose_max_tasks(gains) if rule.max_tasks == "auto" else rule.max_tasks
    return tasks[:taken], gains[:taken]


def _beyond_auto(total: int, sizes: list[int], all_sizes: dict[str, int]) -> str:
    return (
        f"budget must lie in [1, {sum(sizes)}], the training instances of the {len(sizes)} tasks that "
        f"`max_tasks: auto` chose, where the gain curve bends (all {len(all_sizes)} tasks have "
        f"{sum(all_sizes.values())}); got {total}: choose a smaller budget, set max_tasks to a number or null, or add "
        f"instances"
    )


def _column(values: list[float] | Budgets | None, size: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(size, kind) if values is None else pa.array(values, kind)
