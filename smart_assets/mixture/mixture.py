"""The mixture: the rows that a recipe takes from a pool for a total budget, exactly as many.

Greedy rows are prefixes of their groups' orderings. Random rows are prefixes too: a row's place is a hash of seed and
id alone, so that an unrelated row changes nothing. Under proportional, equal and pooled budgets a larger
budget therefore keeps every row of a smaller one; SMART's own rule may take a row from a task as the budget grows.

A text that several tasks have is taken once, unless the recipe repeats texts (`distinct_texts`): a larger budget may
then take it under another task.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smart_assets.core.errors import SelectionError
from smart_assets.mixture.distinct_texts import RowSet, with_distinct_texts
from smart_assets.mixture.pool import Pool
from smart_assets.mixture.recipes import Recipe
from smart_assets.mixture.task_shares import TaskShares, share_budget
from smart_assets.mixture.template_budgets import template_budgets
from smart_assets.selection.objectives import Objective

MIXTURE_COLUMNS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("template", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("gain", pa.float64()),
        pa.field("seed", pa.int64()),
    ]
)
"""`rank` counts from 0 inside (seed, task, template); `gain` is null for random rows, `seed` for greedy ones."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Selected rows, and how the budget was shared."""

    rows: pa.Table  # MIXTURE_COLUMNS, by task position, template and rank; random ones by seed and then as drawn
    tasks: pa.Table  # columns of TaskShares.table; by seed where seeds decide who has the rows that tasks tie for
    replaced: int = 0  # rows, of all row sets, whose text another task gives: others took their places
    exhausted: tuple[str, ...] = ()  # tasks that had no other row left for that in a row set


def select_mixture(recipe: Recipe, budget: int, pool: Pool, seeds: Sequence[int]) -> Mixture:
    """Select exactly `budget` rows of the pool: one set of greedy rows, or one set of random rows for each seed.

    Raises:
        BudgetError: `budget` is not in [1, instances of the selected tasks], of which texts count once.
        SelectionError: The pool lacks a gain or an ordering that the recipe needs, or random rows have no seeds or
            repeated ones.
    """
    random = recipe.instance_objective is None
    if random and (not seeds or len(set(seeds)) < len(seeds)):
        raise SelectionError(f"random rows need distinct seeds, at least one; got {list(seeds)}")
    row_sets = [_row_set(recipe, budget, pool, seed) for seed in (seeds if random else [None])]
    tables = {row_set.shares.seed: row_set.shares.table() for row_set in row_sets}
    return Mixture(
        pa.concat_tables([row_set.rows for row_set in row_sets]),
        pa.concat_tables(tables.values()),
        replaced=sum(row_set.replaced for row_set in row_sets),
        exhausted=tuple(sorted({task for row_set in row_sets for task in row_set.exhausted})),
    )


def _row_set(recipe: Recipe, budget: int, pool: Pool, seed: int | None) -> RowSet:
    """Return the greedy rows, or the random ones of a seed."""

    def select(pool: Pool) -> tuple[pa.Table, TaskShares]:
        shares = share_budget(recipe.task_budgets, budget, pool, seed)
        if seed is not None:
            return _random_rows(shares, budget, pool.instances, seed), shares
        # The reference's split of FLAN's templates goes with its task budgets: its odd row is always the first type's.
        templates = _template_shares(shares, pool, flan_levels=recipe.task_objective is not None)
        return _greedy_rows(recipe.instance_objective, shares, templates, pool), shares

    if recipe.repeat_texts:
        return RowSet(*select(pool))
    return with_distinct_texts(select, pool, budget)


def _greedy_rows(objective: Objective | None, shares: TaskShares, budgets: pa.Table, pool: Pool) -> pa.Table:
    """Return the first rows of each (task, template) ordering, as many as its budget."""
    label = "" if objective is None else objective.label
    orderings = pool.orderings.filter(pc.field("objective") == label)
    ordered = orderings.join(budgets, ["task", "template"], join_type="inner")
    known = ordered.join(pool.instances, ["id", "task", "template"], join_type="inner")
    rows = known.filter(pc.field("rank") < pc.field("budget"))
    lengths = {ordered.num_rows, known.num_rows, len(known["id"].unique())}
    if lengths != {sum(shares.limits)} or rows.num_rows != shares.budgets.sum():
        raise SelectionError(
            f"the orderings under {label} do not match the training instances: materialize instance_orderings again"
        )
    placed = rows.sort_by([("position", "ascending"), ("template", "ascending"), ("rank", "ascending")])
    return _mixture_rows(placed.append_column("seed", pa.nulls(placed.num_rows, pa.int64())))


def _template_shares(shares: TaskShares, pool: Pool, *, flan_levels: bool) -> pa.Table:
    """Columns task, position, template, budget: a row for every template of the tasks."""
    sizes, limits = pool.template_sizes(), pool.template_limits()
    return pa.Table.from_pylist(
        [
            {"task": task, "position": position, "template": template, "budget": share}
            for position, (task, budget) in enumerate(zip(shares.tasks, shares.budgets.tolist(), strict=True))
            for template, share in template_budgets(
                sizes.get(task, {}), budget, task, flan_levels=flan_levels, limits=limits.get(task, {})
            ).items()
        ]
    )


def _random_rows(shares: TaskShares, budget: int, instances: pa.Table, seed: int) -> pa.Table:
    """Return the first rows of each task in hash order, or of all tasks together where the draw is pooled."""
    candidates = instances.filter(pc.field("task").isin(shares.tasks)).sort_by("id")
    draws = np.zeros(candidates.num_rows, dtype=np.int64)
    limits = np.array([budget])
    if not shares.pooled:
        position = {task: index for index, task in enumerate(shares.tasks)}
        draws = np.array([position[task] for task in candidates["task"].to_pylist()])
        limits = shares.budgets
    order = np.lexsort((_hashes(candidates["id"].to_pylist(), seed), draws))
    drawn = candidates.take(order[_earlier_equals(draws[order].tolist()) < limits[draws[order]]])
    groups = zip(drawn["task"].to_pylist(), drawn["template"].to_pylist(), strict=True)
    drawn = drawn.append_column("rank", pa.array(_earlier_equals(groups)))
    drawn = drawn.append_column("gain", pa.nulls(drawn.num_rows, pa.float64()))
    return _mixture_rows(drawn.append_column("seed", pa.array([seed] * drawn.num_rows, pa.int64())))


def _hashes(ids: list[str], seed: int) -> NDArray[np.uint64]:
    """Return the first 64 bits of blake2b of seed and id (n,): a row's place in the draw, whatever others there are."""
    digests = (blake2b(f"{seed}:{id_}".encode(), digest_size=8).digest() for id_ in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _earlier_equals(groups: Iterable[Hashable]) -> NDArray[np.int64]:
    """How many equal entries come before each (n,)."""
    seen: Counter[Hashable] = Counter()
    counts: list[int] = []
    for group in groups:
        counts.append(seen[group])
        seen[group] += 1
    return np.array(counts, dtype=np.int64)


def _mixture_rows(rows: pa.Table) -> pa.Table:
    return rows.select(MIXTURE_COLUMNS.names).cast(MIXTURE_COLUMNS)
