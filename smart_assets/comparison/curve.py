"""A metric against the budget, as it is drawn: points of recipes with their seeds and intervals, and the base model."""

from dataclasses import dataclass

import numpy as np

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.shared_tasks import TaskComparison
from smart_assets.core.metrics import Metric


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A recipe at a budget."""

    budget: int
    recipe: str
    mean: float  # over tasks and seeds
    seeds: tuple[float, ...]  # the mean of each, where it is drawn
    one_training: bool  # the interval covers the rows alone
    interval: tuple[float, float] | None  # 95%


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one benchmark."""

    title: str
    metric: Metric
    tasks: int
    points: tuple[CurvePoint, ...]  # budgets ascending within a recipe
    base: float | None

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets measured, ascending."""
        return tuple(sorted({point.budget for point in self.points}))

    @property
    def reach(self) -> tuple[float, float] | None:
        """From the lowest to the highest figure drawn for a recipe; None where none is finite."""
        drawn = [value for point in self.points for value in (point.mean, *point.seeds, *(point.interval or ()))]
        finite = [value for value in drawn if np.isfinite(value)]
        return (min(finite), max(finite)) if finite else None


def metric_curve(comparison: TaskComparison, result: ComparisonResult | None = None) -> Curve:
    """Return the curve of a comparison, with the evidence's means and intervals where there are any."""
    points: list[CurvePoint] = []
    for budget in comparison.budgets:
        for standing in sorted(comparison.standings(budget), key=lambda standing: standing.recipe):
            score = result.score(budget, standing.recipe) if result else None
            mean = score.interval.value if score else standing.mean
            interval = (score.interval.low, score.interval.high) if score else None
            seeds = tuple(standing.seed_means)
            points.append(CurvePoint(budget, standing.recipe, mean, seeds, len(seeds) == 1, interval))
    return Curve(comparison.title, comparison.metric, len(comparison.tasks), tuple(points), comparison.base_mean)
