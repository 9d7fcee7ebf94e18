"""Each text once in a mixture, whatever tasks have it.

Rows are selected as if texts did not matter. Where a text stands twice among them, the row that comes first keeps it:
that of the task first in pick order, or by name where no task is picked; of a pooled draw, the one drawn first. The
others leave the pool, and rows are selected again: the next row of the task's order takes the place, and a task that
has none left gives its place to the others by the recipe's own rule. A mixture without a repeated text stays as it is.

This ends, and with exactly the budget's rows. What leaves the pool of one task only adds to what others give, so a row
that keeps a text stays in the mixture, unless one of an earlier task takes the text from it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.errors import BudgetError
from smart_assets.mixture.pool import Pool
from smart_assets.mixture.task_shares import TaskShares


@dataclass(frozen=True, slots=True)
class RowSet:
    """One set of rows of a mixture, and how the budget was shared for it."""

    rows: pa.Table  # MIXTURE_COLUMNS
    shares: TaskShares
    replaced: int = 0  # rows whose text another one has
    exhausted: tuple[str, ...] = ()  # tasks that had no other row left


def with_distinct_texts(select: Callable[[Pool], tuple[pa.Table, TaskShares]], pool: Pool, budget: int) -> RowSet:
    """Return a row set in which no text stands twice.

    Args:
        select: Selects the budget's rows of a pool, in the order of the mixture.
        pool: The rows, and which of them repeat texts.
        budget: Rows to select.

    Raises:
        BudgetError: The tasks have fewer distinct texts than the budget, or `select` refuses it.
    """
    replaced = 0
    while True:
        rows, shares = select(pool)
        losing = _losing(rows, shares, pool)
        if not len(losing):
            return RowSet(rows, shares, replaced, _exhausted(shares))
        _require_texts(pool, shares, budget)
        replaced += int(pc.sum(pc.is_in(rows["id"], value_set=losing)).as_py())
        pool = pool.without(losing)


def _losing(rows: pa.Table, shares: TaskShares, pool: Pool) -> pa.Array:
    """Return the ids that leave the pool, none where no text stands twice among the rows.

    With a row that loses its text go those of the text that would lose it later: of later tasks, or later in the draw.
    """
    place = pc.index_in(pool.repeats["id"], value_set=rows["id"].combine_chunks())
    selected = np.asarray(pc.fill_null(place, -1))
    texts = pool.repeats["text"].to_numpy()
    chosen = selected >= 0
    if len(np.unique(texts[chosen])) == int(chosen.sum()):
        return pa.array([], pa.string())
    first = np.full(int(texts.max()) + 1, rows.num_rows)
    np.minimum.at(first, texts[chosen], selected[chosen])
    keeps = first[texts]  # of each repeat, the place of the row that keeps its text
    loses = chosen & (selected != keeps)
    if shares.pooled:
        loses |= ~chosen & (keeps < rows.num_rows)
    else:
        order = pa.array(shares.tasks, pa.string())
        holders = np.asarray(pc.index_in(rows["task"], value_set=order))
        known = pool.instances.select(["id", "task"])
        own = known["task"].take(pc.index_in(pool.repeats["id"], value_set=known["id"].combine_chunks()))
        # A task beyond those that share is after all of them; a row that left the pool already has none.
        owners = np.asarray(pc.fill_null(pc.index_in(own, value_set=order), -1))
        kept = keeps < rows.num_rows
        loses[kept] |= ~chosen[kept] & (owners[kept] > holders[keeps[kept]])
    return pool.repeats["id"].filter(pa.array(loses)).combine_chunks()


def _exhausted(shares: TaskShares) -> tuple[str, ...]:
    """Return the tasks that gave all that they could, and less than they have."""
    budgets = shares.budgets.tolist()
    rows = zip(shares.tasks, shares.sizes, shares.limits, budgets, strict=True)
    return tuple(task for task, size, limit, given in rows if given == limit < size and not shares.pooled)


def _require_texts(pool: Pool, shares: TaskShares, budget: int) -> None:
    """Refuse a budget beyond the distinct texts of the tasks that share it."""
    every = pa.concat_tables([pool.instances, pool.taken_out]).select(["id", "task"])
    rows = every.filter(pc.is_in(every["task"], value_set=pa.array(shares.tasks, pa.string())))
    repeats = pool.repeats.filter(pc.is_in(pool.repeats["id"], value_set=rows["id"].combine_chunks()))
    distinct = rows.num_rows - repeats.num_rows + len(repeats["text"].unique())
    if budget > distinct:
        raise BudgetError(
            f"budget must lie in [1, {distinct}], the distinct texts among the {rows.num_rows} training instances of "
            f"the {len(shares.tasks)} tasks it may take from; got {budget}: {rows.num_rows - distinct} of them repeat "
            "the text of another task. Choose a smaller budget, or set `repeat_texts: true` in the recipe"
        )
