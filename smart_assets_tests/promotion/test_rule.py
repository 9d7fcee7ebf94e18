"""The rule of promotion against cases that it must tell apart, and people's last word."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.cli.models import show_models
from smart_assets.core.errors import SettingsError
from smart_assets.defs.promotion import build_promotion_sensor
from smart_assets.evaluation.metrics import TaskMetric
from smart_assets.evaluation.record import ROWS_SCHEMA
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.promotion.figures import Evaluated, NotComparable, difference, evaluated
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
from smart_assets.store import Manifest
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.promotions import (
    PARAMETERS,
    ROWS,
    RULE,
    TASKS,
    chosen_production,
    evaluate,
    losses,
    measurement,
    night,
    train,
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path, changes={"promotion": RULE, "evaluate": {"tasks": ["mmlu"]}})


def production_of(project: Project, *seeds: Any, **more: Any) -> Promoted:
    """The first production, by the rule: it is as good as the base model."""
    evaluate(project, None, [seeds[0]], **more)
    model = night(project, "old", *seeds, **more)
    decision = consider(project)
    assert decision.promoted, decision.sentence
    return model


def rivals(project: Project, candidate: Any, **more: Any) -> Promoted:
    """Production by the rule, of loss 2 everywhere, and a newer candidate with its evaluation; gives the candidate."""
    production_of(project, measurement(losses()))
    return night(project, "new", *candidate, **more)


def accuracy(values: Sequence[float], rows: int = 20) -> list[TaskMetric]:
    """Accuracies of single tasks, and a group's own: were it counted, it would outweigh them."""
    single = [
        TaskMetric(task, "mmlu", "acc", value, None, rows, True) for task, value in zip(TASKS, values, strict=True)
    ]
    return [*single, TaskMetric("mmlu", "mmlu", "acc", 1000.0, None, rows, None)]


HALF = tuple(id_ for id_ in ROWS if id_.endswith(("0", "1")))
OTHER_VERSION = {"finetuned_checkpoint[10|smart]": "0"}
FIRST_TASK = tuple(id_ for id_, task in ROWS.items() if task == "one")


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


def changed(name: str, value: Any) -> dict[str, Any]:
    return PARAMETERS | {name: value}


def changed_evaluate(name: str, value: Any) -> dict[str, Any]:
    return PARAMETERS | {"evaluate": PARAMETERS["evaluate"] | {name: value}}


ON_ROWS = {"benchmark": "held_out", "metric": "response_loss"}
ON_MMLU = {"benchmark": "mmlu", "metric": "acc"}
ON_CHOICES = {"benchmark": "c", "metric": "accuracy"}
ON_ACC = {"benchmark": "c", "metric": "acc"}
ON_ANSWERS = {"benchmark": "c", "metric": "rouge_l"}
ROW_WISE = [ON_ROWS, ON_CHOICES, ON_ACC, ON_ANSWERS]
EVERYWHERE = [*ROW_WISE, ON_MMLU]
GUARDED = {
    "prompt_format": (changed("prompt_format", "chat"), EVERYWHERE),
    "precision": (changed("precision", "float32"), EVERYWHERE),
    "max_length": (changed("max_length", 128), EVERYWHERE),
    "limit": (changed_evaluate("limit", 10), [ON_MMLU]),
    "num_fewshot": (changed_evaluate("num_fewshot", 0), [ON_MMLU]),
    "include": (changed("include", {"a.yaml": "0"}), [ON_MMLU]),
    "local_data": (changed("local_data", {"mmlu": {"a.jsonl": "0"}}), [ON_MMLU]),
    "collections": (changed("collections", {"c": {"outside": {"a.jsonl": "0"}}}), [ON_CHOICES, ON_ACC]),
    "choices": (changed_evaluate("choices", False), [ON_CHOICES, ON_ACC]),
    "generate": (changed_evaluate("generate", {"max_tokens": 8}), [ON_ANSWERS]),
    "of_tomorrow": (changed("of_tomorrow", 1), EVERYWHERE),
    "tomorrow": (changed_evaluate("tomorrow", 1), EVERYWHERE),
    "max_rows_per_task": (changed_evaluate("max_rows_per_task", 8), []),
    "unseen_tasks": (changed_evaluate("unseen_tasks", ["one"]), []),
}
Measured = tuple[Project, Manifest, dict[str, Any], Evaluated]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """A checkpoint, what was measured on it, and that as an evaluation: of rows, choices, answers and a benchmark."""
    collections = {"c": {"path": "c"}}
    changes = {"evaluate": {"tasks": ["mmlu"], "collections": collections}}
    project = write_project(tmp_path_factory.mktemp("measured"), changes=changes)
    checkpoint = train(project, "one")
    files = measurement(losses(), more=accuracy([0.5] * 6), collection=losses())
    return project, checkpoint, files, evaluated(project, evaluate(project, checkpoint, [files]), "seed-3")


@pytest.mark.parametrize("on", EVERYWHERE, ids=lambda on: on["metric"])
@pytest.mark.parametrize("name", GUARDED)
def test_figures_made_under_other_conditions_are_not_compared(
    measured: Measured, name: str, on: dict[str, str]
) -> None:
    project, checkpoint, files, theirs = measured
    parameters, guarded = GUARDED[name]
    mine = evaluated(project, evaluate(project, checkpoint, [files], parameters=parameters), "seed-3")
    for pair in ((mine, theirs), (theirs, mine)):
        if on in guarded:
            with pytest.raises(NotComparable, match=rf"evaluated under another {name}; `smart promote` decides"):
                difference(project, Promotion(**RULE | on), *pair)
        else:
            assert difference(project, Promotion(**RULE | on), *pair).values.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("result", "on", "name"),
    [
        ({"precision": "bfloat16"}, ON_ROWS, "precision of the model"),
        ({"prompt_format": "chat"}, ON_ROWS, "prompt_format of the model"),
        ({"lm_eval": "0.5"}, ON_MMLU, "version of lm-eval"),
        ({"lm_eval": "0.5"}, ON_ROWS, None),
        *[
            ({"benchmarks": {"mmlu": {task: {key: 2} for task in TASKS}}}, ON_MMLU, "version, num_fewshot or rows")
            for key in ("version", "num_fewshot", "rows")
        ],
    ],
    ids=str,
)
def test_what_an_evaluation_recorded_of_itself_is_compared_too(
    measured: Measured, result: Any, on: dict[str, str], name: str | None
) -> None:
    project, checkpoint, files, theirs = measured
    record = json.loads(files["result.json"]) | result
    files = files | {"result.json": json.dumps(record).encode()}
    mine = evaluated(project, evaluate(project, checkpoint, [files]), "seed-3")
    if name is None:
        assert len(difference(project, Promotion(**RULE | on), mine, theirs).values) == 6
    else:
        with pytest.raises(NotComparable, match=f"evaluated under another {name}"):
            difference(project, Promotion(**RULE | on), mine, theirs)


def test_another_code_version_is_not_compared(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))], code_version="0")
    assert "evaluated under another code version" in consider(project).sentence


@pytest.mark.parametrize("asset", ["base_model_results", "eval_results"])
def test_the_base_model_counts_where_both_are_of_todays_code(project: Project, asset: str) -> None:
    old = {"code_version": "0"}
    evaluate(project, None, [measurement(losses())], **(old if asset == "base_model_results" else {}))
    night(project, "new", measurement(losses(-0.5)), **(old if asset == "eval_results" else {}))
    assert "compared with the base model, it was evaluated under another code version" in consider(project).sentence


def test_models_that_cut_rows_into_other_tokens_are_compared_by_bytes(project: Project, tmp_path: Path) -> None:
    rivals(project, [measurement(losses(-0.5), tokens=5)])
    assert "set `promotion.metric` to response_loss_per_byte" in consider(project).sentence
    by_bytes = write_project(tmp_path / "bytes", changes={"promotion": RULE | {"metric": "response_loss_per_byte"}})
    production_of(by_bytes, measurement(losses()))
    night(by_bytes, "new", measurement(losses(-0.5), tokens=5))
    assert "nats per byte: response loss per byte differs by -0.007812," in consider(by_bytes).sentence


@pytest.mark.parametrize(
    ("values", "promoted", "sentence"),
    [
        ([0.6, 0.7, 0.6, 0.7, 0.6, 0.7], True, r"acc on mmlu \(turned so that lower is better\) differs by -0\.15"),
        ([0.2, 0.1, 0.2, 0.1, 0.2, 0.1], False, r": worse than production.*\+0\.35.*the 6 tasks that"),
        ([0.9, 0.9, 0.9, 0.9, 0.9, float("nan")], False, r"acc of mmlu is no number on some task"),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], True, r"by \+0, 95% interval -0\.02142 to \+0\.02142"),
    ],
    ids=["better", "worse", "no number", "equal shares are known to a row's step"],
)
def test_a_benchmark_counts_its_tasks_and_not_their_means(
    tmp_path: Path, values: list[float], promoted: bool, sentence: str
) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | ON_MMLU, "evaluate": {"tasks": ["mmlu"]}})
    production_of(project, measurement(losses(), more=accuracy([0.5] * 6)))
    night(project, "new", measurement(losses(), more=accuracy(values)))
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
    production_of(project, measurement(losses(), collection=losses()))
    night(project, "new", measurement(losses(held_out), collection=losses(collection)))
    decision = consider(project)
    assert decision.promoted is promoted
    assert f"response loss on c differs by {collection:+.4g}" in decision.sentence
    assert "6 tasks and 24 rows" in decision.sentence


@pytest.mark.parametrize("declared", [(None, True, True), (True, True, False)], ids=["one task", "two ways"])
def test_every_task_is_declared_and_all_alike(tmp_path: Path, declared: Sequence[bool | None]) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | ON_MMLU, "evaluate": {"tasks": ["mmlu"]}})
    more = [TaskMetric(task, "mmlu", "acc", 0.5, None, 9, way) for task, way in zip(TASKS[:3], declared, strict=True)]
    chosen_production(project, measurement(losses(), more=more))
    night(project, "new", measurement(losses(), more=more), later=60)
    assert "not known whether a lower or a higher acc of mmlu is better" in consider(project).sentence


def test_a_metric_that_a_benchmark_does_not_measure_is_named_with_those_that_it_does(tmp_path: Path) -> None:
    rule = RULE | ON_MMLU | {"metric": "acc,none"}
    project = write_project(tmp_path, changes={"promotion": rule, "evaluate": {"tasks": ["mmlu"]}})
    files = measurement(losses(), more=accuracy([0.5] * 6))
    chosen_production(project, files)
    night(project, "new", files, later=60)
    sentence = consider(project).sentence
    assert "0 tasks have acc,none of mmlu in both evaluations" in sentence
    assert sentence.endswith("; `promotion.metric` is one of what was measured there: acc")


@pytest.mark.parametrize(("metric", "step"), [("rouge_l", 0.1), ("acc", 1.0)])
def test_answers_and_choices_count_on_the_rows_that_both_have(tmp_path: Path, metric: str, step: float) -> None:
    """Which rows are answered depends on all that are held out: other rows in the two evaluations say nothing."""
    changes = {
        "promotion": RULE | {"benchmark": "c", "metric": metric},
        "evaluate": {"collections": {"c": {"path": "c"}}},
    }
    project = write_project(tmp_path, changes=changes)
    files = measurement(losses(), collection=losses())
    chosen_production(project, files)
    rows = files["rows.parquet"].to_pylist()
    for row in rows:
        if row["benchmark"] == "c":
            row[metric] = None if row["id"].endswith("0") else type(row[metric])(row[metric] + step)
    night(project, "new", files | {"rows.parquet": pa.Table.from_pylist(rows, ROWS_SCHEMA)}, later=60)
    sentence = consider(project).sentence
    assert f"differs by {-step:+g}, " in sentence
    assert "6 tasks and 18 rows that both were asked; 6 that only one was asked do not count" in sentence


def test_rows_recorded_before_there_were_benchmarks_are_held_out(tmp_path: Path) -> None:
    table = measurement(losses())["rows.parquet"]
    pq.write_table(table, tmp_path / "rows.parquet")
    expected = RecordedEvaluation(tmp_path).row_results("held_out")
    new = ["benchmark", "rouge_l", "prediction", "choice_correct", "acc", "acc_norm"]
    pq.write_table(table.drop_columns(new), tmp_path / "rows.parquet")
    assert len(expected) == len(ROWS)
    assert RecordedEvaluation(tmp_path).row_results("held_out") == expected
    assert RecordedEvaluation(tmp_path).row_results("c") == []


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
    ("means", "best"), [([0.0, 0.1, 0.1], 0), ([0.0, 0.2, -0.1], 0), ([0.0, 0.1, -0.2], 2), ([0.0, -0.1, 0.05], 1)]
)
def test_records_of_before_compare_with_the_production_before_them_alone(means: list[float], best: int) -> None:
    rule = Promotion(**RULE)
    by = {"benchmark": "held_out", "metric": "response_loss"}
    log = [decided(number, rule=by, mean=mean, low=0.0, high=0.0) for number, mean in enumerate(means)]
    assert best_so_far(log, rule) == log[best].model
    log.append(decided(9, rule=by | {"metric": "exact_match"}, best={"mean": 0.5}))
    assert best_so_far(log, rule) == log[-1].model, "nothing says how it compares with those before"
    assert best_so_far([], rule) is None


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
