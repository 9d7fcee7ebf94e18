"""Where a subset went astray: stored task scores and orderings beside those that were made again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.records import SubsetParameters
from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import key_of, stored_folder
from smart_assets.mixture.recipes import Recipe
from smart_assets.reproduce.ancestors import Ancestors
from smart_assets.reproduce.subset import FIGURES
from smart_assets.reproduce.tables import TableDifference, first_difference
from smart_assets.store import Manifest, Store

_SCORES = ["rank", "source", "task", "gain"]
_ORDERINGS = ["task", "template", "rank", "id", "gain"]


@dataclass(frozen=True, slots=True)
class StepComparison:
    """A step that the subset was made from, by the recipe's objective."""

    key: str
    objective: str
    first: TableDifference | None  # None where both are the same


def compare_steps(store: Store, ancestors: Ancestors, new_store: Store) -> tuple[StepComparison, ...]:
    """Compare scores and orderings under the recipe's objectives; what was collected is left out.

    Raises:
        StoreError: a stored file is there and cannot be read.
    """
    recipe = Recipe.model_validate(SubsetParameters.read(ancestors.subset).recipe)
    steps: list[StepComparison] = []
    if recipe.task_objective is not None and ancestors.scores is not None:
        label = recipe.task_objective.label
        steps += _compare(store, new_store, ancestors.scores, label, ("scores.parquet", _SCORES))
    if recipe.instance_objective is not None:
        label = recipe.instance_objective.label
        for ordering in ancestors.orderings.values():
            steps += _compare(store, new_store, ordering, label, ("orderings.parquet", _ORDERINGS))
    return tuple(steps)


def _compare(
    store: Store, new_store: Store, stored: Manifest, objective: str, table: tuple[str, list[str]]
) -> Iterator[StepComparison]:
    old, made = stored_folder(store, stored), new_store.current(stored.asset, stored.partition)
    if old is not None and made is not None:
        name, columns = table
        before, after = (_read(folder / name, columns, objective) for folder in (old, new_store.artifact(made)))
        yield StepComparison(str(key_of(stored)), objective, first_difference(before, after, FIGURES))


def _read(path: Path, columns: list[str], objective: str) -> pa.Table:
    try:
        rows = pq.read_table(path, columns=["objective", *columns])
        return rows.filter(pc.equal(rows["objective"], objective)).select(columns)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}): `smart verify` names all that is damaged") from error
