"""Two subsets side by side: rows in and out, tasks with their budgets, and what made the difference."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.core.errors import StoreError
from smart_assets.lineage.diff.made import MakingDiff, Side, compare_making
from smart_assets.lineage.history import stored_folder
from smart_assets.lineage.trained_rows import rows_given
from smart_assets.mixture.task_shares import with_seeds
from smart_assets.store import Manifest, Store


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """A row of one of two subsets alone."""

    id: str
    task: str
    template: str
    rank: int


@dataclass(frozen=True, slots=True)
class TaskDiff:
    """A task in two row sets. A budget is None where the recipe gives none: rows are drawn over all tasks at once."""

    task: str
    budget_a: int | None
    budget_b: int | None
    rows_a: int
    rows_b: int
    out: int  # rows of A that are not in B
    into: int  # rows of B that are not in A
    common: int


@dataclass(frozen=True, slots=True)
class RowSetDiff:
    """The rows that one seed trains on in A and in B; greedy ones are the same for every seed."""

    seed: int | None
    tasks: tuple[TaskDiff, ...]  # in the order in which A took them, then those of B alone
    reranked: int  # common rows with another rank, template or task
    rows_out: tuple[SubsetRow, ...]
    rows_in: tuple[SubsetRow, ...]

    @property
    def rows_a(self) -> int:
        """Rows of A."""
        return sum(task.rows_a for task in self.tasks)

    @property
    def rows_b(self) -> int:
        """Rows of B."""
        return sum(task.rows_b for task in self.tasks)

    @property
    def common(self) -> int:
        """Rows of both."""
        return self.rows_b - len(self.rows_in)

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.rows_out or self.rows_in or self.reranked or any(t.budget_a != t.budget_b for t in self.tasks))


@dataclass(frozen=True, slots=True)
class SubsetDiff:
    """Two subsets side by side."""

    a: Side
    b: Side
    made: MakingDiff
    row_sets: tuple[RowSetDiff, ...] | None  # None where the files of one are not in the store any more

    @property
    def empty(self) -> bool:
        """Whether nothing differs, as far as it can be told."""
        rows = (
            self.a.version == self.b.version
            if self.row_sets is None
            else all(row_set.empty for row_set in self.row_sets)
        )
        return rows and self.made.equal


def diff_subsets(store: Store, a: Manifest, b: Manifest) -> SubsetDiff:
    """Compare two versions of `selected_subset`.

    Raises:
        StoreError: a file is there and cannot be read.
    """
    folders = [stored_folder(store, manifest) for manifest in (a, b)]
    sides = [Side.of(manifest, folder is None) for manifest, folder in zip((a, b), folders, strict=True)]
    left = [folder for folder in folders if folder is not None]
    rows = compare_rows(*map(SubsetRows.read, left)) if len(left) == 2 else None
    return SubsetDiff(sides[0], sides[1], compare_making(a, b), rows)


@dataclass(frozen=True, slots=True)
class SubsetRows:
    """What a subset holds."""

    rows: pa.Table  # id, task, template, rank, seed
    budgets: Mapping[int | None, Mapping[str, int | None]]  # of each seed, or of all of them under None; by task

    @classmethod
    def read(cls, folder: Path) -> "SubsetRows":
        """Return what the files of an artifact hold.

        Raises:
            StoreError: one cannot be read.
        """
        try:
            budgets = with_seeds(pq.read_table(folder / "task_budgets.parquet"))
            rows = pq.read_table(folder / "subset.parquet", columns=["id", "task", "template", "rank", "seed"])
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{folder} cannot be read ({error}): `smart verify` names what is damaged") from error
        by_seed: dict[int | None, dict[str, int | None]] = {}
        for row in budgets.to_pylist():
            by_seed.setdefault(row["seed"], {})[row["task"]] = row["budget"]
        return cls(rows, by_seed)

    @property
    def seeds(self) -> list[int]:
        """Of the row sets, where rows are random."""
        return [seed for seed in self.rows["seed"].unique().to_pylist() if seed is not None]

    def of_seed(self, seed: int | None) -> list[dict[str, Any]]:
        """Return the rows that a seed trains on."""
        return rows_given(self.rows, seed).to_pylist()

    def budgets_of(self, seed: int | None) -> Mapping[str, int | None]:
        """Return the task budgets that a seed's rows fill."""
        return self.budgets.get(seed, self.budgets.get(None, {}))


def compare_rows(a: SubsetRows, b: SubsetRows) -> tuple[RowSetDiff, ...]:
    """Return row sets of one seed beside each other, and greedy rows beside each seed's."""
    seeds = sorted({*a.seeds, *b.seeds}) or [None]
    return tuple(
        _compare(seed, (a.of_seed(seed), b.of_seed(seed)), (a.budgets_of(seed), b.budgets_of(seed))) for seed in seeds
    )


def _compare(
    seed: int | None,
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    budgets: tuple[Mapping[str, int | None], Mapping[str, int | None]],
) -> RowSetDiff:
    a, b = ({row["id"]: row for row in side} for side in rows)
    out = [row for row_id, row in a.items() if row_id not in b]
    into = [row for row_id, row in b.items() if row_id not in a]
    common = [row for row_id, row in b.items() if row_id in a]
    counts = [_by_task(side) for side in (a.values(), b.values(), out, into, common)]
    tasks = dict.fromkeys([*budgets[0], *budgets[1], *counts[0], *counts[1]])
    moved = sum(_place(row) != _place(a[row["id"]]) for row in common)
    return RowSetDiff(
        seed,
        tuple(
            TaskDiff(task, budgets[0].get(task), budgets[1].get(task), *(by_task[task] for by_task in counts))
            for task in tasks
        ),
        moved,
        tuple(map(_row, out)),
        tuple(map(_row, into)),
    )


def _by_task(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(row["task"] for row in rows)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["task"], row["template"], row["rank"]


def _row(row: Mapping[str, Any]) -> SubsetRow:
    return SubsetRow(row["id"], row["task"], row["template"], row["rank"])
