"""Figures of a task out of its rows' results, and their means over tasks.

Losses are ratios of sums, so that within a task each token (or byte) counts the same; over tasks the mean is plain, so
that each task counts the same whatever its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from smart_assets.evaluation.held_out import RowResult

HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure about one task: of the collection where `benchmark` is `held_out`, else of lm-eval."""

    task: str
    benchmark: str
    metric: str
    value: float
    stderr: float | None  # standard error; None where it has none or one row cannot tell
    rows: int


def held_out_metrics(results: Sequence[RowResult]) -> list[Metric]:
    """Three metrics for each task, by task name.

    `response_loss` (nats a token of the response and its end) and `response_loss_per_byte` (nats a UTF-8 byte of the
    response; comparable between tokenizers), both in [0, inf), and `exact_match`, the share of rows in [0, 1].
    """
    ordered = sorted(results, key=lambda row: row.task)
    return [
        metric
        for task, rows in groupby(ordered, key=lambda row: row.task)
        for metric in _task_metrics(task, list(rows))
    ]


def macro_means(metrics: Sequence[Metric]) -> dict[str, float]:
    """The plain mean over tasks of each held-out metric."""
    held_out = [metric for metric in metrics if metric.benchmark == HELD_OUT]
    names = sorted({metric.metric for metric in held_out})
    return {name: fmean(metric.value for metric in held_out if metric.metric == name) for name in names}


def _task_metrics(task: str, rows: Sequence[RowResult]) -> list[Metric]:
    losses = np.array([row.loss_sum for row in rows])
    figures = {
        "response_loss": ratio(losses, np.array([row.tokens for row in rows])),
        "response_loss_per_byte": ratio(losses, np.array([row.bytes for row in rows])),
        "exact_match": ratio(np.array([float(row.exact_match) for row in rows]), np.ones(len(rows))),
    }
    return [Metric(task, HELD_OUT, name, value, stderr, len(rows)) for name, (value, stderr) in figures.items()]


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
