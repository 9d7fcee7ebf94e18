"""What the rows say about the recipes: scores, differences and budget curves, each with its interval.

Every recipe is compared with the recipes that are the presets `random` and `proportional`, and with the base model, at
each budget; and at each budget with itself at the largest one. Nothing here says more than an interval does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smart_assets.metrics import HELD_OUT, Metric
from smart_assets.report.left_out import LeftOut
from smart_assets.report.row_results import ROW_METRICS, RowResults, SharedRows, share_rows
from smart_assets.report.wording import benchmark_title
from smart_assets.selection.sweeps import Sweep
from smart_assets.statistics.intervals import Interval, difference, holm, mean_over_seeds
from smart_assets.statistics.resampling import Resampled, resample_rows

BASE_MODEL = "the base model"
REFERENCES = ("random", "proportional")
"""Presets that the other recipes are compared with."""


@dataclass(frozen=True, slots=True)
class Score:
    """The mean over tasks and seeds of a recipe at a budget; both are None for the base model."""

    budget: int | None
    recipe: str | None
    seeds: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A recipe at a budget minus another recipe, the base model (`BASE_MODEL`), or itself at another budget."""

    budget: int
    recipe: str
    other: str
    other_budget: int | None  # None for the base model
    seeds: int
    other_seeds: int | None  # None for the base model, which no seed went into
    paired: bool  # the same seeds, subtracted one by one
    interval: Interval
    better: bool | None  # True: better than the other, False: worse, None: the interval does not exclude 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One metric over the rows of a benchmark that all models were asked."""

    benchmark: str
    unseen: bool | None  # of held-out tasks; None where no task is unseen, and for other benchmarks
    metric: Metric
    tasks: int
    rows: int
    left_out: tuple[LeftOut, ...]  # tasks with rows that not all models were asked, and why
    models_left_out: str  # that were asked none of the rows, and why; in words
    tasks_of_one_row: tuple[str, ...]
    references: Mapping[str, str]  # preset -> recipe, of those that are measured
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]  # to other recipes, at one budget
    to_base: tuple[Difference, ...]
    to_largest: tuple[Difference, ...]  # of a recipe at each smaller budget to itself at the largest
    to_last: tuple[Difference, ...]  # of the recipes of a sweep to its last one, at one budget

    @property
    def title(self) -> str:
        """Benchmark and metric in words."""
        return f"{benchmark_title(self.benchmark, self.unseen)}: {self.metric.title}"

    @property
    def tasks_left_out(self) -> int:
        """Tasks of which not one row went to all models."""
        return sum(one.whole for one in self.left_out)

    @property
    def rows_left_out(self) -> int:
        """Rows that did not go to all models, of all tasks."""
        return sum(one.rows for one in self.left_out)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets measured, ascending."""
        return tuple(sorted({score.budget for score in self.scores if score.budget is not None}))

    def score(self, budget: int | None, recipe: str | None) -> Score | None:
        """The score of a recipe at a budget (None, None: of the base model), where it was measured."""
        return next((found for found in self.scores if (found.budget, found.recipe) == (budget, recipe)), None)

    def holds_corrected(self) -> int:
        """How many of the differences to other recipes exclude zero when corrected for their number (Holm)."""
        p = np.array([found.interval.p for found in self.differences if np.isfinite(found.interval.p)])
        return int(holm(p).sum())


@dataclass(frozen=True, slots=True)
class Question:
    """What the rows are asked."""

    references: Mapping[str, str]  # of `REFERENCES`, preset -> the recipe that is this preset
    unseen_tasks: frozenset[str] = frozenset()  # held-out tasks that no mixture was selected from; they stand apart
    sweeps: tuple[Sweep, ...] = ()  # recipes that differ in one parameter alone


def weigh(results: Sequence[RowResults], question: Question) -> tuple[Evidence, ...]:
    """The evidence of each benchmark and metric that rows have, from the results of each evaluated model."""
    return tuple(
        _evidence(measured, metric, question)
        for shared in share_rows(results, question.unseen_tasks)
        for metric in ROW_METRICS
        if (measured := shared.measured_by(metric)).tasks
    )


@dataclass(frozen=True, slots=True)
class _Model:
    """A recipe at a budget, all its seeds."""

    seeds: tuple[int | None, ...]  # s of them
    figures: Resampled


_Models = Mapping[tuple[int | None, str | None], _Model]


def _evidence(shared: SharedRows, metric: Metric, question: Question) -> Evidence:
    models = _models(shared, metric)
    measured = {recipe for _, recipe in models}
    found = {preset: recipe for preset, recipe in question.references.items() if recipe in measured}
    return Evidence(
        benchmark=shared.benchmark,
        unseen=shared.unseen if question.unseen_tasks and shared.benchmark == HELD_OUT else None,
        metric=metric,
        tasks=len(shared.tasks),
        rows=shared.rows,
        left_out=shared.left_out,
        models_left_out=shared.models_left_out,
        tasks_of_one_row=tuple(task.task for task in shared.tasks if len(task.losses) == 1),
        references=found,
        scores=tuple(Score(*key, len(model.seeds), mean_over_seeds(model.figures)) for key, model in models.items()),
        differences=_to_references(models, metric, list(found.values())),
        to_base=_to_base(models, metric),
        to_largest=_to_largest(models, metric),
        to_last=_to_last(models, metric, question.sweeps),
    )


def _models(shared: SharedRows, metric: Metric) -> _Models:
    figures = resample_rows([task.stratum(metric) for task in shared.tasks])
    columns: dict[tuple[int | None, str | None], list[tuple[int | None, int]]] = {}
    for column, (budget, recipe, seed) in enumerate(shared.models):
        columns.setdefault((budget, recipe), []).append((seed, column))
    models: dict[tuple[int | None, str | None], _Model] = {}
    for key in sorted(columns, key=lambda key: key[0] or 0):  # recipes stay in the order of the results
        seeds, places = zip(*sorted(columns[key], key=lambda pair: pair[0] or 0), strict=True)
        models[key] = _Model(seeds, Resampled(figures.values[list(places)], figures.draws[:, list(places)]))
    return models


def _trained(models: _Models) -> list[tuple[int, str]]:
    """All but the base model."""
    return [(budget, recipe) for budget, recipe in models if budget is not None and recipe is not None]


def _to_references(models: _Models, metric: Metric, references: Sequence[str]) -> tuple[Difference, ...]:
    """Each recipe against each reference of its budget; two references against each other once."""
    return tuple(
        _difference(models, metric, (budget, recipe), (budget, other))
        for place, other in enumerate(references)
        for budget, recipe in _trained(models)
        if recipe not in references[: place + 1] and (budget, other) in models
    )


def _to_base(models: _Models, metric: Metric) -> tuple[Difference, ...]:
    base = (None, None)
    return tuple(_difference(models, metric, model, base) for model in _trained(models) if base in models)


def _to_largest(models: _Models, metric: Metric) -> tuple[Difference, ...]:
    largest: dict[str, int] = {}
    for budget, recipe in _trained(models):
        largest[recipe] = max(budget, largest.get(recipe, 0))
    return tuple(
        _difference(models, metric, (budget, recipe), (largest[recipe], recipe))
        for budget, recipe in _trained(models)
        if budget < largest[recipe]
    )


def _to_last(models: _Models, metric: Metric, sweeps: Sequence[Sweep]) -> tuple[Difference, ...]:
    pairs = dict.fromkeys((point.recipe, sweep.points[-1].recipe) for sweep in sweeps for point in sweep.points[:-1])
    return tuple(
        _difference(models, metric, (budget, recipe), (budget, last))
        for recipe, last in pairs
        for budget, found in _trained(models)
        if found == recipe and (budget, last) in models
    )


def _difference(
    models: _Models, metric: Metric, one: tuple[int, str], other: tuple[int | None, str | None]
) -> Difference:
    mine, theirs = models[one], models[other]
    to_base = other[1] is None
    paired = to_base or mine.seeds == theirs.seeds
    interval = difference(mine.figures, theirs.figures, paired)
    return Difference(
        budget=one[0],
        recipe=one[1],
        other=BASE_MODEL if other[1] is None else other[1],
        other_budget=other[0],
        seeds=len(mine.seeds),
        other_seeds=None if to_base else len(theirs.seeds),
        paired=paired and not to_base,
        interval=interval,
        better=metric.improves(interval.value) if interval.excludes_zero else None,
    )
