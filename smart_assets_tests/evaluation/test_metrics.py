"""Figures of tasks out of row results: checked against sums written out by hand and against plain statistics."""

from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.evaluation.metrics import TaskMetric, macro_means, ratio, row_metrics
from smart_assets.evaluation.rows import RowResult

ROWS = [
    RowResult("a1", "a", {"loss_sum": 6.0, "tokens": 2, "bytes": 10, "exact_match": True}),
    RowResult("b1", "b", {"loss_sum": 4.0, "tokens": 4, "bytes": 8, "exact_match": False}),
    RowResult("a2", "a", {"loss_sum": 2.0, "tokens": 6, "bytes": 30, "exact_match": False}),
]


def test_each_token_of_a_task_counts_the_same() -> None:
    figures = {(metric.task, metric.metric): metric for metric in row_metrics(ROWS)}
    assert figures["a", "response_loss"].value == pytest.approx(8 / 8)
    assert figures["a", "response_loss_per_byte"].value == pytest.approx(8 / 40)
    assert figures["a", "exact_match"].value == pytest.approx(0.5)
    assert figures["a", "response_loss"].rows == 2
    # residuals 6 - 2 and 2 - 6: sqrt(2 / 1 * 32) / 8
    assert figures["a", "response_loss"].stderr == pytest.approx(1.0)


def test_one_row_has_no_standard_error() -> None:
    figures = [metric for metric in row_metrics(ROWS) if metric.task == "b"]
    assert [metric.stderr for metric in figures] == [None, None, None]


def test_each_task_counts_the_same_in_the_macro_means() -> None:
    means = macro_means(row_metrics(ROWS), [])
    expected = {"response_loss": 1.0, "response_loss_per_byte": (0.2 + 0.5) / 2, "exact_match": 0.25}
    assert means.keys() == {"held_out"}
    assert means["held_out"]["all"] == pytest.approx(expected)
    assert means["held_out"]["seen"] == means["held_out"]["all"]
    assert means["held_out"]["unseen"] == {}


def test_seen_and_unseen_tasks_have_means_of_their_own() -> None:
    means = macro_means(row_metrics(ROWS), ["b", "no task"])["held_out"]
    assert (means["seen"]["exact_match"], means["unseen"]["exact_match"], means["all"]["exact_match"]) == (0.5, 0, 0.25)


def test_tasks_of_other_benchmarks_are_unseen_and_their_groups_no_tasks() -> None:
    figures = [TaskMetric(task, "bbh", "acc", value, None, 3) for task, value in [("a", 0.2), ("b", 0.4), ("bbh", 0.9)]]
    means = macro_means([*row_metrics(ROWS), *figures], ["b"], {"bbh": ["a", "b"]})
    assert means.keys() == {"held_out", "bbh"}
    assert means["bbh"]["all"] == means["bbh"]["unseen"] == pytest.approx({"acc": 0.3})
    assert means["bbh"]["seen"] == {}


def test_what_was_not_ranked_or_written_has_no_figure() -> None:
    every = {"loss_sum": 1.0, "tokens": 1, "bytes": 1, "exact_match": False}
    results = [
        RowResult("1", "t", every | {"choice_correct": True}, "c"),
        RowResult("2", "t", every | {"choice_correct": False, "rouge_l": 0.25}, "c", "x"),
        RowResult("3", "u", every, "c"),
    ]
    figures = {(figure.task, figure.metric): (figure.value, figure.rows) for figure in row_metrics(results)}
    assert figures["t", "accuracy"] == (0.5, 2)
    assert figures["t", "rouge_l"] == (0.25, 1)
    assert {metric for task, metric in figures if task == "u"} == {
        "response_loss",
        "response_loss_per_byte",
        "exact_match",
    }


def test_no_rows_have_no_metrics() -> None:
    assert row_metrics([]) == []
    assert macro_means([], []) == {}


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_with_equal_denominators_a_ratio_is_the_mean(values: list[float]) -> None:
    value, stderr = ratio(np.array(values), np.ones(len(values)))
    assert value == pytest.approx(fmean(values), abs=1e-9)
    assert stderr == pytest.approx(stdev(values) / len(values) ** 0.5, abs=1e-9)
