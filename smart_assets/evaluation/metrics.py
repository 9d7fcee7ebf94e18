"""Figures of a task out of its rows' results, and their means over tasks.

Losses are ratios of sums, so that within a task each token (or byte) counts the same; over tasks the mean is plain, so
that each task counts the same whatever its size.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.metrics import HELD_OUT, OWN_METRICS, RowMetric
from smart_assets.evaluation.rows import RowResult

MacroMeans = dict[str, dict[str, dict[str, float]]]
"""Benchmark -> `all`, `seen` and `unseen` tasks -> metric -> mean; a group without tasks has no metric."""


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """One figure about one task: of the sources where `benchmark` is `held_out`, of a collection, or of lm-eval."""

    task: str
    benchmark: str
    metric: str
    value: float
    stderr: float | None  # standard error; None where it has none or one row cannot tell
    rows: int
    higher_is_better: bool | None = None  # None where nobody declared it


def row_metrics(results: Sequence[RowResult]) -> list[TaskMetric]:
    """Return the metrics of each task that its rows have, by benchmark and task name, in the registry's order."""
    ordered = sorted(results, key=lambda row: (row.benchmark, row.task))
    return [
        metric
        for (benchmark, task), rows in groupby(ordered, key=lambda row: (row.benchmark, row.task))
        for metric in _task_metrics(task, benchmark, list(rows))
    ]


def macro_means(
    metrics: Sequence[TaskMetric], unseen: Collection[str], groups: Mapping[str, Collection[str]] | None = None
) -> MacroMeans:
    """Return the plain mean over tasks of each metric, for each benchmark: over all, over seen and over unseen ones.

    Args:
        metrics: of any benchmarks.
        unseen: the tasks of the sources that no row was selected from. Of other benchmarks no row ever is.
        groups: for an lm-eval benchmark its single tasks; figures of groups are means of others, and left out.
    """
    singles = groups or {}
    means: MacroMeans = {}
    for benchmark in sorted({metric.benchmark for metric in metrics}):
        tasks = [
            metric
            for metric in metrics
            if metric.benchmark == benchmark and metric.task in singles.get(benchmark, [metric.task])
        ]
        is_unseen = [benchmark != HELD_OUT or metric.task in unseen for metric in tasks]
        means[benchmark] = {
            "all": _means(tasks),
            "seen": _means([metric for metric, new in zip(tasks, is_unseen, strict=True) if not new]),
            "unseen": _means([metric for metric, new in zip(tasks, is_unseen, strict=True) if new]),
        }
    return means


def _means(metrics: Sequence[TaskMetric]) -> dict[str, float]:
    names = sorted({metric.metric for metric in metrics})
    return {name: fmean(metric.value for metric in metrics if metric.metric == name) for name in names}


def _task_metrics(task: str, benchmark: str, rows: Sequence[RowResult]) -> list[TaskMetric]:
    metrics: list[TaskMetric] = []
    for metric in OWN_METRICS.values():
        measured = [row.measured for row in rows if metric.numerator in row.measured]
        if measured:
            numerators = np.array([float(values[metric.numerator]) for values in measured])
            denominators = np.array(
                [1 if metric.denominator is None else values[metric.denominator] for values in measured]
            )
            metrics.append(_task_metric(task, benchmark, metric, numerators, denominators))
    return metrics


def _task_metric(
    task: str, benchmark: str, metric: RowMetric, numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> TaskMetric:
    value, stderr = ratio(numerators, denominators)
    higher_is_better = metric.direction.higher_is_better
    return TaskMetric(task, benchmark, metric.name, value, stderr, len(numerators), higher_is_better)


def ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> tuple[float, float | None]:
    """Sum over sum of (n,) each, and its standard error with the rows as units (linearised; None for one row).

    With all denominators 1 these are the mean and its usual standard error.
    """
    count, total = len(numerators), float(denominators.sum())
    value = float(numerators.sum()) / total
    if count == 1:
        return value, None
    residuals = numerators - value * denominators
    return value, float(np.sqrt(count / (count - 1) * np.sum(residuals**2))) / total
