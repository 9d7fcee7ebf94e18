"""What each model did row by row, and the rows that all models of a benchmark were asked, task by task.

Only rows that every model was asked are compared: a mean over other rows compares nothing. Rows and whole tasks that
fall away for this are counted, and named with the cause (`left_out`).
"""

from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.jackknife import Stratum
from smart_assets.comparison.left_out import LeftOut, ModelCoverage, left_out, model_name, models_left_out
from smart_assets.core.metrics import HELD_OUT, OWN_METRICS, RowMetric

RowKey = tuple[str, str, str]
"""Benchmark, task and id."""


@dataclass(frozen=True, slots=True)
class RowResults:
    """One model's results, row by row; budget, recipe and seed are None for the base model."""

    budget: int | None
    recipe: str | None
    seed: int | None
    keys: Sequence[RowKey]  # n of them, distinct
    # By the columns of `rows.parquet` that metrics are made of, (n,): NaN in rows that do not have the metric.
    columns: Mapping[str, NDArray[np.float64]]
    evaluated: str = ""  # when, ISO 8601 in UTC; empty where that is not known
    refused: Mapping[RowKey, str] = field(default_factory=dict[RowKey, str])  # by its chat template, in its words
    unlike: str = ""  # in what its evaluation is unlike the newest one, so that its figures compare with nothing

    @property
    def model(self) -> tuple[int | None, str | None, int | None]:
        """Budget, recipe and seed."""
        return self.budget, self.recipe, self.seed


@dataclass(frozen=True, slots=True)
class SharedTask:
    """A task's rows that all of m models were asked; a column a model."""

    task: str
    columns: Mapping[str, NDArray[np.float64]]  # of those that all models have (n, m), NaN as in `RowResults`

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    def measured_by(self, metric: RowMetric) -> "SharedTask":
        """Return the rows that have the metric in all models; none where a model was not measured by it.

        A figure that is no number is a figure where every row has one, and tells of none where only some rows have it.
        """
        columns = [metric.numerator, *([metric.denominator] if metric.denominator else [])]
        if not all(column in self.columns for column in columns):
            return replace(self, columns={})
        if metric.measured_on == "rows":
            return self
        have = ~np.isnan(self.columns[metric.numerator]).any(axis=1)
        return replace(self, columns={name: values[have] for name, values in self.columns.items()})

    def stratum(self, metric: RowMetric) -> Stratum:
        """Return the rows for a metric that all of them have."""
        numerators = self.columns[metric.numerator]
        if metric.denominator is None:
            return Stratum(numerators, np.ones((self.rows, 1)))
        denominators = self.columns[metric.denominator]
        alike = (denominators == denominators[:, :1]).all()
        return Stratum(numerators, denominators[:, :1] if alike else denominators)


@dataclass(frozen=True, slots=True)
class SharedRows:
    """A benchmark's seen or unseen tasks, as all models that have any row of it were asked them."""

    benchmark: str
    unseen: bool
    models: tuple[tuple[int | None, str | None, int | None], ...]  # m of them: budget, recipe, seed
    tasks: tuple[SharedTask, ...]  # by name
    left_out: tuple[LeftOut, ...]  # not asked of all of them
    models_left_out: str  # that were asked none of the rows, and why; in words

    @property
    def rows(self) -> int:
        """Rows of all tasks."""
        return sum(task.rows for task in self.tasks)

    def measured_by(self, metric: RowMetric) -> "SharedRows":
        """Return the rows that have the metric; the others are not left out, they were not to have it."""
        measured = [task.measured_by(metric) for task in self.tasks]
        return replace(self, tasks=tuple(task for task in measured if task.rows))


COMPARED_METRICS = tuple(metric for metric in OWN_METRICS.values() if metric.compared)
"""What recipes are compared by, row by row."""


def share_rows(results: Sequence[RowResults], unseen_tasks: Container[str] = ()) -> Iterator[SharedRows]:
    """Yield the benchmarks' rows: held-out rows of seen tasks, then those of unseen tasks, then other benchmarks."""
    parts: dict[tuple[str, bool], list[tuple[RowResults, dict[RowKey, int]]]] = {}
    for result in results:
        if result.unlike:
            continue
        places: dict[tuple[str, bool], dict[RowKey, int]] = {}
        for place, key in enumerate(result.keys):
            places.setdefault((key[0], key[0] == HELD_OUT and key[1] in unseen_tasks), {})[key] = place
        for part, part_places in places.items():
            parts.setdefault(part, []).append((result, part_places))
    for part in sorted(parts, key=lambda part: (part[0] != HELD_OUT, part)):
        asked = {result.model for result, _ in parts[part]}
        others = [_coverage(result, part, ()) for result in results if result.model not in asked]
        yield _shared(part, parts[part], others)


def _coverage(result: RowResults, part: tuple[str, bool], keys: Iterable[RowKey]) -> ModelCoverage:
    """Return what one model was asked of a benchmark, for `left_out`."""
    refused = {key[1:]: why for key, why in result.refused.items() if key[0] == part[0]}
    name = model_name(result.budget, result.recipe)
    return ModelCoverage(name, {key[1:] for key in keys}, result.evaluated, refused, result.unlike)


def _shared(
    part: tuple[str, bool], asked: Sequence[tuple[RowResults, dict[RowKey, int]]], others: Sequence[ModelCoverage]
) -> SharedRows:
    everywhere = sorted(set.intersection(*(set(places) for _, places in asked)))
    coverage = [_coverage(result, part, places) for result, places in asked]
    rows = [(result, np.array([places[key] for key in everywhere], dtype=np.int64)) for result, places in asked]
    common = [name for name in asked[0][0].columns if all(name in result.columns for result, _ in asked)]
    columns = {name: np.stack([result.columns[name][places] for result, places in rows], axis=1) for name in common}
    tasks: list[SharedTask] = []
    for task, group in groupby(range(len(everywhere)), key=lambda place: everywhere[place][1]):
        chosen = list(group)
        tasks.append(SharedTask(task, {name: values[chosen] for name, values in columns.items()}))
    return SharedRows(
        benchmark=part[0],
        unseen=part[1],
        models=tuple(result.model for result, _ in asked),
        tasks=tuple(tasks),
        left_out=left_out(coverage),
        models_left_out=models_left_out(coverage, others),
    )
