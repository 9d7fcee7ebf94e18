"""The best production so far, which later candidates are compared with, and which small steps down cannot pass."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smart_assets.promotion.log import (
    Promoted,
    Record,
    best_so_far,
    evaluation_of,
    history,
    pinned,
    production,
    promote,
    rollback,
)
from smart_assets.promotion.rule import consider
from smart_assets.settings import Project
from smart_assets.settings.automation import Promotion
from smart_assets_tests.support.promotions import (
    RULE,
    losses,
    measurement,
    night,
    production_of,
)


def test_small_steps_down_do_not_add_up(project: Project) -> None:
    first = production_of(project, measurement(losses()))
    within = night(project, "a", measurement(losses(0.15)))
    assert "which is the best production so far" in consider(project).sentence
    night(project, "b", measurement(losses(0.3)))
    decision = consider(project)
    assert not decision.promoted
    not_worse, worse = decision.sentence.split("; ")
    assert re.search(rf": not worse than production, {re.escape(str(within))}, .* by \+0\.15,", not_worse)
    assert re.search(rf"^worse than the best production so far, {re.escape(str(first))}, .* by \+0\.3,", worse)
    better = night(project, "c", measurement(losses(-0.1)))
    assert consider(project).promoted
    assert history(project)[-1].figures["best"]["mean"] == pytest.approx(-0.1)
    assert best_so_far(history(project), rule_of(project)) == better
    night(project, "d", measurement(losses(0.05)))
    assert consider(project).promoted, "it is compared with the better one alone"
    assert best_so_far(history(project), rule_of(project)) == better


def rule_of(project: Project) -> Promotion:
    assert project.settings.promotion is not None
    return project.settings.promotion


def test_thirty_nights_of_slightly_worse_models_end_within_the_margin(project: Project) -> None:
    production_of(project, measurement(losses()))
    shift = 0.0
    for number in range(30):
        night(project, f"night {number}", measurement(losses(shift + 0.08, 0.01)))
        shift += 0.08 if consider(project).promoted else 0.0
    assert shift == 0.16


def test_the_best_so_far_stays_in_the_store_and_without_it_nothing_is_promoted(project: Project) -> None:
    best = production_of(project, measurement(losses()))
    for number in range(3):
        night(project, str(number), measurement(losses(0.01 * (number + 1))))
        assert consider(project).promoted
    evaluation = evaluation_of(project, best)
    assert evaluation is not None
    assert evaluation.content_version in pinned(project)
    assert best.content_version not in pinned(project), "its weights are not compared"
    night(project, "new", measurement(losses(-0.5)))
    (project.store.artifact(evaluation) / "seed-3" / "rows.parquet").unlink()
    decision = consider(project)
    assert not decision.promoted
    assert f"no eval_results of the best production so far, {best}, to compare with" in decision.sentence


def test_what_a_person_promotes_is_what_later_models_are_compared_with(project: Project) -> None:
    production_of(project, measurement(losses()))
    night(project, "safer", measurement(losses(1)), later=60)
    change = promote(project, 10, "smart", reason="it insults nobody")
    assert change.sentence.endswith("; the rule of smart.yaml compares new models with it from now on")
    chosen = change.production
    assert best_so_far(history(project), rule_of(project)) == chosen
    worse = night(project, "next", measurement(losses(1.1)), later=120)
    assert consider(project).promoted
    assert (production(project), best_so_far(history(project), rule_of(project))) == (worse, chosen)


def test_a_rollback_takes_the_best_so_far_back_with_it(project: Project) -> None:
    first = production_of(project, measurement(losses()))
    night(project, "better", measurement(losses(-0.5)))
    assert consider(project).promoted
    rollback(project, "it insults people")
    assert best_so_far(history(project), rule_of(project)) == first
    night(project, "next", measurement(losses(0.1)), later=60)
    assert consider(project).promoted


def decided(number: int, **figures: Any) -> Record:
    model = Promoted(budget=10, recipe="smart", seed=0, content_version=f"{number:032}")
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Record(at=at, action="promote", model=model, who="rule", figures=figures)


@pytest.mark.parametrize(
    ("means", "best"),
    [
        ([0.0, 0.1, 0.1], 0),
        ([0.0, 0.2, -0.1], 0),
        ([0.0, 0.1, -0.2], 2),
        ([0.0, -0.1, 0.05], 1),
        ([0.0, 0.0], 0),
        ([0.0, 0.25, -0.25], 0),  # as good as the best is not better
    ],
)
def test_records_of_before_compare_with_the_production_before_them_alone(means: list[float], best: int) -> None:
    rule = Promotion(**RULE)
    by = {"benchmark": "held_out", "metric": "response_loss"}
    log = [decided(number, rule=by, mean=mean, low=0.0, high=0.0) for number, mean in enumerate(means)]
    assert best_so_far(log, rule) == log[best].model
    log.append(decided(9, rule=by | {"metric": "exact_match"}, best={"mean": 0.5}))
    assert best_so_far(log, rule) == log[-1].model, "nothing says how it compares with those before"
    assert best_so_far([], rule) is None
