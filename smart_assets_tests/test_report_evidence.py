"""What is said of the recipes follows from their rows, and nothing is claimed that an interval does not carry."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from smart_assets.report import evidence_pictures, pictures
from smart_assets.report.evidence import Evidence, Question, weigh
from smart_assets.report.evidence_chapters import difference_chapter, stopping_chapter, sweep_chapter
from smart_assets.report.findings import (
    base_sentences,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
    stop_sentence,
    stops,
)
from smart_assets.report.record import record, recorded_curve
from smart_assets.report.row_results import RowResults, share_rows
from smart_assets.selection.recipes import Recipe
from smart_assets.selection.sweeps import expand_sweeps, find_sweeps
from smart_assets_tests.test_report_pictures import HOSTILE, size_of

Model = tuple[int | None, str | None, int | None]
PRESETS = Question({"random": "random", "proportional": "proportional"})
ONE_SEED = "one seed: the noise of training is not in this interval"


def results(
    means: Mapping[Model, float], noise: float = 0.1, tasks: Sequence[str] = ("a", "b"), rows: int = 20, seed: int = 0
) -> list[RowResults]:
    """Rows with a loss of their own, equal in all models, and noise; the mean loss of each model as given."""
    rng = np.random.default_rng(seed)
    keys = [("held_out", task, f"{task}{row}") for task in tasks for row in range(rows)]
    tokens = rng.integers(1, 20, len(keys)).astype(float)
    own = rng.gamma(4.0, 0.5, len(keys))
    own -= own.mean()
    found = []
    for (budget, recipe, number), mean in means.items():
        losses = mean + own + noise * rng.normal(size=len(keys))
        found.append(RowResults(budget, recipe, number, keys, losses * tokens, tokens, (losses < mean).astype(float)))
    return found


def loss_of(found: Sequence[RowResults], question: Question = PRESETS) -> Evidence:
    return weigh(found, question)[0]


def test_scores_are_those_of_a_plain_computation() -> None:
    found = results({(200, "smart", 0): 1.0, (200, "smart", 1): 2.0, (200, "random", 0): 2.0, (None, None, None): 4.0})
    losses, matches = weigh(found, PRESETS)
    for model, mean in (((200, "smart"), found[:2]), ((200, "random"), found[2:3]), ((None, None), found[3:])):
        macro = [
            np.mean([one.loss_sums[part].sum() / one.tokens[part].sum() for part in (slice(0, 20), slice(20, 40))])
            for one in mean
        ]
        score = losses.score(*model)
        assert score is not None
        assert score.interval.value == pytest.approx(np.mean(macro))
        assert score.seeds == len(mean)
        exact = matches.score(*model)
        assert exact is not None
        assert exact.interval.value == pytest.approx(np.mean([one.exact_matches.mean() for one in mean]))
    [difference] = losses.differences
    assert (difference.recipe, difference.other, difference.paired) == ("smart", "random", False)


def test_a_sentence_for_each_budget_recipe_and_reference() -> None:
    means = {(200, "smart", 0): 1.0, (200, "random", 0): 1.5, (200, "proportional", 0): 1.0, (400, "smart", 0): 0.9}
    evidence = loss_of(results(means | {(400, "random", 0): 0.9, (200, "bad", 0): 9.0}))
    told = comparison_sentences(evidence)
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
    assert all(sentence.endswith(f"nats per token; {ONE_SEED}).") for sentence in told[:-1])
    low, high = evidence.differences[0].interval.low, evidence.differences[0].interval.high
    assert f"95% interval {low:+.4f} to {high:+.4f}" in told[0]
    assert correction_sentence(evidence).startswith("These are 6 comparisons, each interval for itself, uncorrected")
    assert "Of the 4 that exclude zero, 4 still would" in correction_sentence(evidence)


def test_higher_is_better_for_exact_match() -> None:
    found = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0})
    found[0].exact_matches[:] = 1
    found[1].exact_matches[:] = 0
    _, matches = weigh(found, PRESETS)
    [told] = comparison_sentences(matches)
    assert told.startswith("smart is better than random at 200 rows (difference +1.0000, 95% interval +1.0000")


@pytest.mark.parametrize(
    ("seeds", "caveat"),
    [
        (((0,), (0,)), f"; {ONE_SEED}"),
        (((0, 1), (0,)), "; random has one seed: the noise of its training is not in this interval"),
        (((0,), (0, 1, 2)), "; smart has one seed: the noise of its training is not in this interval"),
        (((0, 1, 2), (0, 1, 2)), ""),
        (((0, 1, 2), (3, 4)), ""),
    ],
    ids=["one each", "one of the other", "one of the recipe", "paired", "different"],
)
def test_what_an_interval_leaves_out_is_said(seeds: tuple[tuple[int, ...], tuple[int, ...]], caveat: str) -> None:
    means = {(200, "smart", seed): 1.0 for seed in seeds[0]} | {(200, "random", seed): 1.0 for seed in seeds[1]}
    evidence = loss_of(results(means))
    [told] = comparison_sentences(evidence)
    assert told.endswith(f"nats per token{caveat}).")
    assert evidence.differences[0].paired == (seeds[0] == seeds[1])


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
    some = [at for at, (_, task, row) in enumerate(other.keys) if task != "c" and row != "a3"]
    fewer = RowResults(
        200, "random", 0, [other.keys[at] for at in some], other.loss_sums[some], other.tokens[some],
        other.exact_matches[some],
    )  # fmt: skip
    evidence = loss_of([one, fewer])
    assert (evidence.tasks, evidence.rows, evidence.tasks_left_out, evidence.rows_left_out) == (2, 39, 1, 21)
    assert omissions(evidence) == (
        "Means over 2 tasks, each counting once, and 39 rows; left out: 1 task not measured in every run "
        "(c: not asked of random at 200 rows) and 21 rows not asked in every run (a: not asked of random at 200 rows)."
    )
    disjoint = [one, RowResults(200, "random", 0, [("held_out", "z", "z0")], *(np.ones(1) for _ in range(3)))]
    assert weigh(disjoint, PRESETS) == ()


def test_accuracy_is_compared_over_the_tasks_whose_choices_every_model_ranked() -> None:
    one, other = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a", "b", "c"))
    ranked = np.array([task != "b" for _, task, _ in one.keys])
    asked = [
        replace(model, right_choices={"accuracy": np.where(ranked, right, np.nan)})
        for model, right in ((one, 1.0), (other, 0.0))
    ]
    *_, accuracy = weigh(asked, PRESETS)
    assert (accuracy.title, accuracy.tasks, accuracy.rows, accuracy.tasks_left_out) == (
        "Held-out rows: accuracy", 2, 40, 0,
    )  # fmt: skip
    [told] = comparison_sentences(accuracy)
    assert told.startswith("smart is better than random at 200 rows (difference +1.0000")
    assert [each.metric.name for each in weigh([asked[0], other], PRESETS)] == ["response_loss", "exact_match"]


def test_order_of_rows_and_models_changes_nothing() -> None:
    means = {(200, name, seed): 1.0 for name in ("smart", "random") for seed in (0, 1)}
    found = results(means)
    shuffled = []
    for at, one in enumerate(found):
        order = np.random.default_rng(at).permutation(len(one.keys))
        keys = [one.keys[place] for place in order]
        shuffled.append(RowResults(*one.model, keys, one.loss_sums[order], one.tokens[order], one.exact_matches[order]))
    assert weigh(shuffled, PRESETS) == weigh(found, PRESETS)
    assert record(loss_of(found[::-1]))["differences"] == record(loss_of(found))["differences"]


def test_a_task_of_one_row_is_told() -> None:
    evidence = loss_of(results({(200, "smart", 0): 1.0}, rows=1))
    assert "2 tasks of one row add nothing to the intervals" in omissions(evidence)


def test_seen_unseen_and_other_benchmarks_stand_apart() -> None:
    held_out = results({(200, "smart", 0): 1.0, (200, "random", 0): 1.0}, tasks=("a", "b", "c"))
    found = [
        RowResults(*one.model, [*one.keys, ("bbh", "c", "x")], *(np.append(part, 1.0) for part in parts))
        for one in held_out
        for parts in [(one.loss_sums, one.tokens, one.exact_matches)]
    ]
    evidence = weigh(found, Question({"random": "random"}, frozenset({"c"})))
    assert [(each.title, each.tasks) for each in evidence] == [
        ("Held-out rows of seen tasks: response loss", 2),
        ("Held-out rows of seen tasks: exact match", 2),
        ("Held-out rows of unseen tasks: response loss", 1),
        ("Held-out rows of unseen tasks: exact match", 1),
        ("bbh: response loss", 1),
        ("bbh: exact match", 1),
    ]
    assert [shared.unseen for shared in share_rows(found, {"c"})] == [False, True, False]
    assert weigh(found, Question({}))[0].title == "Held-out rows: response loss"


def test_no_reference() -> None:
    evidence = weigh(results({(200, "smart", 0): 1.0}), Question({"random": "random"}))
    assert comparison_sentences(evidence[0]) == []
    assert correction_sentence(evidence[0]) == ""
    assert references_sentence(evidence) == (
        "No evaluated recipe is one of the presets random and proportional, so nothing is compared with them."
    )


@pytest.mark.parametrize("broken", ["smart", "random"])
def test_a_figure_that_is_not_finite_is_no_claim(broken: str) -> None:
    found = results({(200, "smart", 0): 1.0, (200, "random", 0): 5.0})
    next(one for one in found if one.recipe == broken).loss_sums[0] = np.nan
    evidence = loss_of(found)
    assert comparison_sentences(evidence) == [
        "smart cannot be compared with random at 200 rows: a figure is not finite."
    ]
    json.dumps(record(evidence), allow_nan=False)
    assert "not finite" in str(difference_chapter([evidence], ("smart", "random")).tables)


def test_standing_to_the_base_model() -> None:
    means: dict[Model, float] = {(None, None, None): 2.0}
    for budget in (200, 400):
        means |= {(budget, "smart", 0): 1.0, (budget, "random", 0): 1.0 if budget == 400 else 2.0}
    told = base_sentences(loss_of(results(means)))
    assert told == [
        "At 200 rows, smart is better than the base model; random is not distinguishable from the base model.",
        "At 400 rows, all 2 recipes are better than the base model.",
    ]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((3.0, 2.0, 1.0), "smart: more rows still help at the largest budget (400 against 800 rows: difference +0.99"),
        ((3.0, 1.0, 1.0), "smart: you can stop at 400 rows: it is not distinguishable from the largest budget (400"),
        ((1.0, 1.0, 1.0), "smart: you can stop at 200 rows: it is not distinguishable from the largest budget (200"),
        ((0.5, 1.0, 1.0), "smart: you can stop at 200 rows: it is better than the largest budget (200 against 800"),
        ((1.0, 3.0, 1.0), "smart: more rows still help at the largest budget (400 against 800 rows: difference +1.99"),
    ],
    ids=["falls to the end", "level from the second", "level", "the smallest is best", "a larger one contradicts"],
)
def test_how_many_rows_are_enough(losses: tuple[float, float, float], expected: str) -> None:
    means = {(budget, "smart", 0): mean for budget, mean in zip((200, 400, 800), losses, strict=True)}
    evidence = loss_of(results(means))
    [stop] = stops(evidence)
    assert stop_sentence(stop, evidence.metric).startswith(expected)
    assert ONE_SEED in stop_sentence(stop, evidence.metric)
    assert len(stopping_chapter([evidence]).tables[0].rows) == 2


def test_one_budget_has_no_curve() -> None:
    evidence = loss_of(results({(200, "smart", 0): 1.0}))
    assert stops(evidence) == []
    assert stopping_chapter([evidence]).sentences == (
        "No recipe has been evaluated row by row at several budgets yet.",
    )


SWEPT = {"random": "random", "smart": "smart", "pruned": {"preset": "smart", "max_tasks": [4, 8]}}


def swept_evidence() -> tuple[Evidence, Question]:
    recipes = {name: Recipe.model_validate(spelled) for name, spelled in expand_sweeps(SWEPT).items()}
    question = Question({"random": "random"}, sweeps=find_sweeps(recipes))
    losses = {"random": 1.0, "smart": 1.0, "pruned_4": 3.0, "pruned_8": 1.0}
    means = {(budget, name, 0): loss for budget in (200, 400) for name, loss in losses.items()}
    del means[400, "smart", 0]
    return loss_of(results(means), question), question


def test_score_against_the_number_of_tasks() -> None:
    evidence, question = swept_evidence()
    chapter = sweep_chapter([evidence], question.sweeps)
    [found] = chapter.tables
    assert [[row[at].text for at in (0, 1, 2, -1)] for row in found.rows] == [
        ["4", "200", "pruned_4", "worse"],
        ["8", "200", "pruned_8", "not distinguishable"],
        ["all", "200", "smart", "–"],
        ["4", "400", "pruned_4", "–"],
        ["8", "400", "pruned_8", "–"],
    ]
    assert len(chapter.pictures) == 1
    assert sweep_chapter([evidence], ()).sentences[0].startswith("No two recipes of a sweep")


def test_the_record_draws_the_same_curve() -> None:
    evidence, _ = swept_evidence()
    recorded = json.loads(json.dumps(record(evidence), allow_nan=False))
    curve = recorded_curve(recorded)
    assert [(point.budget, point.recipe, point.mean) for point in curve.points] == [
        (score.budget, score.recipe, score.interval.value) for score in evidence.scores
    ]
    assert set(comparison_sentences(evidence)) <= set(recorded["sentences"])
    verdicts = {(row["budget"], row["recipe"], row["other"]): row["verdict"] for row in recorded["differences"]}
    assert verdicts[200, "pruned_4", "random"] == "is worse than"
    size_of(pictures.metric_against_budget(curve, ("random", "smart", "pruned_4", "pruned_8")))


def test_pictures_are_equal_for_equal_evidence_and_untroubled() -> None:
    evidence, question = swept_evidence()
    names = ("random", "smart", "pruned_4", "pruned_8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in (
            lambda: evidence_pictures.difference_forest(evidence, names),
            lambda: evidence_pictures.sweep_scores(evidence, question.sweeps[0]),
        ):
            png = draw()
            assert size_of(png)[0] == 1600
            assert draw() == png


def test_hostile_names_and_many_recipes_stay_one_picture() -> None:
    names = [*HOSTILE, *(f"recipe_{at}" for at in range(60))]
    means = {(200, name, 0): 1.0 for name in names}
    evidence = loss_of(results(means, tasks=HOSTILE, rows=2), Question({"random": HOSTILE[0]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert size_of(evidence_pictures.difference_forest(evidence, names))[1] < 2800
    chapter = difference_chapter([evidence], names)
    assert "\x1b" not in str(chapter.bullets) + str(chapter.tables)


def test_nothing_evaluated_says_so() -> None:
    assert difference_chapter([], ()).sentences == ("No model has been evaluated row by row yet.",)
    assert weigh([], PRESETS) == ()
