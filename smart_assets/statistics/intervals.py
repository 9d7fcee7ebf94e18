"""Intervals for a recipe's mean over seeds, and for the difference of two recipes.

Two things are left to chance: which rows were held out, and the seeds of the trainings. Rows are many and are resampled
(`resampling`). Seeds are two to five, too few to resample: two seeds have three resamples, and the interval of a plain
bootstrap over rows and seeds held the true difference in 56% of simulations where it should have in 95%. A mean over n
seeds is drawn from Student's t with n - 1 degrees of freedom around it instead, which knows how little n seeds tell:
with two seeds the interval is wide, rightly so.

What a seed does to single rows is in the spread of the seeds already. So of the spread over rows only the part that the
seeds share is added: the mean covariance of two different seeds over the same resamples.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smart_assets.statistics.resampling import Resampled

CONFIDENCE = 0.95
_DECIMALS = 12  # what matrix products leave of two equal models' difference is no difference


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% interval; all NaN where a figure behind it is no number."""

    value: float
    low: float
    high: float
    p: float  # two-sided: how likely a figure this far from 0 is where the truth is 0

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never where a bound is no number."""
        return self.low > 0 or self.high < 0


def mean_over_seeds(seeds: Resampled) -> Interval:
    """The mean over (s,) seeds. With one seed the interval covers the rows alone."""
    return _interval(float(seeds.values.mean()), _rows(seeds) + _seeds(seeds))


def difference(one: Resampled, other: Resampled, paired: bool) -> Interval:
    """One's mean over seeds minus the other's, on the same resampled rows.

    Args:
        one: figures of its seeds.
        other: figures of its seeds.
        paired: the seeds are the same, in the same order, and are subtracted one by one; or `other` is one model that
            no seed went into. Otherwise the seeds of both vary on their own, and the interval is a little too wide:
            what seeds do to single rows counts twice.
    """
    if paired:
        return mean_over_seeds(Resampled(one.values - other.values, one.draws - other.draws))
    value = float(one.values.mean() - other.values.mean())
    rows = one.draws.mean(axis=1) - other.draws.mean(axis=1) - value
    return _interval(value, rows + _seeds(one) - _seeds(other, stream=1))


def holm(p: NDArray[np.float64], level: float = 1 - CONFIDENCE) -> NDArray[np.bool_]:
    """Which of (n,) hypotheses fall when the chance that any true one falls may be `level` (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    passed = p[order] <= level / np.arange(len(p), 0, -1)
    falls = np.zeros(len(p), dtype=np.bool_)
    falls[order] = np.logical_and.accumulate(passed)
    return falls


def _rows(seeds: Resampled) -> NDArray[np.float64]:
    """Deviations of the mean over seeds on other rows, (r,), with the spread that the seeds share."""
    deviations = seeds.draws.mean(axis=1) - seeds.values.mean()
    several = seeds.draws.shape[1]
    if several == 1:
        return deviations
    covariance = np.cov(seeds.draws, rowvar=False)
    shared = (covariance.sum() - np.trace(covariance)) / (several * (several - 1))
    overall = covariance.mean()
    return deviations * np.sqrt(max(shared, 0.0) / overall) if overall > 0 else deviations


def _seeds(seeds: Resampled, stream: int = 0) -> NDArray[np.float64] | float:
    """Deviations of the mean over seeds by other seeds, (r,); none for one seed. Streams are independent draws."""
    several = len(seeds.values)
    if several == 1:
        return 0.0
    error = float(seeds.values.std(ddof=1)) / np.sqrt(several)
    return error * _student(several - 1, len(seeds.draws), stream)


@lru_cache(maxsize=32)
def _student(degrees: int, draws: int, stream: int) -> NDArray[np.float64]:
    """Draws of Student's t, (r,), not to be written to; another seed than that of the rows."""
    return np.random.default_rng([1, stream]).standard_t(degrees, draws)


def _interval(value: float, deviations: NDArray[np.float64]) -> Interval:
    drawn = np.round(value + deviations, _DECIMALS)
    if not np.isfinite(drawn).all():
        return Interval(value, np.nan, np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    side = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Interval(round(value, _DECIMALS), float(low), float(high), min(1.0, 2 * float(side + 1) / (len(drawn) + 1)))
