"""The mixture: the rows that a recipe takes from a pool for a total budget, exactly as many.

Greedy rows are prefixes of their groups' orderings. Random rows are prefixes too: a row's place is a hash of seed and
id alone, so that an unrelated row changes nothing. Under proportional, equal and pooled budgets a larger
budget therefore keeps every row of a smaller one; SMART's own rule may take a row from a task as the budget grows.
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


def select_mixture(recipe: Recipe, budget: int, pool: Pool, seeds: Sequence[int]) -> Mixture:
    """Select exactly `budget` rows of the pool: one set of greedy rows, or one set of random rows for each seed.

    Raises:
        BudgetError: `budget` is not in [1, instances of the selected tasks].
        SelectionError: The pool lacks a gain or an ordering that the recipe needs, or random rows have no seeds or
            repeated ones.
    """
    if recipe.instance_objective is not None:
        shares = share_budget(recipe.task_budgets, budget, pool)
        # The reference's split of FLAN's templates goes with its task budgets: its odd row is always the first type's.
        templates = _template_shares(shares, pool, flan_levels=recipe.task_objective is not None)
        return Mixture(_greedy_rows(recipe.instance_objective, shares, templates, pool), shares.table())
    if not seeds or len(set(seeds)) < len(seeds):
        raise SelectionError(f"random rows need distinct seeds, at least one; got {list(seeds)}")
    by_seed = {seed: share_budget(recipe.task_budgets, budget, pool, seed) for seed in seeds}
    rows = [_random_rows(shares, budget, pool.instances, seed) for seed, shares in by_seed.items()]
    tables = {shares.seed: shares.table() for shares in by_seed.values()}
    return Mixture(pa.concat_tables(rows), pa.concat_tables(tables.values()))


def _greedy_rows(objective: Objective, shares: TaskShares, budgets: pa.Table, pool: Pool) -> pa.Table:
    """Return the first rows of each (task, template) ordering, as many as its budget."""
    orderings = pool.orderings.filter(pc.field("objective") == objective.label)
    ordered = orderings.join(budgets, ["task", "template"], join_type="inner")
    known = ordered.join(pool.instances, ["id", "task", "template"], join_type="inner")
    rows = known.filter(pc.field("rank") < pc.field("budget"))
    lengths = {ordered.num_rows, known.num_rows, len(known["id"].unique())}
    if lengths != {sum(shares.sizes)} or rows.num_rows != shares.budgets.sum():
        raise SelectionError(
            f"the orderings under {objective.label} do not match the training instances: "
            f"materialize instance_orderings again"
        )
    placed = rows.sort_by([("position", "ascending"), ("template", "ascending"), ("rank", "ascending")])
    return _mixture_rows(placed.append_column("seed", pa.nulls(placed.num_rows, pa.int64())))


def _template_shares(shares: TaskShares, pool: Pool, *, flan_levels: bool) -> pa.Table:
    """Columns task, position, template, budget: a row for every template of the tasks."""
    sizes = pool.template_sizes()
    return pa.Table.from_pylist(
        [
            {"task": task, "position": position, "template": template, "budget": share}
            for position, (task, budget) in enumerate(zip(shares.tasks, shares.budgets.tolist(), strict=True))
            for template, share in template_budgets(sizes.get(task, {}), budget, task, flan_levels=flan_levels).items()
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
