"""Evidence as it is recorded beside the report, so that whoever shows it later needs to compute nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.curve import Curve, CurvePoint
from smart_assets.comparison.differences import Difference
from smart_assets.comparison.findings import (
    base_sentences,
    budget_sentence,
    comparison_sentences,
    correction_sentence,
    omissions,
    verdict,
)
from smart_assets.core.metrics import OWN_METRICS, Direction, recorded_metric
from smart_assets.core.safe_text import shorten

_NAMED = 50  # tasks that are left out, of each benchmark; the sentences count them all


def comparison_record(result: ComparisonResult) -> dict[str, Any]:
    """Return scores, differences and sentences as plain values; a figure that is not finite is None."""
    return {
        "title": shorten(result.title, 80),
        "metric": result.metric.name,
        "better": result.metric.direction.value,
        "tasks": result.tasks,
        "rows": result.rows,
        "left out": [asdict(task) for task in result.left_out[:_NAMED]],
        "scores": [
            {"budget": score.budget, "recipe": score.recipe, "seeds": score.seeds}
            | _finite(value=score.interval.value, low=score.interval.low, high=score.interval.high)
            for score in result.scores
        ],
        "differences": [_difference(difference, result) for difference in result.all_differences],
        "sentences": [
            sentence
            for sentence in (
                *comparison_sentences(result),
                correction_sentence(result),
                *base_sentences(result),
                *(budget_sentence(sufficient, result) for sufficient in result.sufficient_budgets),
                omissions(result),
            )
            if sentence
        ],
    }


def recorded_curve(recorded: Mapping[str, Any]) -> Curve:
    """Return the score against the budget of what `record` gave."""
    trained = [score for score in recorded["scores"] if score["recipe"] is not None and score["value"] is not None]
    base = [score["value"] for score in recorded["scores"] if score["recipe"] is None]
    points = [
        CurvePoint(
            budget=score["budget"],
            recipe=score["recipe"],
            mean=score["value"],
            seeds=(),
            one_training=score["seeds"] == 1,
            interval=None if score["low"] is None else (score["low"], score["high"]),
        )
        for score in trained
    ]
    name = recorded["metric"]
    # What was recorded before directions were is of metrics of ours.
    direction = Direction(recorded["better"]) if "better" in recorded else OWN_METRICS[name].direction
    metric = recorded_metric(name, direction)
    return Curve(recorded["title"], metric, recorded["tasks"], tuple(points), next(iter(base), None))


def _difference(difference: Difference, result: ComparisonResult) -> dict[str, Any]:
    interval = difference.interval
    return {
        "budget": difference.budget,
        "recipe": difference.recipe,
        "other": difference.other,
        "other budget": difference.other_budget,
        **_finite(difference=interval.value, low=interval.low, high=interval.high, p=difference.p),
        "verdict": verdict(difference),
        "corrected": None if difference.better is None else result.family.holds(difference.p),
        "seeds": difference.seeds,
        "other seeds": difference.other_seeds,
    }


def _finite(**figures: float) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in figures.items()}
