"""A stored subset beside the one that was made again: the first row that differs, and the tasks' budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import stored_folder
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.mixture.task_shares import with_seeds
from smart_assets.reproduce.tables import TableDifference, first_difference
from smart_assets.store import Manifest, Store
from smart_assets.store.hashing import file_sha256

ROWS, BUDGETS = "subset.parquet", "task_budgets.parquet"
FIGURES = frozenset({"gain", "weight"})
"""Columns that are computed from vectors; the others say which rows are taken, and in which order."""


@dataclass(frozen=True, slots=True)
class BudgetDifference:
    """A task whose line in `task_budgets.parquet` differs."""

    task: str
    seed: int | None  # whose budget it is; None where all seeds have it
    columns: tuple[str, ...]  # what differs
    stored: Mapping[str, Any] | None  # None where the task has no line
    reproduced: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class SubsetComparison:
    """A stored subset and the one that was made again."""

    stored: str  # content versions
    reproduced: str
    rows: tuple[int, int] | None  # stored, reproduced; None where the stored one is not in the store any more
    only_stored: int = 0  # rows
    only_reproduced: int = 0
    first: TableDifference | None = None
    budgets: tuple[BudgetDifference, ...] = ()
    figures_apart: float = 0.0  # the largest difference of a gain or weight, over max(1, its size)
    damaged: tuple[str, ...] = ()  # stored files that are not what the manifest says

    @property
    def identical(self) -> bool:
        """Whether rows, ranks, gains and budgets are the same; where the stored files are gone, their hashes."""
        if self.rows is None:
            return self.stored == self.reproduced
        return self.first is None and not self.budgets

    @property
    def same_rows(self) -> bool:
        """Whether the same rows stand in the same places, with the same budgets; gains and weights may differ."""
        if self.rows is None:
            return self.stored == self.reproduced
        of_rows = self.first is None or (bool(self.first.columns) and set(self.first.columns) <= FIGURES)
        return of_rows and all(set(budget.columns) <= FIGURES for budget in self.budgets)


def compare_subsets(store: Store, stored: Manifest, new_store: Store, reproduced: Manifest) -> SubsetComparison:
    """Compare the files themselves, so that a changed file shows even where its manifest does not.

    Raises:
        StoreError: a stored file is there and cannot be read.
    """
    versions = stored.content_version, reproduced.content_version
    old = stored_folder(store, stored)
    if old is None:
        return SubsetComparison(*versions, rows=None)
    new = new_store.artifact(reproduced)
    rows_old, rows_new = _rows(old / ROWS), _rows(new / ROWS)
    keys_old, keys_new = _keys(rows_old), _keys(rows_new)
    budgets = _budget_differences(_read(old / BUDGETS), _read(new / BUDGETS))
    return SubsetComparison(
        *versions,
        rows=(rows_old.num_rows, rows_new.num_rows),
        only_stored=len(keys_old - keys_new),
        only_reproduced=len(keys_new - keys_old),
        first=first_difference(rows_old, rows_new, FIGURES),
        budgets=budgets,
        figures_apart=max(_gains_apart(rows_old, rows_new), *map(_line_apart, budgets), 0.0),
        damaged=tuple(file.path for file in stored.files if file_sha256(old / file.path) != file.sha256),
    )


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}): `smart verify` names all that is damaged") from error


def _rows(path: Path) -> pa.Table:
    table = _read(path)
    try:
        return table.select(MIXTURE_COLUMNS.names).cast(MIXTURE_COLUMNS)
    except (KeyError, pa.ArrowException, ValueError) as error:
        raise StoreError(f"{path} holds no rows of a subset ({error}): `smart verify` names what is damaged") from error


def _keys(rows: pa.Table) -> set[tuple[str, int | None]]:
    return set(zip(rows["id"].to_pylist(), rows["seed"].to_pylist(), strict=True))


def _budget_differences(stored: pa.Table, reproduced: pa.Table) -> tuple[BudgetDifference, ...]:
    """Return differences by seed, and tasks as they were picked, those of the stored subset first."""
    tables = [with_seeds(table) for table in (stored, reproduced)]
    seeds = {seed for table in tables for seed in table["seed"].to_pylist()} - {None}
    old, new = (_lines(table, sorted(seeds)) for table in tables)
    differences: list[BudgetDifference] = []
    for seed, task in dict.fromkeys([*old, *new]):
        before, after = old.get((seed, task)), new.get((seed, task))
        if before != after:
            names = [*(before or after or {})]
            columns = [name for name in names if (before or {}).get(name) != (after or {}).get(name)]
            differences.append(BudgetDifference(task, seed, tuple(columns), before, after))
    return tuple(differences)


def _lines(budgets: pa.Table, seeds: Sequence[int]) -> dict[tuple[int | None, str], dict[str, Any]]:
    """Return lines by seed and task; those of all seeds once for each of the seeds that the other table tells apart."""
    lines: dict[tuple[int | None, str], dict[str, Any]] = {}
    for row in budgets.to_pylist():
        own_seed = row.pop("seed")
        lines |= {(seed, row["task"]): row for seed in (seeds if own_seed is None and seeds else [own_seed])}
    return lines


def _gains_apart(stored: pa.Table, reproduced: pa.Table) -> float:
    """Return how far gains at equal places are apart; none is 0."""
    common = min(stored.num_rows, reproduced.num_rows)
    old, new = (pc.fill_null(table["gain"].slice(0, common), 0).to_numpy() for table in (stored, reproduced))
    return float(np.max(np.abs(old - new) / np.maximum(1, np.abs(old)), initial=0.0))


def _line_apart(difference: BudgetDifference) -> float:
    pairs = ([(side or {}).get(name) or 0.0 for side in (difference.stored, difference.reproduced)] for name in FIGURES)
    return max(abs(old - new) / max(1.0, abs(old)) for old, new in pairs)
