"""Runs are compared like with like, and the summary claims no more than its measurements carry."""

import numpy as np
import pytest

from smart_assets.report.comparison import compare
from smart_assets.report.content import Measurement, ReportContent
from smart_assets.report.metrics import metric_named
from smart_assets.report.summary import findings, summary
from smart_assets_tests.test_report_content import example_content

Losses = dict[tuple[int | None, str | None, int | None], dict[str, float]]


def rows(losses: Losses, metric: str = "response_loss", benchmark: str = "held_out") -> list[Measurement]:
    return [
        Measurement(budget, recipe, seed, benchmark, task, metric, value, trained=task != "unseen")
        for (budget, recipe, seed), by_task in losses.items()
        for task, value in by_task.items()
    ]


def told(losses: Losses) -> str:
    return " ".join(findings(compare(rows(losses))[0]))


def test_only_tasks_of_every_run_count() -> None:
    [comparison] = compare(
        rows({
            (None, None, None): {"a": 4.0, "b": 6.0, "c": 100.0},
            (200, "smart", 0): {"a": 1.0, "b": 2.0, "c": 100.0},
            (200, "equal", 0): {"a": 1.5, "b": 2.5, "d": 0.0},
        })
    )  # fmt: skip
    assert comparison.tasks == ("a", "b")
    assert comparison.tasks_left_out == 2
    assert comparison.base_mean == 5.0
    assert [standing.mean for standing in comparison.standings(200)] == [1.5, 2.0]


def test_no_shared_task_leaves_nothing_to_compare() -> None:
    comparison = compare(rows({(200, "smart", 0): {"a": 1.0}, (200, "equal", 0): {"b": 1.0}}))[0]
    assert (comparison.runs, comparison.base, comparison.tasks_left_out) == ((), None, 2)
    assert "cannot be compared" in findings(comparison)[0]


def test_means_of_tasks_with_and_without_rows() -> None:
    [comparison] = compare(rows({(200, "smart", seed): {"a": 1.0 + seed, "unseen": 3.0} for seed in (0, 1)}))
    standing = comparison.standing(200, "smart")
    assert standing is not None
    assert (standing.mean_where(trained=True), standing.mean_where(trained=False)) == (1.5, 3.0)
    assert standing.seed_means == [2.0, 2.5]
    [trained_only] = compare(rows({(200, "smart", 0): {"a": 1.0}}))
    assert trained_only.standings(200)[0].mean_where(trained=False) is None


def test_held_out_response_loss_comes_first() -> None:
    one = {(200, "smart", 0): {"a": 1.0}}
    found = compare([*rows(one, "acc,none", "bbh"), *rows(one, "exact_match"), *rows(one), *rows(one, "f1", "mmlu")])
    assert [(each.benchmark, each.metric.name) for each in found] == [
        ("held_out", "response_loss"),
        ("held_out", "exact_match"),
        ("bbh", "acc,none"),
        ("mmlu", "f1"),
    ]


@pytest.mark.parametrize(
    ("name", "lower", "unit"),
    [
        ("response_loss", True, "nats per token"),
        ("word_perplexity,none", True, ""),
        ("acc,none", False, ""),
        ("exact_match", False, ""),
    ],
)
def test_direction_of_a_metric(name: str, lower: bool, unit: str) -> None:
    metric = metric_named(name)
    assert (metric.lower_is_better, metric.unit) == (lower, unit)
    best = compare(rows({(200, "low", 0): {"a": 0.1}, (200, "high", 0): {"a": 0.9}}, name))[0].standings(200)[0]
    assert best.recipe == ("low" if lower else "high")


def test_a_mean_that_is_not_finite_is_never_best() -> None:
    [comparison] = compare(rows({(200, "broken", 0): {"a": float("nan")}, (200, "smart", 0): {"a": 9.0}}))
    assert [standing.recipe for standing in comparison.standings(200)] == ["smart", "broken"]


BASE: Losses = {(None, None, None): {"a": 5.0, "b": 5.0}}


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (
            BASE | {(200, "smart", 0): {"a": 1.0, "b": 2.0}, (200, "equal", 0): {"a": 1.5, "b": 1.75}},
            "At 200 rows, smart has the lowest held-out response loss, 1.5000 nats per token, then equal with 1.6250; "
            "smart is lower on 1 of 2 tasks; the base model has 5.0000. One seed cannot tell such a difference from "
            "noise. Losses are means over 2 tasks, each counting once.",
        ),
        (
            {(200, "smart", 0): {"a": 1.0}},
            "At 200 rows, only smart was evaluated, with a held-out response loss of 1.0000 nats per token; the base "
            "model was not measured. Losses are means over 1 task, each counting once.",
        ),
        (
            BASE | {(200, "smart", 0): {"a": 6.0, "b": 5.0}},
            "At 200 rows, only smart was evaluated, with a held-out response loss of 5.5000 nats per token; the base "
            "model has 5.0000, which no recipe improves on. Losses are means over 2 tasks, each counting once.",
        ),
        (
            {(200, name, 0): {"a": 1.0} for name in ("smart", "equal")},
            "At 200 rows, equal and smart share the lowest held-out response loss, 1.0000 nats per token; the base "
            "model was not measured. One seed cannot tell such a difference from noise. Losses are means over 1 task, "
            "each counting once.",
        ),
        (
            BASE,
            "Only the base model was evaluated, with a held-out response loss of 5.0000 nats per token. "
            "Losses are means over 2 tasks, each counting once.",
        ),
        (
            {(200, "smart", 0): {"a": float("nan")}},
            "At 200 rows, no recipe has a finite held-out response loss. "
            "Losses are means over 1 task, each counting once.",
        ),
    ],
    ids=["one seed", "one recipe", "worse than the base model", "equal", "base model alone", "not finite"],
)
def test_findings(losses: Losses, expected: str) -> None:
    assert told(losses) == expected


@pytest.mark.parametrize(
    ("rival", "expected"),
    [((1.5, 2.5), "overlap, so the difference may be noise"), ((3.0, 4.0), "do not overlap")],
    ids=["overlapping", "apart"],
)
def test_seeds_of_the_best_two(rival: tuple[float, float], expected: str) -> None:
    losses: Losses = {(200, "smart", seed): {"a": value} for seed, value in enumerate((1.0, 2.0))}
    losses |= {(200, "equal", seed): {"a": value} for seed, value in enumerate(rival)}
    assert "1.5000 nats per token (2 seeds, 1.0000 to 2.0000)" in told(losses)
    assert f"The seeds of the best two {expected}." in told(losses)


def test_caveats_that_differ_stand_by_their_budget() -> None:
    losses: Losses = {(200, name, 0): {"a": value} for name, value in (("smart", 1.0), ("equal", 2.0))}
    losses |= {(400, name, seed): {"a": value} for name, value in (("smart", 1.0), ("equal", 2.0)) for seed in (0, 1)}
    first, second = told(losses).split("At 400 rows")
    assert "One seed cannot tell" in first
    assert "do not overlap" in second


def test_summary_figures_equal_the_content() -> None:
    content = example_content()
    text = summary(content, compare(content.measurements))
    train = sum(task.train_rows for task in content.tasks)
    assert f"20 tasks from 2 sources: {train:,} training rows" in text
    assert "30 rejected rows." in text
    assert "Mixtures of 200 and 400 rows were selected by the recipes smart and proportional." in text
    for budget in (200, 400):
        values = [
            row.value
            for row in content.measurements
            if (row.budget, row.recipe, row.metric) == (budget, "smart", "response_loss")
        ]
        assert f"At {budget} rows, smart has the lowest held-out response loss, {np.mean(values):.4f}" in text


def test_summary_of_nothing() -> None:
    assert summary(ReportContent("new"), ()) == (
        "0 tasks from 0 sources: 0 training rows, 0 validation rows, 0 rejected rows. "
        "No mixture has been selected yet. "
        "No held-out response loss has been measured yet, so nothing tells the recipes apart."
    )
