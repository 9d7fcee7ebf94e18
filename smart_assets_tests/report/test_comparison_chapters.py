"""Sweeps, records and pictures of compared recipes."""

import json
import warnings

from smart_assets.comparison.compare_recipes import ComparisonResult, ComparisonSpec
from smart_assets.comparison.comparison_record import comparison_record, recorded_curve
from smart_assets.comparison.findings import (
    comparison_sentences,
)
from smart_assets.mixture.recipes import Recipe
from smart_assets.mixture.sweeps import expand_sweeps, find_sweeps
from smart_assets.report.budget_chapters import sweep_chapter, sweep_scores
from smart_assets.report.difference_chapter import difference_chapter, difference_forest
from smart_assets.report.metric_chapters import metric_against_budget
from smart_assets_tests.support.compared_models import loss_of, results, trained
from smart_assets_tests.support.report_example import HOSTILE, size_of

SWEPT = {"random": "random", "smart": "smart", "pruned": {"preset": "smart", "max_tasks": [4, 8]}}


def swept_evidence() -> tuple[ComparisonResult, ComparisonSpec]:
    recipes = {name: Recipe.model_validate(spelled) for name, spelled in expand_sweeps(SWEPT).items()}
    spec = ComparisonSpec({"random": "random"}, sweeps=find_sweeps(recipes))
    losses = {"random": 1.0, "smart": 1.0, "pruned_4": 3.0, "pruned_8": 1.0}
    means = trained({(budget, name): loss for budget in (200, 400) for name, loss in losses.items()}, 3)
    means = {model: mean for model, mean in means.items() if model[:2] != (400, "smart")}
    return loss_of(results(means), spec), spec


def test_score_against_the_number_of_tasks() -> None:
    comparison, spec = swept_evidence()
    chapter = sweep_chapter([comparison], spec.sweeps)
    [found] = chapter.tables
    assert [[row[at].text for at in (0, 1, 2, -1)] for row in found.rows] == [
        ["4", "200", "pruned_4", "worse"],
        ["8", "200", "pruned_8", "not distinguishable"],
        ["all", "200", "smart", "–"],
        ["4", "400", "pruned_4", "–"],
        ["8", "400", "pruned_8", "–"],
    ]
    assert len(chapter.pictures) == 1
    assert sweep_chapter([comparison], ()).sentences[0].startswith("No two recipes of a sweep")


def test_the_record_draws_the_same_curve() -> None:
    comparison, _ = swept_evidence()
    recorded = json.loads(json.dumps(comparison_record(comparison), allow_nan=False))
    curve = recorded_curve(recorded)
    assert [(point.budget, point.recipe, point.mean) for point in curve.points] == [
        (score.budget, score.recipe, score.interval.value) for score in comparison.scores
    ]
    assert set(comparison_sentences(comparison)) <= set(recorded["sentences"])
    verdicts = {(row["budget"], row["recipe"], row["other"]): row["verdict"] for row in recorded["differences"]}
    assert verdicts[200, "pruned_4", "random"] == "is worse than"
    size_of(metric_against_budget(curve, ("random", "smart", "pruned_4", "pruned_8")))


def test_pictures_are_equal_for_equal_evidence_and_untroubled() -> None:
    comparison, spec = swept_evidence()
    names = ("random", "smart", "pruned_4", "pruned_8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in (
            lambda: difference_forest(comparison, names),
            lambda: sweep_scores(comparison, spec.sweeps[0]),
        ):
            png = draw()
            assert size_of(png)[0] == 1600
            assert draw() == png


def test_hostile_names_and_many_recipes_stay_one_picture() -> None:
    names = [*HOSTILE, *(f"recipe_{at}" for at in range(60))]
    means = {(200, name, 0): 1.0 for name in names}
    comparison = loss_of(results(means, tasks=HOSTILE, rows=2), ComparisonSpec({"random": HOSTILE[0]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert size_of(difference_forest(comparison, names))[1] < 2800
    chapter = difference_chapter([comparison], names)
    assert "\x1b" not in str(chapter.bullets) + str(chapter.tables)
