"""The rule of promotion against cases that it must tell apart, and people's last word."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from smart_assets.cli.models import show_models
from smart_assets.comparison.task_means import MeanDifference
from smart_assets.core.errors import SettingsError
from smart_assets.defs.promotion import build_promotion_sensor
from smart_assets.promotion.log import (
    evaluation_of,
    history,
    production,
    promote,
    rollback,
)
from smart_assets.promotion.rule import _verdict, consider
from smart_assets.settings import Project
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.promotions import (
    FIRST_TASK,
    HALF,
    PARAMETERS,
    RULE,
    TASKS,
    accuracy,
    chosen_production,
    evaluate,
    losses,
    measurement,
    night,
    production_of,
    rivals,
    train,
)

OTHER_VERSION = {"finetuned_checkpoint[10|smart]": "0"}


@pytest.mark.parametrize(
    ("candidate", "more", "promoted", "sentence"),
    [
        ([losses(-0.5)], {}, True, r"not worse than production.*-0\.5, 95% .*t over the 6 tasks and 24 rows that both"),
        ([losses(0.5)], {}, False, r": worse than production.*margin of 0\.2 nats per token.*\+0\.5 to \+0\.5"),
        ([losses()], {}, True, r"by \+0, .* \+0 to \+0"),
        ([losses(0.05, 0.05)], {}, True, r"\+0\.05, 95% interval -0\.0074\d+ to \+0\.1075 "),
        ([losses(0.05, 0.3)], {}, False, r"not known whether worse .* -0\.2949 to \+0\.3949 .* would tell$"),
        ([losses(-1.1), losses(0.9)], {}, True, r"seed 3 .* by -1\.1,"),
        ([losses(0.9), losses(-1.1)], {}, False, r"seed 3 .* by \+0\.9,"),
        ([losses(-0.5, rows=HALF)], {}, True, r"6 tasks and 12 rows .*; 12 that only one"),
        ([losses(-0.5, rows=FIRST_TASK)], {}, False, r"1 tasks have response_loss.*needs 2"),
        ([losses(-0.5)], {"inputs": OTHER_VERSION}, False, r"no eval_results yet"),
    ],
    ids=[
        "better", "worse", "equal", "within the margin", "not known", "the seed to promote is better than the others",
        "the seed to promote is worse than the others", "other rows", "one task", "evaluation of another version",
    ],
)  # fmt: skip
def test_the_rule_promotes_what_is_known_not_to_be_worse(
    project: Project, candidate: Any, more: Any, promoted: bool, sentence: str
) -> None:
    new = rivals(project, [measurement(one) for one in candidate], **more)
    before = history(project)
    decision = consider(project)
    assert decision.promoted is promoted
    assert re.search(sentence, decision.sentence), decision.sentence
    assert not any(task in decision.sentence for task in TASKS[2:4]), "names of tasks stay inside"
    after = consider(project)
    if promoted:
        assert production(project) == new
        assert after.sentence.endswith("is production already")
        entry = history(project)[-1]
        assert (entry.who, entry.figures["seed"], entry.figures["production"]["tasks"]) == ("rule", 3, 6)
        assert entry.reason in decision.sentence
    else:
        assert after == decision
        assert history(project) == before


def test_the_seed_that_production_is_counts_and_not_the_others(project: Project) -> None:
    production_of(project, measurement(losses()), measurement(losses(-3)))
    night(project, "new", measurement(losses(-0.5)), measurement(losses(-0.5)), later=60)
    assert promote(project, 10, "smart", seed=1).production.seed == 1
    night(project, "newer", measurement(losses(-0.6)), measurement(losses(9)), later=120)
    decision = consider(project)
    assert decision.promoted
    assert re.search(r"not worse than production, 10\|smart, seed 1 .* by -0\.1,", decision.sentence)


@pytest.mark.parametrize(
    ("rule", "files", "interval"),
    [
        ({"confidence": 0.95}, measurement(losses(0.0, 0.05)), "95% interval -0.05748 to +0.05748"),
        ({"confidence": 0.99}, measurement(losses(0.0, 0.05)), "99% interval -0.09016 to +0.09016"),
        ({"metric": "exact_match"}, measurement(losses()), "95% interval -0.1071 to +0.1071"),
        ({"benchmark": "mmlu", "metric": "acc"}, [1 / 3, 0.35], "95% interval -0.01667 to -0.01667"),
        ({"benchmark": "mmlu", "metric": "acc"}, [0.35, 0.35], "95% interval -0.02142 to +0.02142"),
    ],
    ids=["95%", "99%", "shares of 4 rows", "no shares of 20 rows", "shares of 20 rows"],
)
def test_how_far_it_is_known(tmp_path: Path, rule: Any, files: Any, interval: str) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | rule, "evaluate": {"tasks": ["mmlu"]}})
    if isinstance(files, list):
        before, files = (measurement(losses(), more=accuracy([value] * 6)) for value in files)
    else:
        before = measurement(losses())
    chosen_production(project, before)
    night(project, "new", files, later=60)
    assert interval in consider(project).sentence


@pytest.mark.parametrize(("margin", "promoted"), [(0.2, False), (0.49, False), (0.5, True), (0.6, True)])
def test_up_to_the_margin_worse_is_borne(tmp_path: Path, margin: float, promoted: bool) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | {"margin": margin}})
    rivals(project, [measurement(losses(0.5))])
    assert consider(project).promoted is promoted


def test_a_seed_that_was_not_evaluated_is_not_promoted(project: Project) -> None:
    production_of(project, measurement(losses()))
    evaluate(project, train(project, "new"), [measurement(losses())], names=(1,))
    assert re.search(r"not promoted: eval_results of \w{12} measured no seed-3", consider(project).sentence)


@pytest.mark.parametrize(("shift", "promoted"), [(None, False), (-0.5, False), (0.0, True), (0.5, True)])
def test_the_first_model_is_measured_against_the_base_model(
    project: Project, shift: float | None, promoted: bool
) -> None:
    if shift is not None:
        evaluate(project, None, [measurement(losses(shift))])
    night(project, "one", measurement(losses()))
    decision = consider(project)
    assert decision.promoted is promoted
    nothing = "there are no base_model_results to compare with: `smart run --select base_model_results` measures it"
    assert ("worse than the base model" if shift is not None else nothing) in decision.sentence


def test_a_base_model_whose_files_are_gone_is_none_to_compare_with(project: Project) -> None:
    manifest = evaluate(project, None, [measurement(losses())])
    night(project, "one", measurement(losses()))
    (project.store.artifact(manifest) / "base" / "rows.parquet").unlink()
    assert "there are no base_model_results to compare with" in consider(project).sentence


def test_another_base_model_is_none_to_compare_with(project: Project) -> None:
    evaluate(project, None, [measurement(losses())], parameters=PARAMETERS | {"base_model": "another"})
    night(project, "one", measurement(losses()))
    assert "base_model_results are of another base model than it was trained from" in consider(project).sentence


def test_a_person_has_the_last_word(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))])
    train(project, "favourite", "20|smart")
    promote(project, 20, "smart")
    chosen = production(project)
    decision = consider(project)
    assert not decision.promoted
    assert "decided on production after it was trained" in decision.sentence
    night(project, "newer", measurement(losses(-0.5)), later=60)
    assert "no eval_results of production" in consider(project).sentence
    assert production(project) == chosen


def test_what_was_rolled_back_does_not_come_back_by_the_rule(project: Project) -> None:
    bad = rivals(project, [measurement(losses(-0.5))])
    assert consider(project).promoted
    rollback(project, "it insults people")
    again = train(project, "new", later=60)  # the same content, made again after the decision
    assert again.content_version == bad.content_version
    decision = consider(project)
    assert not decision.promoted
    assert "was rolled back; `smart promote` brings it back" in decision.sentence
    assert promote(project, 10, "smart").production == bad


def test_evaluations_that_are_gone_are_not_compared_with(project: Project) -> None:
    old = production_of(project, measurement(losses()))
    evaluation = evaluation_of(project, old)
    assert evaluation is not None
    night(project, "new", measurement(losses(-0.5)))
    (project.store.artifact(evaluation) / "seed-3" / "rows.parquet").unlink()
    decision = consider(project)
    assert not decision.promoted
    assert "no eval_results of production" in decision.sentence


def test_models_are_shown_with_the_seed_that_is_judged(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    best = production_of(project, measurement(losses()), measurement(losses(-1)))
    night(project, "a", measurement(losses(0.15)), measurement(losses(-1)))
    assert consider(project).promoted
    show_models(project.config)
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r" 3 2\.15 seed 3 ", shown), "the figure is that of the promoted seed"
    assert "promoted because: not worse than production" in shown
    assert f"the best production so far, which new models are compared with too: {best}" in shown
    assert "by the rule" not in shown, "there is nothing to judge"
    worse = night(project, "b", measurement(losses(0.3)))
    before = history(project)
    show_models(project.config)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"by the rule, at its next look: {worse} is not promoted: not worse than production" in shown
    assert history(project) == before


def test_the_sensor_decides_once_and_says_why(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))])
    sensor = build_promotion_sensor(project)
    assert sensor is not None
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    dg.Definitions.validate_loadable(dg.Definitions(sensors=[sensor]))
    said = [str(sensor().skip_message) for _ in range(2)]  # type: ignore[union-attr]
    assert "is promoted: not worse than production" in said[0]
    assert said[1].endswith("is production already")
    with project.config.open("a") as stream:
        stream.write("# a change\n")
    with pytest.raises(Exception, match="reload the code location"):
        sensor()


def test_without_a_rule_nothing_is_promoted(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    night(project, "one", measurement(losses()))
    assert build_promotion_sensor(project) is None
    assert not consider(project).promoted
    assert history(project) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"budget": 11}, r"`promotion` names 11\|smart"),
        ({"recipe": "none"}, r"`promotion` names 10\|none"),
        ({"metric": "acc"}, "`metric` of the held-out rows is one of response_loss"),
        ({"benchmark": "mmlu", "metric": "acc"}, "`evaluate` measures held_out"),
        ({"confidence": 1.0}, r"promotion\.confidence.*less than 1"),
        ({"confidence": 0.9}, r"promotion\.confidence.*greater than or equal to 0\.95"),
        ({"margin": float("inf")}, r"promotion\.margin.*finite"),
        ({"margin": -0.1}, r"promotion\.margin.*greater than 0"),
        ({"margin": 0.0}, r"promotion: .*`margin` is required and above 0: by how much worse, in the unit of `metric`"),
        ({"margin": None}, r"promotion: .*`margin` is required and above 0"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(tmp_path: Path, rule: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"promotion": RULE | rule})


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        pytest.param(0.0, 0.2, "not worse than", id="up to the margin"),
        pytest.param(0.0, 0.21, "not known whether worse than", id="around the margin"),
        pytest.param(0.2, 0.3, "not known whether worse than", id="from the margin"),
        pytest.param(0.21, 0.3, "worse than", id="above the margin"),
    ],
)
def test_an_interval_is_told_by_where_the_margin_lies(low: float, high: float, words: str) -> None:
    assert _verdict(MeanDifference(np.array(0.25), np.array(low), np.array(high)), 0.2) == words
