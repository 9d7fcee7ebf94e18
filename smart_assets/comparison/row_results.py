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
from smart_assets.core.metrics import ACC, ACC_NORM, ACCURACY, EXACT_MATCH, HELD_OUT, RESPONSE_LOSS, Metric

RowKey = tuple[str, str, str]
"""Benchmark, task and id."""


@dataclass(frozen=True, slots=True)
class RowResults:
    """One model's results, row by row; budget, recipe and seed are None for the base model."""

    budget: int | None
    recipe: str | None
    seed: int | None
    keys: Sequence[RowKey]  # n of them, distinct
    loss_sums: NDArray[np.float64]  # (n,) nats over the response
    tokens: NDArray[np.float64]  # (n,) that the loss was summed over
    exact_matches: NDArray[np.float64]  # (n,) 1 or 0
    # By `accuracy`, `acc` and `acc_norm`, as far as rows have them: (n,) 1, 0, or NaN where none were ranked.
    right_choices: Mapping[str, NDArray[np.float64]] = field(default_factory=dict[str, NDArray[np.float64]])
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
    losses: NDArray[np.float64]  # (n, m)
    tokens: NDArray[np.float64]  # (n, m)
    matches: NDArray[np.float64]  # (n, m)
    choices: Mapping[str, NDArray[np.float64]]  # of each of `CHOICES` (n, m), NaN where none were ranked

    def has(self, metric: Metric) -> bool:
        """Whether all rows have it of all models."""
        return metric not in CHOICES or not bool(np.isnan(self.choices[metric.name]).any())

    def stratum(self, metric: Metric) -> Stratum:
        """The rows for one of `ROW_METRICS`, which they have."""
        if metric in SHARES:
            right = self.choices[metric.name] if metric in CHOICES else self.matches
            return Stratum(right, np.ones((len(right), 1)))
        alike = (self.tokens == self.tokens[:, :1]).all()
        return Stratum(self.losses, self.tokens[:, :1] if alike else self.tokens)


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
        return sum(len(task.losses) for task in self.tasks)

    def measured_by(self, metric: Metric) -> "SharedRows":
        """The tasks that have the metric; the others are not left out, they were not to have it."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.has(metric)))


CHOICES = (ACCURACY, ACC, ACC_NORM)
"""What rows of tasks whose responses were ranked have."""

SHARES = (EXACT_MATCH, *CHOICES)
"""Of the metrics below, those that are shares of rows."""

ROW_METRICS = (RESPONSE_LOSS, *SHARES)
"""What recipes are compared by, row by row. The loss per byte would say what the loss says; few rows have ROUGE-L."""


def share_rows(results: Sequence[RowResults], unseen_tasks: Container[str] = ()) -> Iterator[SharedRows]:
    """The benchmarks' rows: held-out rows of seen tasks first, then those of unseen tasks, then other benchmarks."""
    parts: dict[tuple[str, bool], list[tuple[RowResults, dict[RowKey, int]]]] = {}
    for result in (one for one in results if not one.unlike):
        places: dict[tuple[str, bool], dict[RowKey, int]] = {}
        for at, key in enumerate(result.keys):
            places.setdefault((key[0], key[0] == HELD_OUT and key[1] in unseen_tasks), {})[key] = at
        for part, found in places.items():
            parts.setdefault(part, []).append((result, found))
    for part in sorted(parts, key=lambda part: (part[0] != HELD_OUT, part)):
        there = {result.model for result, _ in parts[part]}
        others = [_asked(result, part, ()) for result in results if result.model not in there]
        yield _shared(part, parts[part], others)


def _asked(result: RowResults, part: tuple[str, bool], keys: Iterable[RowKey]) -> ModelCoverage:
    """What one model was asked of a benchmark, for `left_out`."""
    refused = {key[1:]: why for key, why in result.refused.items() if key[0] == part[0]}
    name = model_name(result.budget, result.recipe)
    return ModelCoverage(name, {key[1:] for key in keys}, result.evaluated, refused, result.unlike)


def _shared(
    part: tuple[str, bool], asked: Sequence[tuple[RowResults, dict[RowKey, int]]], others: Sequence[ModelCoverage]
) -> SharedRows:
    everywhere = sorted(set.intersection(*(set(found) for _, found in asked)))
    told = [_asked(result, part, found) for result, found in asked]
    columns = [(result, np.array([found[key] for key in everywhere], dtype=np.int64)) for result, found in asked]
    losses = np.stack([result.loss_sums[places] for result, places in columns], axis=1)
    tokens = np.stack([result.tokens[places] for result, places in columns], axis=1)
    matches = np.stack([result.exact_matches[places] for result, places in columns], axis=1)
    choices = {
        metric.name: np.stack([_choices(result, metric)[places] for result, places in columns], axis=1)
        for metric in CHOICES
    }
    tasks: list[SharedTask] = []
    for task, rows in groupby(range(len(everywhere)), key=lambda at: everywhere[at][1]):
        chosen = list(rows)
        ranked = {name: right[chosen] for name, right in choices.items()}
        tasks.append(SharedTask(task, losses[chosen], tokens[chosen], matches[chosen], ranked))
    return SharedRows(
        benchmark=part[0],
        unseen=part[1],
        models=tuple(result.model for result, _ in asked),
        tasks=tuple(tasks),
        left_out=left_out(told),
        models_left_out=models_left_out(told, others),
    )


def _choices(result: RowResults, metric: Metric) -> NDArray[np.float64]:
    right = result.right_choices.get(metric.name)
    return np.full(len(result.keys), np.nan) if right is None else right
