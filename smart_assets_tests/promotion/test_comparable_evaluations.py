"""Which evaluations the rule of promotion compares: the same rows, under the same conditions, task by task."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.evaluation.metrics import TaskMetric
from smart_assets.evaluation.record import ROWS_SCHEMA
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.promotion.figures import Evaluated, NotComparable, difference, evaluated
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
