"""Runs are compared like with like, and the summary claims no more than its measurements carry."""

import re
from dataclasses import replace

import numpy as np
import pytest

from smart_assets.comparison.curve import metric_curve
from smart_assets.comparison.shared_tasks import compare_shared_tasks
from smart_assets.core.metrics import Direction
from smart_assets.report.content import ReportContent
from smart_assets.report.metric_chapters import metric_against_budget, metric_chapter, result_chapter
from smart_assets.report.summary import summary
from smart_assets_tests.support.measurements import Losses, measured
from smart_assets_tests.support.report_example import compared_recipes, example_content


def test_only_tasks_of_every_run_count() -> None:
    [comparison] = compare_shared_tasks(
        measured({
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
    comparison = compare_shared_tasks(measured({(200, "smart", 0): {"a": 1.0}, (200, "equal", 0): {"b": 1.0}}))[0]
    assert (comparison.runs, comparison.base, comparison.tasks_left_out) == ((), None, 2)


def test_means_of_tasks_with_and_without_rows() -> None:
    [comparison] = compare_shared_tasks(
        measured({(200, "smart", seed): {"a": 1.0 + seed, "unseen": 3.0} for seed in (0, 1)})
    )
    standing = comparison.standing(200, "smart")
    assert standing is not None
    assert (standing.mean_where(trained=True), standing.mean_where(trained=False)) == (1.5, 3.0)
    assert standing.seed_means == [2.0, 2.5]
    [trained_only] = compare_shared_tasks(measured({(200, "smart", 0): {"a": 1.0}}))
    assert trained_only.standings(200)[0].mean_where(trained=False) is None


def test_held_out_response_loss_comes_first() -> None:
    one = {(200, "smart", 0): {"a": 1.0}}
    found = compare_shared_tasks(
        [*measured(one, "acc,none", "bbh"), *measured(one, "exact_match"), *measured(one), *measured(one, "f1", "mmlu")]
    )
    assert [(each.benchmark, each.metric.name) for each in found] == [
        ("held_out", "response_loss"),
        ("held_out", "exact_match"),
        ("bbh", "acc,none"),
        ("mmlu", "f1"),
    ]


RIVALS: Losses = {
    (None, None, None): {"a": 0.5, "b": 0.5},
    (200, "low", 0): {"a": 0.1, "b": 0.2},
    (200, "high", 0): {"a": 0.9, "b": 0.8},
}


@pytest.mark.parametrize(
    ("direction", "ranking", "gained"),
    [
        (Direction.LOWER, ["low", "high"], {"low": "2 of 2", "high": "0 of 2"}),
        (Direction.HIGHER, ["high", "low"], {"low": "0 of 2", "high": "2 of 2"}),
        (Direction.UNKNOWN, ["high", "low"], {"low": "–", "high": "–"}),  # by name
    ],
)
@pytest.mark.parametrize("name", ["pct_stereotype", "acc", "perplexity", "response_loss"])
def test_the_recorded_direction_ranks_whatever_the_name(
    name: str, direction: Direction, ranking: list[str], gained: dict[str, str]
) -> None:
    found = compare_shared_tasks(measured(RIVALS, name, "crows_pairs", direction))
    assert [standing.recipe for standing in found[0].standings(200)] == ranking
    means = metric_chapter(found, (), ["low", "high"])
    assert {row[2].text: row[-1].text for row in means.tables[0].rows[1:]} == gained
    tasks = result_chapter(found, ["low", "high"])
    assert [row[0].text for row in tasks.tables[0].rows] == ["a", "b"]
    told = f"`evaluate.metric_directions: {{crows_pairs: {{{name}: lower}}}}`"
    for chapter in (means, tasks):
        assert any(told in sentence for sentence in chapter.sentences) is (direction is Direction.UNKNOWN)
    unit = found[0].metric.unit_and_direction
    expected = "which way is better is not declared" if direction is Direction.UNKNOWN else f"{direction} is better"
    assert unit.endswith(expected)
    assert metric_against_budget(metric_curve(found[0]), ["low", "high"]).startswith(b"\x89PNG")


LOWER, HIGHER, UNKNOWN = Direction


@pytest.mark.parametrize(
    ("first", "second", "other_task", "expected"),
    [
        (LOWER, LOWER, LOWER, LOWER),
        (UNKNOWN, HIGHER, HIGHER, HIGHER),  # one evaluation is older than the record
        (LOWER, HIGHER, HIGHER, UNKNOWN),  # the task's YAML was changed in between
        (LOWER, LOWER, HIGHER, UNKNOWN),  # tasks of a group differ
        (LOWER, LOWER, UNKNOWN, UNKNOWN),
        (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)
def test_evaluations_must_agree(
    first: Direction, second: Direction, other_task: Direction, expected: Direction
) -> None:
    of_seeds = [
        row
        for seed, direction in enumerate((first, second))
        for task, found in (("a", direction), ("b", other_task))
        for row in measured({(200, "smart", seed): {task: 1.0}}, "f1", "mmlu", found)
    ]
    [comparison] = compare_shared_tasks(of_seeds)
    assert (comparison.metric.direction, comparison.tasks) == (expected, ("a", "b"))


def test_a_mean_that_is_not_finite_is_never_best() -> None:
    [comparison] = compare_shared_tasks(
        measured({(200, "broken", 0): {"a": float("nan")}, (200, "smart", 0): {"a": 9.0}})
    )
    assert [standing.recipe for standing in comparison.standings(200)] == ["smart", "broken"]


def test_unseen_tasks_are_compared_apart() -> None:
    found = compare_shared_tasks(measured({(200, "smart", 0): {"a": 1.0, "b": 3.0}}), unseen_tasks={"b"})
    assert [(each.title, each.tasks, each.standings(200)[0].mean) for each in found] == [
        ("Held-out rows of seen tasks: response loss", ("a",), 1.0),
        ("Held-out rows of unseen tasks: response loss", ("b",), 3.0),
    ]


def test_summary_figures_equal_the_content() -> None:
    content = example_content()
    paragraph, [told] = summary(content)
    train = sum(task.train_rows for task in content.tasks)
    assert f"20 tasks from 2 sources: {train:,} training rows" in paragraph
    assert "30 rejected rows." in paragraph
    assert "Mixtures of 200 and 400 rows were selected by the recipes smart and proportional." in paragraph
    assert paragraph.endswith("No evaluated recipe is the preset random, so nothing is compared with it.")
    assert told.heading == "Held-out rows: response loss"
    for budget in (200, 400):
        smart, proportional = (
            np.mean(
                [
                    row.value
                    for row in content.measurements
                    if (row.budget, row.recipe, row.metric) == (budget, recipe, "response_loss")
                ]
            )
            for recipe in ("smart", "proportional")
        )
        claim = f"smart at {budget} rows: this one training scored lower than the one training of proportional"
        sentence = next(found for found in told.sentences if found.startswith(claim))
        assert f"(difference {smart - proportional:+.4f}, 95% interval " in sentence
        assert sentence.endswith("over the rows alone; no verdict from one training).")
    base = "all 2 recipes scored lower than the base model on these rows (no verdict from one training)"
    assert f"At 200 and 400 rows, {base}." in told.sentences
    assert told.sentences[-1] == "Means over 20 tasks, each counting once, and 200 rows."


def test_the_summary_claims_nothing_without_an_interval() -> None:
    told = " ".join(sentence for part in summary(example_content(seeds=(0, 1, 2)))[1] for sentence in part.sentences)
    assert not re.search(r"lowest|best|overlap", told)
    claims = re.findall(r"(?:better|worse) than \w+ at [^)]*\)", told)
    assert claims
    for claim in claims:
        low, high = map(float, re.search(r"interval (\S+) to (\S+) nats", claim).groups())  # type: ignore[union-attr]
        assert low > 0 or high < 0


def test_the_summary_gives_no_verdict_on_one_training() -> None:
    told = " ".join(sentence for part in summary(example_content())[1] for sentence in part.sentences)
    assert "this one training scored" in told
    assert not re.search(r"better|worse|best|distinguishable|can stop|still help|enough", told)


def test_a_long_summary_tells_the_largest_budget() -> None:
    names = tuple(f"recipe_{at}" for at in range(8))
    found = compared_recipes(("a", "b"), (0, 1), recipes=("proportional", *names))
    content = replace(example_content(), recipe_comparisons=found)
    [told] = summary(content)[1]
    assert [sentence.split(" rows ")[0][-3:] for sentence in told.sentences[:6]] == ["400"] * 6
    assert "10 more comparisons in the chapter Differences." in told.sentences
    assert "6 more recipes in the chapter How many rows are enough." in told.sentences


def test_summary_of_nothing() -> None:
    assert summary(ReportContent("new")) == (
        "0 tasks from 0 sources: 0 training rows, 0 validation rows, 0 rejected rows. "
        "No mixture has been selected yet. "
        "No response loss has been measured row by row yet: nothing tells the recipes apart.",
        (),
    )
