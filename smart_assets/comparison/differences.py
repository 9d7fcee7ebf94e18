"""Scores of recipes and the differences that are compared: to other recipes, to the base model, between budgets.

A recipe that was trained once has no spread of trainings: nothing is claimed of it, only what this one training scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan

from smart_assets.comparison.intervals import Interval, difference, mean_over_seeds
from smart_assets.comparison.jackknife import Figures, measure
from smart_assets.comparison.row_results import SharedRows
from smart_assets.core.metrics import RowMetric
from smart_assets.mixture.sweeps import Sweep

BASE_MODEL = "the base model"


@dataclass(frozen=True, slots=True)
class RecipeScore:
    """The mean over tasks and seeds of a recipe at a budget; both are None for the base model."""

    budget: int | None
    recipe: str | None
    seeds: int
    interval: Interval

    @property
    def one_training(self) -> bool:
        """Whether it is that of one training, so that its interval covers the rows alone."""
        return self.recipe is not None and self.seeds == 1


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
    better: bool | None  # True: better than the other, False: worse, None: not known, or a side was trained once

    @property
    def one_training(self) -> bool:
        """Whether a side is one training: another seed may score otherwise, and nothing tells by how much."""
        return 1 in (self.seeds, self.other_seeds)

    @property
    def comparable(self) -> bool:
        """Whether it has an interval."""
        return isfinite(self.interval.low)

    @property
    def p(self) -> float:
        """Of the claim that the two differ; NaN where nothing can be claimed."""
        return nan if self.one_training else self.interval.p

    @property
    def names(self) -> tuple[int, str, str, int | None]:
        """What is compared."""
        return self.budget, self.recipe, self.other, self.other_budget


Models = Mapping[tuple[int | None, str | None], tuple[tuple[int | None, ...], Figures]]
"""(Budget, recipe) -> its seeds, ascending, and their figures; (None, None) for the base model."""


def measured_models(shared: SharedRows, metric: RowMetric) -> Models:
    """Return the figures of each recipe at each budget, smaller budgets first."""
    figures = measure([task.stratum(metric) for task in shared.tasks], metric.right_or_wrong)
    columns: dict[tuple[int | None, str | None], list[tuple[int | None, int]]] = {}
    for column, (budget, recipe, seed) in enumerate(shared.models):
        columns.setdefault((budget, recipe), []).append((seed, column))
    models: dict[tuple[int | None, str | None], tuple[tuple[int | None, ...], Figures]] = {}
    for key in sorted(columns, key=lambda key: key[0] or 0):  # recipes stay in the order of the results
        seeds, places = zip(*sorted(columns[key], key=lambda pair: pair[0] or 0), strict=True)
        models[key] = (seeds, figures.of(list(places)))
    return models


def score(key: tuple[int | None, str | None], models: Models, metric: RowMetric) -> RecipeScore:
    """Return the score of one of the models."""
    seeds, figures = models[key]
    interval = mean_over_seeds(figures)
    return RecipeScore(*key, len(seeds), interval.within(0, 1) if metric.is_fraction else interval)


def to_references(models: Models, metric: RowMetric, references: Sequence[str]) -> tuple[Difference, ...]:
    """Return each recipe against each reference of its budget; two references against each other once."""
    return tuple(
        _difference(models, metric, (budget, recipe), (budget, other))
        for place, other in enumerate(references)
        for budget, recipe in _trained(models)
        if recipe not in references[: place + 1] and (budget, other) in models
    )


def to_base(models: Models, metric: RowMetric) -> tuple[Difference, ...]:
    """Return each recipe against the base model, where that was measured."""
    base = (None, None)
    return tuple(_difference(models, metric, model, base) for model in _trained(models) if base in models)


def to_largest(models: Models, metric: RowMetric) -> tuple[Difference, ...]:
    """Return each recipe at each smaller budget against itself at its largest."""
    largest: dict[str, int] = {}
    for budget, recipe in _trained(models):
        largest[recipe] = max(budget, largest.get(recipe, 0))
    return tuple(
        _difference(models, metric, (budget, recipe), (largest[recipe], recipe))
        for budget, recipe in _trained(models)
        if budget < largest[recipe]
    )


def to_last(models: Models, metric: RowMetric, sweeps: Sequence[Sweep]) -> tuple[Difference, ...]:
    """Return each recipe of a sweep against the sweep's last one, at one budget."""
    pairs = dict.fromkeys((point.recipe, sweep.points[-1].recipe) for sweep in sweeps for point in sweep.points[:-1])
    return tuple(
        _difference(models, metric, (budget, recipe), (budget, last))
        for recipe, last in pairs
        for budget, trained in _trained(models)
        if trained == recipe and (budget, last) in models
    )


def _trained(models: Models) -> list[tuple[int, str]]:
    """Return all but the base model."""
    return [(budget, recipe) for budget, recipe in models if budget is not None and recipe is not None]


def _difference(
    models: Models, metric: RowMetric, model: tuple[int, str], other: tuple[int | None, str | None]
) -> Difference:
    seeds, mine = models[model]
    other_seeds, theirs = models[other]
    base = other[1] is None
    paired = base or seeds == other_seeds
    interval = difference(mine, theirs, paired)
    interval = interval.within(-1, 1) if metric.is_fraction else interval
    known = interval.excludes_zero and len(seeds) > 1 and (base or len(other_seeds) > 1)
    return Difference(
        budget=model[0],
        recipe=model[1],
        other=BASE_MODEL if other[1] is None else other[1],
        other_budget=other[0],
        seeds=len(seeds),
        other_seeds=None if base else len(other_seeds),
        paired=paired and not base,
        interval=interval,
        better=metric.improves(interval.value) if known else None,
    )
