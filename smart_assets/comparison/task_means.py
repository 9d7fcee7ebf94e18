"""The mean difference of two models over tasks, with its interval, and what may be promoted by it.

Tasks count as a sample of tasks: their n differences give a Student's t interval with n - 1 degrees of freedom. Which
rows a task was measured on is in the spread of the tasks already, as what a seed does to single rows is in the spread
of the seeds (`intervals`): the fewer rows, the further a task's figure is off, and no row is shared between tasks, so
that nothing has to be added. Tasks of unequal rows have unequal spreads; the interval then holds at least as often as
it says (Ibragimov and Mueller 2010, "t-statistic based correlation and heterogeneity robust inference", for two-sided
levels up to 8.3%). If the tasks there are were all that counts, it would be too wide by what tasks truly differ in.

The percentile bootstrap over tasks does not know how few they are: its 95% interval holds in half of the cases with two
tasks, and in 88% with ten.

A share of n rows moves in steps of 1/n. With few tasks of few rows, differences are often equal by the steps alone, and
their spread 0. Each of two figures is rounded to a step, which is a variance of step^2 / 12: twice that is added to the
variance of the tasks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """One model's figure minus another's, as a loss (above 0 it is worse): (...) cases, mean over tasks and bounds."""

    mean: NDArray[np.float64]  # (...)
    low: NDArray[np.float64]  # (...)
    high: NDArray[np.float64]  # (...)


def mean_over_tasks(differences: NDArray[np.float64], steps: NDArray[np.float64], confidence: float) -> MeanDifference:
    """Return the mean over tasks and its two-sided interval; NaN where a difference is no number.

    Args:
        differences: (..., n) of n >= 2 tasks.
        steps: (..., n) the least by which a task's figure can change, 1 / rows for a share of rows; 0 for a loss.
        confidence: of the interval, in (0, 1).

    Raises:
        ValueError: there are fewer than 2 tasks.
    """
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    tasks = differences.shape[-1]
    if tasks < 2:
        raise ValueError(f"an interval over tasks needs at least 2 of them; got {tasks}")
    mean = differences.mean(axis=-1)
    variance = differences.var(axis=-1, ddof=1) + (steps**2).mean(axis=-1) / 6
    half = stdtrit(tasks - 1, (1 + confidence) / 2) * np.sqrt(variance / tasks)
    return MeanDifference(mean, mean - half, mean + half)


def not_inferior(against: Iterable[MeanDifference], margin: float) -> NDArray[np.bool_]:
    """Return whether a model is known to be worse by no more than the margin than each of the others; (...) cases.

    No correction for the number of the others is due: a model that is worse than one of them by more than the margin
    passes no more often than it would pass that one alone.
    """
    return np.logical_and.reduce([difference.high <= margin for difference in against])
