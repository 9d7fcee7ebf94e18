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

from smart_assets.core.metrics import (
    ACC,
    ACC_NORM,
    ACCURACY,
    EXACT_MATCH,
    HELD_OUT,
    RESPONSE_LOSS,
    RESPONSE_LOSS_PER_BYTE,
    ROUGE_L,
    Metric,
)
from smart_assets.evaluation.rows import RowResult

MacroMeans = dict[str, dict[str, dict[str, float]]]
"""Benchmark -> `all`, `seen` and `unseen` tasks -> metric -> mean; a group without tasks has no metric."""


ROW_COLUMNS = {
    EXACT_MATCH: "exact_match",
    ACCURACY: "choice_correct",
    ACC: "acc",
    ACC_NORM: "acc_norm",
    ROUGE_L: "rouge_l",
}
"""The metrics that are plain means over rows, and the field of `RowResult` each is of: None where not measured."""


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
    """Metrics for each task, by benchmark and task name.

    `response_loss` (nats a token of the response and its end) and `response_loss_per_byte` (nats a UTF-8 byte of the
    response; comparable between tokenizers), both in [0, inf); `exact_match`, the share of rows in [0, 1]; where the
    task's responses were ranked `accuracy`, `acc` and `acc_norm`, likewise; where answers were written `rouge_l`, their
    mean in [0, 1].
    """
    ordered = sorted(results, key=lambda row: (row.benchmark, row.task))
    return [
        metric
        for (benchmark, task), rows in groupby(ordered, key=lambda row: (row.benchmark, row.task))
        for metric in _task_metrics(task, benchmark, list(rows))
    ]


def macro_means(
    metrics: Sequence[TaskMetric], unseen: Collection[str], groups: Mapping[str, Collection[str]] | None = None
) -> MacroMeans:
    """The plain mean over tasks of each metric, for each benchmark: over all tasks, over seen and over unseen ones.

    Args:
        metrics: of any benchmarks.
        unseen: the tasks of the sources that no row was selected from. Of other benchmarks no row ever is.
        groups: for an lm-eval benchmark its single tasks; figures of groups are means of others, and left out.
    """
    singles = groups or {}
    found: MacroMeans = {}
    for benchmark in sorted({metric.benchmark for metric in metrics}):
        of_tasks = [
            metric
            for metric in metrics
            if metric.benchmark == benchmark and metric.task in singles.get(benchmark, [metric.task])
        ]
        is_unseen = [benchmark != HELD_OUT or metric.task in unseen for metric in of_tasks]
        found[benchmark] = {
            "all": _means(of_tasks),
            "seen": _means([metric for metric, new in zip(of_tasks, is_unseen, strict=True) if not new]),
            "unseen": _means([metric for metric, new in zip(of_tasks, is_unseen, strict=True) if new]),
        }
    return found


def _means(metrics: Sequence[TaskMetric]) -> dict[str, float]:
    names = sorted({metric.metric for metric in metrics})
    return {name: fmean(metric.value for metric in metrics if metric.metric == name) for name in names}


def _task_metrics(task: str, benchmark: str, rows: Sequence[RowResult]) -> list[TaskMetric]:
    losses = np.array([row.loss_sum for row in rows])
    metrics = [
        _metric(task, benchmark, RESPONSE_LOSS, losses, np.array([row.tokens for row in rows])),
        _metric(task, benchmark, RESPONSE_LOSS_PER_BYTE, losses, np.array([row.bytes for row in rows])),
    ]
    shares = {measure: [getattr(row, column) for row in rows] for measure, column in ROW_COLUMNS.items()}
    for measure, found in shares.items():
        values = np.array([float(value) for value in found if value is not None])
        if len(values):
            metrics.append(_metric(task, benchmark, measure, values, np.ones(len(values))))
    return metrics


def _metric(
    task: str, benchmark: str, measure: Metric, numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> TaskMetric:
    value, stderr = ratio(numerators, denominators)
    better = measure.direction.higher_is_better
    return TaskMetric(task, benchmark, measure.name, value, stderr, len(numerators), better)


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
