"""The rule of promotion against cases that it must tell apart, and people's last word."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.defs.promotion import build_promotion_sensor
from smart_assets.errors import SettingsError
from smart_assets.evaluation.metrics import Metric
from smart_assets.evaluation.record import read_results
from smart_assets.lineage.promotion import history, production, promote, rollback
from smart_assets.lineage.promotion_rule import consider
from smart_assets.settings import Project
from smart_assets.statistics.resampling import mean_interval
from smart_assets.store import Manifest
from smart_assets_tests.projects import write_project
from smart_assets_tests.promotions import PARAMETERS, ROWS, RULE, TASKS, evaluate, losses, measurement, model_of, train


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path, changes={"promotion": RULE, "evaluate": {"tasks": ["mmlu"]}})


def rivals(project: Project, candidate: Any, **more: Any) -> Manifest:
    """Production by the rule, of loss 2 everywhere, and a newer candidate with its evaluation; gives the candidate."""
    old = train(project, "old")
    evaluate(project, old, [measurement(losses())])
    assert consider(project).promoted
    new = train(project, "new")
    evaluate(project, new, candidate, **more)
    return new


def accuracy(values: Sequence[float]) -> list[Metric]:
    """Accuracies of single tasks, and a group's own: were it counted, it would outweigh them."""
    single = [Metric(task, "mmlu", "acc", value, None, 9, True) for task, value in zip(TASKS, values, strict=True)]
    return [*single, Metric("mmlu", "mmlu", "acc", 1000.0, None, 9, True)]


HALF = tuple(id_ for id_ in ROWS if id_.endswith(("0", "1")))
OTHER_PRECISION = PARAMETERS | {"precision": "float32"}
OTHER_VERSION = {"finetuned_checkpoint[10|smart]": "0"}
FIRST_TASK = tuple(id_ for id_, task in ROWS.items() if task == "one")


@pytest.mark.parametrize(
    ("candidate", "more", "promoted", "sentence"),
    [
        ([measurement(losses(-0.5))], {}, True, r"not worse than production.*-0\.5 nats per token, 95% .* 24 rows"),
        ([measurement(losses(0.5))], {}, False, r"worse than production.*\+0\.5 to \+0\.5"),
        ([measurement(losses())], {}, True, r"by \+0 .* \+0 to \+0"),
        ([measurement(losses(0.05, 0.3))], {}, True, r"\+0\.05 .* interval -\S+ to \+"),
        ([measurement(losses(0.9)), measurement(losses(-1.1))], {}, True, r"by -0\.1 "),
        ([measurement(losses(-0.5, rows=HALF))], {}, True, r"6 tasks and 12 rows .*; 12 that only one"),
        ([measurement(losses(-0.5, rows=FIRST_TASK))], {}, False, r"1 tasks have response_loss.*needs 2"),
        ([measurement(losses(-0.5), tokens=5)], {}, False, r"response_loss_per_byte"),
        ([measurement(losses(-0.5))], {"parameters": OTHER_PRECISION}, False, r"evaluated under another precision"),
        ([measurement(losses(-0.5))], {"code_version": "2"}, False, r"another code version"),
        ([measurement(losses(-0.5))], {"inputs": OTHER_VERSION}, False, r"no eval_results yet"),
    ],
    ids=[
        "better", "worse", "equal", "within the noise", "seeds are averaged", "other rows", "one task", "other tokens",
        "other precision", "other code", "evaluation of another version",
    ],
)  # fmt: skip
def test_the_rule_promotes_what_is_not_worse(
    project: Project, candidate: Any, more: Any, promoted: bool, sentence: str
) -> None:
    new = rivals(project, candidate, **more)
    before = history(project)
    decision = consider(project)
    assert decision.promoted is promoted
    assert re.search(sentence, decision.sentence), decision.sentence
    assert not any(task in decision.sentence for task in TASKS[2:4]), "names of tasks stay inside"
    after = consider(project)
    if promoted:
        assert production(project) == model_of(new)
        assert after.sentence.endswith("is production already")
        entry = history(project)[-1]
        assert (entry.who, entry.figures["tasks"]) == ("rule", 6)
    else:
        assert after == decision
        assert history(project) == before


@pytest.mark.parametrize(("rule", "promoted"), [({}, False), ({"margin": 0.6}, True)], ids=str)
def test_the_margin_is_how_much_worse_counts_as_equal(tmp_path: Path, rule: Any, promoted: bool) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | rule})
    rivals(project, [measurement(losses(0.5))])
    assert consider(project).promoted is promoted


@pytest.mark.parametrize(
    ("values", "promoted", "sentence"),
    [
        ([0.6, 0.7, 0.6, 0.7, 0.6, 0.7], True, r"acc on mmlu \(turned so that lower is better\) differs by -0\.15"),
        ([0.4, 0.3, 0.4, 0.3, 0.4, 0.3], False, r"worse than production.*\+0\.15.*the 6 tasks that"),
        ([0.9, 0.9, 0.9, 0.9, 0.9, float("nan")], False, r"acc of mmlu is no number on some task"),
    ],
)
def test_a_benchmark_counts_its_tasks_and_not_their_means(
    tmp_path: Path, values: list[float], promoted: bool, sentence: str
) -> None:
    rule = RULE | {"benchmark": "mmlu", "metric": "acc"}
    project = write_project(tmp_path, changes={"promotion": rule, "evaluate": {"tasks": ["mmlu"]}})
    old = train(project, "old")
    evaluate(project, old, [measurement(losses(), more=accuracy([0.5] * 6))])
    consider(project)
    evaluate(project, train(project, "new"), [measurement(losses(), more=accuracy(values))])
    decision = consider(project)
    assert decision.promoted is promoted
    assert re.search(sentence, decision.sentence), decision.sentence


@pytest.mark.parametrize(("held_out", "collection", "promoted"), [(0.5, -0.5, True), (-0.5, 0.5, False)])
def test_a_collection_counts_by_its_own_rows(
    tmp_path: Path, held_out: float, collection: float, promoted: bool
) -> None:
    collections = {"c": {"path": "c"}}
    changes = {"promotion": RULE | {"benchmark": "c"}, "evaluate": {"collections": collections}}
    project = write_project(tmp_path, changes=changes)
    evaluate(project, train(project, "old"), [measurement(losses(), collection=losses())])
    consider(project)
    candidate = measurement(losses(held_out), collection=losses(collection))
    evaluate(project, train(project, "new"), [candidate])
    decision = consider(project)
    assert decision.promoted is promoted
    assert f"response loss on c differs by {collection:+.4g}" in decision.sentence
    assert "6 tasks and 24 rows" in decision.sentence


def test_rows_recorded_before_there_were_benchmarks_are_held_out(tmp_path: Path) -> None:
    table = measurement(losses())["rows.parquet"]
    pq.write_table(table, tmp_path / "rows.parquet")
    expected = read_results(tmp_path, "held_out")
    new = ["benchmark", "rouge_l", "prediction", "choice_correct"]
    pq.write_table(table.drop_columns(new), tmp_path / "rows.parquet")
    assert len(expected) == len(ROWS)
    assert read_results(tmp_path, "held_out") == expected
    assert read_results(tmp_path, "c") == []


@pytest.mark.parametrize(("shift", "promoted"), [(None, True), (-0.5, False), (0.0, True), (0.5, True)])
def test_the_first_model_is_measured_against_the_base_model(
    project: Project, shift: float | None, promoted: bool
) -> None:
    if shift is not None:
        evaluate(project, None, [measurement(losses(shift))])
    evaluate(project, train(project, "one"), [measurement(losses())])
    decision = consider(project)
    assert decision.promoted is promoted
    assert ("the base model" if shift is not None else "no base_model_results") in decision.sentence


def test_a_person_has_the_last_word(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))])
    train(project, "favourite", "20|smart")
    promote(project, 20, "smart")
    chosen = production(project)
    decision = consider(project)
    assert not decision.promoted
    assert "decided on production after it was trained" in decision.sentence
    evaluate(project, train(project, "newer", later=60), [measurement(losses(-0.5))])
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
    assert promote(project, 10, "smart").production == model_of(bad)


def test_evaluations_that_are_gone_are_not_compared_with(project: Project) -> None:
    old = train(project, "old")
    evaluation = evaluate(project, old, [measurement(losses())])
    consider(project)
    evaluate(project, train(project, "new"), [measurement(losses(-0.5))])
    (project.store.artifact(evaluation) / "seed-0" / "rows.parquet").unlink()
    decision = consider(project)
    assert not decision.promoted
    assert "no eval_results of production" in decision.sentence


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
    evaluate(project, train(project, "one"), [measurement(losses())])
    assert build_promotion_sensor(project) is None
    assert not consider(project).promoted
    assert history(project) == []


@settings(max_examples=40, deadline=None)
@given(
    differences=st.lists(st.integers(-50, 50), min_size=2, max_size=4).map(lambda values: np.array(values) / 10),
    confidence=st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_interval_is_that_of_all_resamples(differences: np.ndarray, confidence: float) -> None:
    every = np.sort([np.mean(drawn) for drawn in itertools.product(differences, repeat=len(differences))])
    low, high = mean_interval(differences, confidence)
    tail, slack = (1 - confidence) / 2, 0.02
    for found, at in ((low, tail), (high, 1 - tail)):
        between = np.quantile(every, [max(at - slack, 0), min(at + slack, 1)], method="inverted_cdf")
        assert between[0] - 1e-9 <= found <= np.quantile(every, min(at + slack, 1), method="higher") + 1e-9
    assert mean_interval(differences, confidence) == (low, high)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"budget": 11}, r"`promotion` names 11\|smart"),
        ({"recipe": "none"}, r"`promotion` names 10\|none"),
        ({"metric": "acc"}, "`metric` of the held-out rows is one of response_loss"),
        ({"benchmark": "mmlu", "metric": "acc"}, "`evaluate` measures held_out"),
        ({"confidence": 1.0}, r"promotion\.confidence.*less than 1"),
        ({"margin": float("inf")}, r"promotion\.margin.*finite"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(tmp_path: Path, rule: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"promotion": RULE | rule})
