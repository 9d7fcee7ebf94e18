"""How many rows are enough: the smallest budget that is known to be hardly worse than the largest one.

"Not distinguishable" is not "enough": it is what few seeds and rows give whatever is true. A budget is enough where
even the upper bound of what it is worse by lies below the margin (a test of non-inferiority). Budgets are tested from
the largest down until one fails, each at the full level: the first one that is truly not enough is passed in at most 5%
of the cases, whatever the number of budgets (a fixed sequence; Maurer, Hothorn and Lehmacher 1995).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from smart_assets.comparison.differences import Difference, RecipeScore
from smart_assets.comparison.intervals import ONE_SIDED
from smart_assets.core.metrics import Direction, Metric


@dataclass(frozen=True, slots=True)
class SmallerBudget:
    """A budget of a recipe beside its largest one."""

    difference: Difference  # to the largest budget
    worse_at_most: float  # the one-sided 95% bound, in the metric's unit; below 0 it is known to be better
    margin: float  # what may be worse and still be enough, in the metric's unit
    p: float  # how likely a difference like this is where the budget is worse by the margin

    @property
    def enough(self) -> bool:
        """Whether it is known to be worse by less than the margin."""
        return self.worse_at_most < self.margin


@dataclass(frozen=True, slots=True)
class SufficientBudget:
    """What is known of a recipe's smaller budgets, the largest of them first; at least one."""

    recipe: str
    largest: int
    smaller: tuple[SmallerBudget, ...]

    @property
    def reached(self) -> SmallerBudget | None:
        """The smallest budget that is enough, all between it and the largest being enough; None: none is known."""
        return next(reversed(list(takewhile(lambda each: each.enough, self.smaller))), None)


def sufficient_budgets(
    to_largest: Iterable[Difference], scores: Sequence[RecipeScore], metric: Metric, margin: float
) -> tuple[SufficientBudget, ...]:
    """Return what is known of each recipe that was trained at several budgets with two seeds or more.

    Args:
        to_largest: of each recipe at each smaller budget to itself at the largest.
        scores: those of the recipes at their largest budgets among them.
        metric: of both.
        margin: share of the score at the largest budget that counts as no worse.
    """
    if not metric.direction.is_known:
        return ()
    smaller: dict[str, list[SmallerBudget]] = {}
    largest = {(score.budget, score.recipe): score.interval.value for score in scores}
    for each in sorted(to_largest, key=lambda each: -each.budget):
        if not each.one_training:
            allowed = margin * abs(largest[each.other_budget, each.recipe])
            smaller.setdefault(each.recipe, []).append(_beside_largest(each, metric, allowed))
    order = dict.fromkeys(each.recipe for each in to_largest)
    return tuple(
        SufficientBudget(recipe, smaller[recipe][0].difference.other_budget or 0, tuple(smaller[recipe]))
        for recipe in order
        if recipe in smaller
    )


def _beside_largest(difference: Difference, metric: Metric, margin: float) -> SmallerBudget:
    interval = difference.interval
    worse = -interval.value if metric.direction is Direction.HIGHER else interval.value
    if not interval.spread.variances:  # not finite
        return SmallerBudget(difference, interval.low, margin, interval.p)
    spread = interval.spread
    return SmallerBudget(difference, worse + spread.reach(ONE_SIDED), margin, spread.tail(margin - worse))
