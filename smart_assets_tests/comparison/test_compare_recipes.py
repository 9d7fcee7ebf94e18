"""What is said of the recipes follows from their rows, and nothing is claimed that an interval does not carry."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from smart_assets.comparison.compare_recipes import ComparisonSpec, compare_recipes
from smart_assets.comparison.comparison_record import comparison_record
from smart_assets.comparison.findings import (
    base_sentences,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
)
from smart_assets.comparison.row_results import RowResults, share_rows
from smart_assets.report.difference_chapter import difference_chapter
from smart_assets_tests.support.compared_models import PRESETS, Model, loss_of, results, trained
from smart_assets_tests.support.measurements import row_columns

ALONE = "nats per token over the rows alone; no verdict from one training)."


def test_scores_are_those_of_a_plain_computation() -> None:
    found = results({(200, "smart", 0): 1.0, (200, "smart", 1): 2.0, (200, "random", 0): 2.0, (None, None, None): 4.0})
    losses, matches = compare_recipes(found, PRESETS)
    for model, mean in (((200, "smart"), found[:2]), ((200, "random"), found[2:3]), ((None, None), found[3:])):
        macro = [
            np.mean(
                [
                    one.columns["loss_sum"][part].sum() / one.columns["tokens"][part].sum()
                    for part in (slice(0, 20), slice(20, 40))
                ]
            )
            for one in mean
        ]
        score = losses.score(*model)
        assert score is not None
        assert score.interval.value == pytest.approx(np.mean(macro))
        assert score.seeds == len(mean)
        exact = matches.score(*model)
        assert exact is not None
        assert exact.interval.value == pytest.approx(np.mean([one.columns["exact_match"].mean() for one in mean]))
    [difference] = losses.differences
    assert (difference.recipe, difference.other, difference.paired) == ("smart", "random", False)


MEANS = {
    (200, "smart"): 1.0, (200, "random"): 1.5, (200, "proportional"): 1.0, (400, "smart"): 0.9, (400, "random"): 0.9,
    (200, "bad"): 9.0,
}  # fmt: skip


def test_a_sentence_for_each_budget_recipe_and_reference() -> None:
    comparison = loss_of(results(trained(MEANS, 5)))
    told = comparison_sentences(comparison)
    claims = [sentence.partition(" (")[0] for sentence in told]
    assert claims == [
        "smart is better than random at 200 rows",
        "proportional is better than random at 200 rows",
        "bad is worse than random at 200 rows",
        "smart is not distinguishable from proportional at 200 rows",
        "bad is worse than proportional at 200 rows",
        "smart is not distinguishable from random at 400 rows",
        "Nothing is compared with proportional at 400 rows: it was not evaluated.",
    ]
    assert all(sentence.endswith("nats per token).") for sentence in told[:-1])
    low, high = comparison.differences[0].interval.low, comparison.differences[0].interval.high
    assert f"95% interval {low:+.4f} to {high:+.4f}" in told[0]


def test_the_family_is_all_that_the_page_claims() -> None:
    """Losses and exact matches; 6 differences, 2 recipes between two budgets, and whether the smaller is enough."""
    means = trained(MEANS, 5) | {(None, None, None): 2.0}
    losses, matches = compare_recipes(results(means), PRESETS)
    assert losses.family == matches.family
    assert losses.family.claims == 2 * (6 + 6 + 2 + 2)
    assert correction_sentence(losses).startswith("This page makes 32 claims that chance can make false")
    apart = [found for found in losses.all_differences if found.better is not None]
    assert f"Of the {len(apart)} here that exclude zero, {len(apart)} hold corrected" in correction_sentence(losses)


def test_a_difference_that_does_not_hold_corrected_says_so() -> None:
    """Some twentieth of many comparisons of equal recipes exclude zero: chance, and named as such."""
    names = [f"recipe_{at}" for at in range(40)]
    means = trained({(200, name): 1.0 for name in [*names, "random"]}, 3, noise=0.1)
    comparison = loss_of(results(means, noise=0.02))
    claimed = [told for told in comparison_sentences(comparison) if "is not distinguishable" not in told]
    assert 0 < len(claimed) < 20
    assert all(told.endswith("; does not hold corrected for all claims of this page).") for told in claimed)
    [told, *_] = [
        row for row in difference_chapter([comparison], [*names, "random"]).tables[0].rows if row[8].text != "–"
    ]
    assert (told[6].text in ("better", "worse"), told[8].text) == (True, "does not hold")


def test_hundreds_of_large_differences_hold_corrected() -> None:
    """132 comparisons, 128 of them forty standard deviations of a training apart."""
    names = [f"recipe_{at}" for at in range(16)]
    means = {(budget, name): 2.0 for budget in (1, 2, 3, 4) for name in names}
    means |= {(budget, name): 1.0 for budget in (1, 2, 3, 4) for name in ("random", "proportional")}
    comparison = loss_of(results(trained(means, 5, noise=0.025), noise=0.02, rows=10))
    assert len(comparison.differences) == 132
    apart = [found for found in comparison.differences if found.recipe != "proportional"]
    assert len(apart) == 128
    assert all(found.better is False and comparison.family.holds(found.p) for found in apart)


def test_higher_is_better_for_exact_match() -> None:
    found = results({(200, name, seed): 1.0 for name in ("smart", "random") for seed in (0, 1)})
    for one in found:
        one.columns["exact_match"][:] = one.recipe == "smart"
    _, matches = compare_recipes(found, PRESETS)
    [told] = comparison_sentences(matches)
    assert told.startswith("smart is better than random at 200 rows (difference +1.0000, 95% interval +0.7396 to +1.0")
    assert [score.interval.high for score in matches.scores if score.recipe == "smart"] == [1.0]


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (
            ((0,), (0,)),
            "smart at 200 rows: this one training scored lower than the one training of random on these rows (diff",
        ),
        (
            ((0, 1), (0,)),
            "smart at 200 rows: its 2 trainings scored lower than the one training of random on these rows (diff",
        ),
        (
            ((0,), (0, 1, 2)),
            "smart at 200 rows: this one training scored lower than the 3 trainings of random on these rows (diff",
        ),
    ],
    ids=["one each", "one of the other", "one of the recipe"],
)
def test_no_verdict_from_one_training(seeds: tuple[tuple[int, ...], tuple[int, ...]], told: str) -> None:
    """However far apart: what another seed would score is not known."""
    means = {(200, "smart", seed): 1.0 + 0.001 * seed for seed in seeds[0]}
    means |= {(200, "random", seed): 5.0 + 0.001 * seed for seed in seeds[1]}
    comparison = loss_of(results(means))
    [found] = comparison.differences
    assert found.better is None
    assert found.one_training
    assert np.isnan(found.p)
    [sentence] = comparison_sentences(comparison)
    assert sentence.startswith(told)
    assert sentence.endswith("no verdict from one training).")
    [recorded] = comparison_record(comparison)["differences"]
    assert (recorded["verdict"], recorded["p"], recorded["corrected"]) == (
        "one training: scored lower than",
        None,
        None,
    )
    row = difference_chapter([comparison], ("smart", "random")).tables[0].rows[0]
    assert [row[at].text for at in (6, 7, 8)] == ["none: one training", "–", "–"]
    assert comparison.claims() == []
    assert correction_sentence(comparison) == ""


def test_what_an_interval_of_one_training_covers_is_said() -> None:
    means: dict[Model, float] = {(200, "smart", 0): 1.0, (200, "random", 0): 1.5, (200, "random", 1): 1.4}
    [told] = comparison_sentences(loss_of(results(means)))
    assert "nats per token over the rows and the seeds of random; no verdict" in told
    [told] = comparison_sentences(loss_of(results({(200, "smart", 0): 1.0, (200, "random", 0): 1.5})))
    assert told.endswith(ALONE)


@pytest.mark.parametrize("seeds", [((0, 1, 2), (0, 1, 2)), ((0, 1, 2), (3, 4))], ids=["paired", "different"])
def test_seeds_are_paired_where_they_are_the_same(seeds: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    means = {(200, "smart", seed): 1.0 for seed in seeds[0]} | {(200, "random", seed): 1.0 for seed in seeds[1]}
    comparison = loss_of(results(means))
    [told] = comparison_sentences(comparison)
    assert "training" not in told
    assert comparison.differences[0].paired == (seeds[0] == seeds[1])


@pytest.mark.parametrize("noise", [0.014, 0.025, 0.035])
def test_reports_of_one_seed_say_neither_better_nor_worse(noise: float) -> None:
    """Equal recipes whose trainings differ: one seed called one of them better in 28 to 60% of the reports."""
    for trial in range(20):
        rng = np.random.default_rng(trial)
        means = {(200, name, 0): 1 + noise * rng.normal() for name in ("smart", "random", "proportional")}
        means |= {(400, name, 0): 1 + noise * rng.normal() for name in ("smart", "random")}
        comparison = loss_of(results(means | {(None, None, None): 2.0}, rows=20, seed=trial))
        told = " ".join(comparison_record(comparison)["sentences"])
        assert not re.search(r"better|worse|can stop|still help|distinguishable", told)


def test_recipes_that_do_not_differ_are_rarely_told_apart() -> None:
    """The null effect: rows, seeds and single rows of seeds all vary, the recipes do not."""
    rng = np.random.default_rng(9)
    claims = 0
    for trial in range(120):
        means = {(200, name, seed): 1 + 0.03 * rng.normal() for name in ("smart", "random") for seed in range(3)}
        [told] = comparison_sentences(loss_of(results(means, noise=0.2, rows=10, seed=trial)))
        claims += "is not distinguishable from random at 200 rows" not in told
    assert claims / 120 <= 0.10


def test_only_rows_of_every_run_count_and_the_others_are_counted() -> None:
    one, other = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a", "b", "c"))
    some = [place for place, (_, task, row) in enumerate(other.keys) if task != "c" and row != "a3"]
    fewer = RowResults(
        200,
        "random",
        0,
        [other.keys[place] for place in some],
        {name: values[some] for name, values in other.columns.items()},
    )
    comparison = loss_of([one, fewer])
    assert (comparison.tasks, comparison.rows, comparison.tasks_left_out, comparison.rows_left_out) == (2, 39, 1, 21)
    assert omissions(comparison) == (
        "Means over 2 tasks, each counting once, and 39 rows; left out: 1 task not measured in every run "
        "(c: not asked of random at 200 rows) and 21 rows not asked in every run (a: not asked of random at 200 rows)."
    )
    disjoint = [
        one,
        RowResults(200, "random", 0, [("held_out", "z", "z0")], row_columns(*(np.ones(1) for _ in range(3)))),
    ]
    assert compare_recipes(disjoint, PRESETS) == ()


def test_accuracy_is_compared_over_the_tasks_whose_choices_every_model_ranked() -> None:
    one, other = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a", "b", "c"))
    ranked = np.array([task != "b" for _, task, _ in one.keys])
    asked = [
        replace(model, columns={**model.columns, "choice_correct": np.where(ranked, right, np.nan)})
        for model, right in ((one, 1.0), (other, 0.0))
    ]
    *_, accuracy = compare_recipes(asked, PRESETS)
    assert (accuracy.title, accuracy.tasks, accuracy.rows, accuracy.tasks_left_out) == (
        "Held-out rows: accuracy", 2, 40, 0,
    )  # fmt: skip
    [told] = comparison_sentences(accuracy)
    assert told.startswith("smart at 200 rows: this one training scored higher than the one training of random")
    assert [each.metric.name for each in compare_recipes([asked[0], other], PRESETS)] == [
        "response_loss",
        "exact_match",
    ]


def test_order_of_rows_and_models_changes_nothing() -> None:
    means = {(200, name, seed): 1.0 for name in ("smart", "random") for seed in (0, 1)}
    found = results(means)
    shuffled = []
    for at, one in enumerate(found):
        order = np.random.default_rng(at).permutation(len(one.keys))
        keys = [one.keys[place] for place in order]
        shuffled.append(replace(one, keys=keys, columns={name: values[order] for name, values in one.columns.items()}))
    assert compare_recipes(shuffled, PRESETS) == compare_recipes(found, PRESETS)
    assert comparison_record(loss_of(found[::-1]))["differences"] == comparison_record(loss_of(found))["differences"]


def test_a_task_of_one_row_is_told() -> None:
    comparison = loss_of(results({(200, "smart", 0): 1.0}, rows=1))
    assert "2 tasks of one row, whose spread is taken from the other tasks" in omissions(comparison)
    alone = loss_of(results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a",), rows=1))
    assert comparison_sentences(alone) == ["smart cannot be compared with random at 200 rows: one row has no spread."]


def test_one_row_alone_has_no_other_tasks() -> None:
    told = omissions(loss_of(results(trained({(200, "smart"): 1.0}, 2), tasks=("a",), rows=1)))
    assert told == "Means over 1 task, each counting once, and 1 row; 1 task of one row, which has no spread (a)."


def test_seen_unseen_and_other_benchmarks_stand_apart() -> None:
    held_out = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a", "b", "c"))
    found = [
        replace(
            one,
            keys=[*one.keys, ("bbh", "c", "x")],
            columns={name: np.append(values, 1.0) for name, values in one.columns.items()},
        )
        for one in held_out
    ]
    comparison = compare_recipes(found, ComparisonSpec({"random": "random"}, frozenset({"c"})))
    assert [(each.title, each.tasks) for each in comparison] == [
        ("Held-out rows of seen tasks: response loss", 2),
        ("Held-out rows of seen tasks: exact match", 2),
        ("Held-out rows of unseen tasks: response loss", 1),
        ("Held-out rows of unseen tasks: exact match", 1),
        ("bbh: response loss", 1),
        ("bbh: exact match", 1),
    ]
    assert [shared.unseen for shared in share_rows(found, {"c"})] == [False, True, False]
    assert compare_recipes(found, ComparisonSpec({}))[0].title == "Held-out rows: response loss"


def test_no_reference() -> None:
    comparison = compare_recipes(results({(200, "smart", 0): 1.0}), ComparisonSpec({"random": "random"}))
    assert comparison_sentences(comparison[0]) == []
    assert correction_sentence(comparison[0]) == ""
    assert references_sentence(comparison) == (
        "No evaluated recipe is one of the presets random and proportional, so nothing is compared with them."
    )


@pytest.mark.parametrize("broken", ["smart", "random"])
def test_a_figure_that_is_not_finite_is_no_claim(broken: str) -> None:
    found = results({(200, "smart", 0): 1.0, (200, "random", 0): 5.0})
    next(one for one in found if one.recipe == broken).columns["loss_sum"][0] = np.nan
    comparison = loss_of(found)
    assert comparison_sentences(comparison) == [
        "smart cannot be compared with random at 200 rows: a figure is not finite."
    ]
    json.dumps(comparison_record(comparison), allow_nan=False)
    assert "not finite" in str(difference_chapter([comparison], ("smart", "random")).tables)


def test_standing_to_the_base_model() -> None:
    means = trained({(400, name): 1.0 for name in ("smart", "random")} | {(200, "smart"): 1.0, (200, "random"): 2.0}, 3)
    told = base_sentences(loss_of(results(means | {(None, None, None): 2.0})))
    assert told == [
        "At 200 rows, smart is better than the base model; random is not distinguishable from the base model.",
        "At 400 rows, all 2 recipes are better than the base model.",
    ]


def test_one_training_is_no_better_than_the_base_model_either() -> None:
    means: dict[Model, float] = {(None, None, None): 2.0, (200, "smart", 0): 1.0, (200, "random", 0): 3.0}
    assert base_sentences(loss_of(results(means))) == [
        "At 200 rows, smart scored lower than the base model on these rows (no verdict from one training); "
        "random scored higher than the base model on these rows (no verdict from one training)."
    ]


def test_nothing_evaluated_says_so() -> None:
    assert difference_chapter([], ()).sentences == ("No model has been evaluated row by row yet.",)
    assert compare_recipes([], PRESETS) == ()
