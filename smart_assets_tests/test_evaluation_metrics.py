"""Figures of tasks out of row results: checked against sums written out by hand and against plain statistics."""

from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.evaluation.held_out import RowResult
from smart_assets.evaluation.metrics import Metric, held_out_metrics, macro_means, ratio

ROWS = [
    RowResult("a1", "a", loss_sum=6.0, tokens=2, bytes=10, exact_match=True),
    RowResult("b1", "b", loss_sum=4.0, tokens=4, bytes=8, exact_match=False),
    RowResult("a2", "a", loss_sum=2.0, tokens=6, bytes=30, exact_match=False),
]


def test_each_token_of_a_task_counts_the_same() -> None:
    figures = {(metric.task, metric.metric): metric for metric in held_out_metrics(ROWS)}
    assert figures["a", "response_loss"].value == pytest.approx(8 / 8)
    assert figures["a", "response_loss_per_byte"].value == pytest.approx(8 / 40)
    assert figures["a", "exact_match"].value == pytest.approx(0.5)
    assert figures["a", "response_loss"].rows == 2
    # residuals 6 - 2 and 2 - 6: sqrt(2 / 1 * 32) / 8
    assert figures["a", "response_loss"].stderr == pytest.approx(1.0)


def test_one_row_has_no_standard_error() -> None:
    figures = [metric for metric in held_out_metrics(ROWS) if metric.task == "b"]
    assert [metric.stderr for metric in figures] == [None, None, None]


def test_each_task_counts_the_same_in_the_macro_means() -> None:
    other = Metric("t", "some_benchmark", "exact_match", 1.0, None, 3)
    assert macro_means([*held_out_metrics(ROWS), other]) == pytest.approx(
        {"response_loss": 1.0, "response_loss_per_byte": (0.2 + 0.5) / 2, "exact_match": 0.25}
    )


def test_no_rows_have_no_metrics() -> None:
    assert held_out_metrics([]) == []
    assert macro_means([]) == {}


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_with_equal_denominators_a_ratio_is_the_mean(values: list[float]) -> None:
    value, stderr = ratio(np.array(values), np.ones(len(values)))
    assert value == pytest.approx(fmean(values), abs=1e-9)
    assert stderr == pytest.approx(stdev(values) / len(values) ** 0.5, abs=1e-9)
