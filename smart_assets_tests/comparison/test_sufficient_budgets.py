"""How many rows are enough: what lies below the margin at the upper bound, and no more than that is said."""

from dataclasses import replace

import numpy as np
import pytest

from smart_assets.comparison.findings import (
    budget_sentence,
)
from smart_assets.report.budget_chapters import sufficient_budget_chapter
from smart_assets_tests.support.compared_models import PRESETS, loss_of, results, trained


@pytest.mark.parametrize(
    ("losses", "noise", "expected"),
    [
        ((3.0, 2.0, 1.0), 0.002, "smart: more rows still help at the largest budget (400 against 800 rows: diff"),
        ((3.0, 1.0, 1.0), 0.002, "smart: you can stop at 400 rows: they are at most +0.0"),
        ((1.0, 1.0, 1.0), 0.002, "smart: you can stop at 200 rows: they are at most +0.0"),
        ((0.5, 1.0, 1.0), 0.002, "smart: you can stop at 200 rows: they are better than 800 rows (95% interval)."),
        ((1.0, 3.0, 1.0), 0.002, "smart: more rows still help at the largest budget (400 against 800 rows: diff"),
        ((1.0, 1.0, 1.0), 0.1, "smart: not known whether fewer rows than 800 are enough: 400 could be up to +0."),
    ],
    ids=[
        "falls to the end",
        "level from the second",
        "level",
        "the smallest is best",
        "a larger one contradicts",
        "noise",
    ],
)
def test_how_many_rows_are_enough(losses: tuple[float, float, float], noise: float, expected: str) -> None:
    means = {(budget, "smart"): mean for budget, mean in zip((200, 400, 800), losses, strict=True)}
    comparison = loss_of(results(trained(means, 5, noise), noise=0.01))
    [sufficient] = comparison.sufficient_budgets
    assert budget_sentence(sufficient, comparison).startswith(expected)
    [table] = sufficient_budget_chapter([comparison]).tables
    assert [row[1].text for row in table.rows] == ["200", "400"]
    assert table.rows[1][8].text == ("yes" if sufficient.reached else "not known")


def test_enough_is_what_lies_below_the_margin_at_the_upper_bound() -> None:
    found = results(trained({(200, "smart"): 1.03, (400, "smart"): 1.0}, 5), noise=0.01)
    comparison = loss_of(found)
    [sufficient] = comparison.sufficient_budgets
    [smaller] = sufficient.smaller
    assert smaller.worse_at_most == pytest.approx(0.03, abs=0.006)
    assert smaller.margin == pytest.approx(0.02 * comparison.scores[-1].interval.value)
    assert (sufficient.reached, smaller.p > 0.95) == (None, True)
    wide = loss_of(found, replace(PRESETS, margin=0.05))
    assert wide.sufficient_budgets[0].reached is not None
    assert wide.sufficient_budgets[0].smaller[0].p < 0.05
    assert "less than the margin of +0.0" in budget_sentence(wide.sufficient_budgets[0], wide)
    assert "5% of the figure at 400 rows" in budget_sentence(wide.sufficient_budgets[0], wide)


def test_a_smaller_budget_is_better_only_where_the_interval_excludes_zero() -> None:
    """The one-sided bound of what it is worse by lies below 0 sooner than the interval does."""
    told = {}
    for trial in range(60):
        means = trained({(200, "smart"): 1.0, (400, "smart"): 1.02}, 3, 0.01)
        comparison = loss_of(results(means, seed=trial, noise=0.01 + trial / 1000))
        [sufficient] = comparison.sufficient_budgets
        [smaller] = sufficient.smaller
        if smaller.worse_at_most <= 0:
            sentence, interval = budget_sentence(sufficient, comparison), smaller.difference.interval
            assert ("they are better than 400" in sentence) == (interval.high < 0)
            assert ("they are no worse than 400" in sentence) == (interval.high >= 0)
            told[interval.high < 0] = sentence
    assert sorted(told) == [False, True]


def test_nothing_is_said_of_the_budgets_of_one_training() -> None:
    comparison = loss_of(results({(200, "smart", 0): 1.0, (400, "smart", 0): 3.0}))
    assert comparison.sufficient_budgets == ()
    chapter = sufficient_budget_chapter([comparison])
    assert chapter.sentences[-1] == (
        "Nothing is said of smart, trained once at a budget: set three or more `finetune.seeds`."
    )
    assert (chapter.bullets, chapter.tables) == ((), ())


def test_a_budget_between_that_was_trained_once_is_named() -> None:
    means = trained({(200, "smart"): 1.0, (800, "smart"): 1.0}, 3) | {(400, "smart", 0): 3.0}
    chapter = sufficient_budget_chapter([loss_of(results(means, noise=0.01))])
    assert chapter.bullets[0].sentences[0].startswith("smart: you can stop at 200 rows")
    assert chapter.sentences[-1].startswith("Nothing is said of smart at 400 rows, trained once at a budget")


def test_reports_rarely_say_to_stop_where_more_rows_help() -> None:
    """The truth is 0.05 nats a doubling, three seeds: "not distinguishable" told 54 of 60 reports to stop early."""
    early = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        truth = {100: 1.15, 200: 1.10, 400: 1.05, 800: 1.0}
        means = {
            (budget, "smart", seed): mean + 0.025 * rng.normal() for budget, mean in truth.items() for seed in range(3)
        }
        [sufficient] = loss_of(results(means, rows=20, seed=trial)).sufficient_budgets
        early += sufficient.reached is not None
    assert early <= 5


def test_one_budget_has_no_curve() -> None:
    comparison = loss_of(results({(200, "smart", 0): 1.0}))
    assert comparison.sufficient_budgets == ()
    assert sufficient_budget_chapter([comparison]).sentences == (
        "No recipe has been evaluated row by row at several budgets yet.",
    )
