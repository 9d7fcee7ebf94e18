"""Intervals for a recipe's mean over seeds, and for the difference of two recipes.

Two things are left to chance: which rows were held out (`rows`), and the seeds of the trainings. Each has a variance
and the degrees of freedom that it is known with: n - 1 for n seeds, which are two to five. Student's t at both is
weighed by the variances (Cochran and Cox 1950), so that with two seeds the interval is wide as far as seeds matter, and
only so far. The interval, its one-sided bounds and p come from that one curve: p is below 0.05 exactly where the
interval excludes zero.

What a seed does to single rows is in the spread of the seeds already. So of the spread over rows only the part that the
seeds share is added.
"""

from dataclasses import dataclass, field
from math import exp, inf, isfinite, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.jackknife import Figures

CONFIDENCE = 0.95
ONE_SIDED = 1 - CONFIDENCE
"""The tail beyond a one-sided bound."""

_DECIMALS = 12  # what sums leave of two equal models' difference is no difference
_LEAST_TAIL = 1e-100  # beyond it scipy has no quantiles for every number of degrees


@dataclass(frozen=True, slots=True)
class Spread:
    """What chance does to a figure: the variance from each source, and the degrees of freedom it is known with."""

    variances: tuple[float, ...] = ()
    degrees: tuple[float, ...] = ()

    def reach(self, tail: float) -> float:
        """Return how far above the truth a figure lies with the chance `tail`, in (0, 0.5]."""
        from scipy.special import stdtrit

        total = sum(self.variances)
        if not total:
            return 0.0
        each = zip(self.variances, self.degrees, strict=True)
        return -sum(variance * float(stdtrit(degrees, tail)) for variance, degrees in each if variance) / sqrt(total)

    def tail(self, distance: float) -> float:
        """Return the chance of a figure `distance` or more above the truth; NaN where a variance is no number."""
        from scipy.optimize import root_scalar

        if not isfinite(sum(self.variances)):
            return nan
        if distance < 0:
            return 1 - self.tail(-distance)
        if distance >= self.reach(_LEAST_TAIL):
            return 0.5 if distance == 0 else 0.0
        bracket = (log(_LEAST_TAIL), log(0.5))
        return exp(root_scalar(lambda power: self.reach(exp(power)) - distance, bracket=bracket, method="brentq").root)


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% interval; all but the figure NaN where a figure behind it is no number."""

    value: float
    low: float
    high: float
    p: float  # two-sided: how likely a figure this far from 0 is where the truth is 0
    spread: Spread = field(default=Spread(), compare=False, repr=False)

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never where a bound is no number."""
        return self.low > 0 or self.high < 0

    def within(self, low: float, high: float) -> "Interval":
        """Return it with bounds that the figure cannot pass, such as those of a share."""
        return Interval(self.value, max(self.low, low), min(self.high, high), self.p, self.spread)


def mean_over_seeds(seeds: Figures) -> Interval:
    """Return the mean over (s,) seeds. With one seed the interval covers the rows alone."""
    return _interval(float(seeds.values.mean()), _spread(seeds.deviations.mean(axis=1), (seeds,)))


def difference(figures: Figures, other: Figures, paired: bool) -> Interval:
    """Return one's mean over seeds minus the other's, on the same rows.

    Args:
        one: figures of its seeds.
        other: figures of its seeds.
        paired: the seeds are the same, in the same order, and are subtracted one by one; or `other` is one model that
            no seed went into. Otherwise the seeds of both vary on their own.
    """
    if paired:
        return mean_over_seeds(figures.minus(other))
    value = float(figures.values.mean() - other.values.mean())
    return _interval(value, _spread(figures.deviations.mean(axis=1) - other.deviations.mean(axis=1), (figures, other)))


def holm_level(p: list[float], level: float = ONE_SIDED) -> float:
    """Return the largest p that holds where the chance that any true hypothesis falls may be `level` (Holm 1979).

    All p up to it hold. Below 0 where none does.
    """
    holding = -inf
    for rank, each in enumerate(sorted(p)):
        if each > level / (len(p) - rank):
            break
        holding = each
    return holding


def _spread(row_deviations: NDArray[np.float64], sides: tuple[Figures, ...]) -> Spread:
    """Return the spread of a mean that rows move by `row_deviations` (r,), and each side's seeds on their own."""
    by_task = np.add.reduceat(row_deviations**2, sides[0].starts)
    total, degrees = float(by_task.sum()), _degrees(by_task, sides[0].degrees)
    # Where few rows happen to lie close, all of a small total would be taken for the seeds': one part in its degrees
    # stays, of a single degree the whole.
    rows = max(total - sum(_of_single_seeds(side) for side in sides), total / max(1.0, degrees))
    seeds = [_seeds(side) for side in sides]
    of_seeds, squares = sum(each for each, _ in seeds), sum(each**2 / known for each, known in seeds)
    return Spread(
        (rows + sides[0].least_variance, of_seeds),
        (degrees, of_seeds**2 / squares if squares > 0 else 1.0),
    )


def _degrees(variances: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Return the degrees of freedom of a sum of independent variances (t,) known with degrees (t,).

    Satterthwaite's with the + 2 and - 2 that take out its bias: a square of an estimated variance is too large.
    """
    squares = (variances**2 / (degrees + 2)).sum()
    most = degrees.sum()
    return float(min(most, variances.sum() ** 2 / squares - 2)) if squares > 0 else float(most)


def _of_single_seeds(side: Figures) -> float:
    """Return what of the rows' variance of the mean over seeds is each seed's own: it is in the spread of the seeds."""
    several = side.deviations.shape[1]
    if several == 1:
        return 0.0
    own, mean = float((side.deviations**2).sum()), float((side.deviations.mean(axis=1) ** 2).sum())
    return (own / several - mean) / (several - 1)


def _seeds(side: Figures) -> tuple[float, float]:
    """Return variance and degrees of freedom of the mean over seeds by other seeds; 0 and 1 for one seed."""
    several = len(side.values)
    if several == 1:
        return 0.0, 1.0
    # Two seeds of few rows often have the very same share by chance, and would seem to have no spread.
    return float(side.values.var(ddof=1)) / several + side.least_variance, several - 1.0


def _interval(value: float, spread: Spread) -> Interval:
    value = round(value, _DECIMALS)
    if not isfinite(value) or not isfinite(sum(spread.variances)):
        return Interval(value, nan, nan, nan)
    half = round(spread.reach((1 - CONFIDENCE) / 2), _DECIMALS)
    p = 2 * spread.tail(abs(value)) if value else 1.0
    return Interval(value, value - half, value + half, p, spread)
