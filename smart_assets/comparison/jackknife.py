"""Figures of many models over the rows of tasks, and how far other rows would move each of them.

Tasks are fixed, rows are not: another validation split would have held out other rows of the same tasks. How far a
figure would move is told by leaving out one row at a time (the jackknife; Efron and Tibshirani 1993, chapter 11): it
needs no draws, holds for the ratio of two sums, and the same row moves all models together, so that what a hard row
does to both sides of a difference cancels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stratum:
    """The rows of one task: a column's figure is the sum of its numerators over the sum of its denominators."""

    numerators: NDArray[np.float64]  # (n, m), a row a unit that might have been another, a column a model
    denominators: NDArray[np.float64]  # (n, m), positive; (n, 1) where all models have the same


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of m models, each the plain mean over t tasks, and what r rows do to them."""

    values: NDArray[np.float64]  # (m,)
    deviations: NDArray[np.float64]  # (r, m); two columns' sum of products is the covariance of their figures
    starts: NDArray[np.int64]  # (g,), the first row of each sample: a task, or all of them where each has one row
    degrees: NDArray[np.float64]  # (g,) of freedom of each sample's spread
    least_variance: float = 0.0  # of one row more that differs; 0 for figures that are no shares

    def of(self, columns: Sequence[int]) -> "Figures":
        """Return those of some models."""
        return replace(self, values=self.values[columns], deviations=self.deviations[:, columns])

    def minus(self, other: "Figures") -> "Figures":
        """Subtract column by column, on the same rows; one column of the other is taken from all."""
        return replace(self, values=self.values - other.values, deviations=self.deviations - other.deviations)


def measure(strata: Iterable[Stratum], shares: bool = False) -> Figures:
    """Return the plain mean over strata of each column's ratio, with what each row does to it.

    A stratum of one row cannot be told without that row: its deviation is its distance from the mean of the other
    strata, which is more than its own spread. Alone it has none, and what is made of it is no number.

    Args:
        strata: the rows of each task.
        shares: numerators are 0 or 1. Rows that all came out alike would then seem to have no spread, though the next
            one may differ: the variance of one row more is kept ready.

    Raises:
        ValueError: there is no stratum.
    """
    tasks = list(strata)
    if not tasks:
        raise ValueError("there is nothing to measure")
    ratios = np.stack([task.numerators.sum(axis=0) / task.denominators.sum(axis=0) for task in tasks])
    moved = [_without_each(task, ratio) for task, ratio in zip(tasks, ratios, strict=True)]
    for place, task in enumerate(tasks):
        if len(task.numerators) == 1:
            moved[place] = (
                ratios[[place]] - np.delete(ratios, place, axis=0).mean(axis=0) if len(tasks) > 1 else ratios * np.nan
            )
    rows = np.array([len(task.numerators) for task in tasks])
    starts, degrees = np.cumsum(rows) - rows, np.array([max(1.0, _effective_rows(task) - 1) for task in tasks])
    if (rows == 1).all():  # each is told by the others alone: t such tasks are one sample
        starts, degrees = starts[:1], np.array([max(1.0, len(tasks) - 1.0)])
    return Figures(
        values=ratios.mean(axis=0),
        deviations=np.concatenate(moved) / len(tasks),
        starts=starts,
        degrees=degrees,
        least_variance=float((1 / rows).sum() / len(tasks) ** 2 / rows.sum()) if shares else 0.0,
    )


def _without_each(stratum: Stratum, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the ratio (m,) moves without each row, (n, m), so scaled that the squares sum to its variance."""
    rows = len(stratum.numerators)
    rest = stratum.denominators.sum(axis=0) - stratum.denominators
    if rows == 1:
        return np.zeros_like(stratum.numerators)
    return (ratio * stratum.denominators - stratum.numerators) / rest * np.sqrt((rows - 1) / rows)


def _effective_rows(stratum: Stratum) -> float:
    """Return how many rows of equal weight would tell as much (Kish 1965): long responses carry most tokens."""
    weights = stratum.denominators
    return float((weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)).min())
