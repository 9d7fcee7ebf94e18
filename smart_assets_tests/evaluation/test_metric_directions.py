"""Which way is better is recorded where it is measured, read by whoever ranks, and never guessed."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from smart_assets.assets.reading.row_results import read_results
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.comparison.compare_recipes import ComparisonSpec, compare_recipes
from smart_assets.comparison.comparison_record import recorded_curve
from smart_assets.core.errors import EvaluationError, SettingsError
from smart_assets.core.metrics import HELD_OUT_METRICS, OWN_METRICS, Direction, Metric, agreed, recorded_metric
from smart_assets.evaluation.directions import recorded_direction, require_measured, settle_directions
from smart_assets.evaluation.metrics import TaskMetric, row_metrics
from smart_assets.evaluation.record import METRICS_SCHEMA, rows_table
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.evaluation.rows import RowResult
from smart_assets.lineage.sql.connect import connect
from smart_assets.promotion.rule import consider
from smart_assets.report.difference_chapter import difference_chapter
from smart_assets.settings import Project
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.promotions import (
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

LOWER, HIGHER, UNKNOWN = Direction
RANKED = {"choice_correct": True, "acc": False, "acc_norm": True}
HELD_OUT_ROW = {"loss_sum": 1.0, "tokens": 1, "bytes": 1, "exact_match": True, "rouge_l": 0.5}


def test_the_registry_is_what_is_measured_on_rows() -> None:
    measured = row_metrics([RowResult("1", "t", HELD_OUT_ROW | RANKED, "c", "x")])
    assert {figure.metric for figure in measured} == set(OWN_METRICS)
    assert {figure.metric: Direction.recorded(figure.higher_is_better) for figure in measured} == {
        name: metric.direction for name, metric in OWN_METRICS.items()
    }
    held_out = row_metrics([RowResult("1", "t", HELD_OUT_ROW, "c", "x")])
    assert {figure.metric for figure in held_out} == set(HELD_OUT_METRICS)


@pytest.mark.parametrize(
    ("name", "direction", "unit"),
    [
        ("response_loss", LOWER, "nats per token"),
        ("response_loss_per_byte", LOWER, "nats per byte"),
        ("exact_match", HIGHER, ""),
        ("accuracy", HIGHER, ""),
        ("acc", HIGHER, ""),
        ("acc_norm", HIGHER, ""),
        ("rouge_l", HIGHER, ""),
    ],
)
def test_our_own_metrics(name: str, direction: Direction, unit: str) -> None:
    assert (OWN_METRICS[name].direction, OWN_METRICS[name].unit) == (direction, unit)


@pytest.mark.parametrize(("higher_is_better", "direction"), [(True, HIGHER), (False, LOWER), (None, UNKNOWN)])
def test_a_direction_has_three_values(higher_is_better: bool | None, direction: Direction) -> None:
    assert Direction.recorded(higher_is_better) is direction
    assert direction.higher_is_better is higher_is_better
    metric, values = recorded_metric("perplexity", direction), np.array([1.0, 2.0])
    expected = {LOWER: (False, True, 0), HIGHER: (True, False, 1), UNKNOWN: (None, None, None)}[direction]
    assert (metric.improves(0.5), metric.improves(-0.5), metric.improves(0.0)) == (*expected[:2], None)
    if direction is UNKNOWN:
        with pytest.raises(ValueError, match="perplexity: nobody declared which way is better"):
            metric.as_loss(values)
    else:
        assert int(metric.as_loss(values).argmin()) == expected[2]


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ([], UNKNOWN),
        ([LOWER], LOWER),
        ([HIGHER, HIGHER], HIGHER),
        ([LOWER, HIGHER], UNKNOWN),
        ([LOWER, UNKNOWN], UNKNOWN),
    ],
)
def test_what_all_agree_on(directions: Sequence[Direction], expected: Direction) -> None:
    assert agreed(directions) is expected


def test_every_metric_that_lm_eval_declares_is_taken_at_its_word() -> None:
    """Its registry, and each pair of metric and `higher_is_better` in the YAMLs of its tasks."""
    import lm_eval.api.metrics
    from lm_eval.api.registry import higher_is_better_registry

    declared = {(name, higher_is_better_registry.get(name)) for name in higher_is_better_registry}
    declared |= set(_declared_in_yaml(Path(lm_eval.__file__).parent / "tasks"))
    lower = {name for name, better in declared if better is False}
    assert len(lower) >= 40
    assert {"pct_stereotype", "likelihood_diff", "perplexity", "bits_per_byte"} <= lower
    for name, better in declared:
        settled = settle_directions("b", {name: better}, {})[name]
        metric = recorded_metric(name, Direction.recorded(settled))
        assert (metric.direction is LOWER, metric.direction is HIGHER) == (better is False, better is True)


def _declared_in_yaml(folder: Path) -> Any:
    """A plain reading, line by line: the YAMLs hold tags that only lm-eval knows."""
    for path in folder.rglob("*.yaml"):
        name = None
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.strip().removeprefix("- ").partition(":")
            name = value.strip().strip("\"'") if key == "metric" else name
            if key == "higher_is_better" and name and value.strip().lower() in ("true", "false"):
                yield name, yaml.safe_load(value)


@pytest.mark.parametrize("value", ["true", 1, None, "yes"])
def test_only_a_boolean_declares(value: Any) -> None:
    assert settle_directions("b", {"m": value}, {}) == {"m": None}


def test_the_setting_declares_what_lm_eval_does_not() -> None:
    assert settle_directions("b", {"m": None, "acc": True}, {"m": "lower", "n": "higher", "acc": "higher"}) == {
        "m": False, "n": True, "acc": True,
    }  # fmt: skip
    with pytest.raises(EvaluationError, match="says that a higher m of b is better, and lm-eval declares that a lower"):
        settle_directions("b", {"m": False}, {"m": "higher"})
    require_measured("b", {"m"}, {"m,strict", "n"})
    with pytest.raises(EvaluationError, match=r"evaluate\.metric_directions: b has no metric x; it has m, n"):
        require_measured("b", {"x", "m"}, {"m,strict", "n"})


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({"mmlu": {"acc": "up"}}, r"evaluate\.metric_directions\.mmlu\.acc.*'lower' or 'higher'"),
        ({"bbh": {"acc": "lower"}}, "metric_directions is for names in tasks; not among them: bbh"),
        ({"acc": "lower"}, r"evaluate\.metric_directions\.acc.*valid dictionary"),
    ],
)
def test_a_setting_that_declares_nothing_is_refused(tmp_path: Path, directions: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"evaluate": {"tasks": ["mmlu"], "metric_directions": directions}})


RESULT = {
    "benchmarks": {
        "crows_pairs": {"english": {"higher_is_better": {"pct_stereotype": False}}, "french": {}},
        "mixed": {"a": {"higher_is_better": {"m": True}}, "b": {"higher_is_better": {"m": False}}},
        "bare": {"bare": {"higher_is_better": {"m": None}}},
    }
}


@pytest.mark.parametrize(
    ("benchmark", "metric", "expected"),
    [
        ("held_out", "response_loss", LOWER),
        ("bbh", "accuracy", HIGHER),
        ("bbh", "of_other_code", UNKNOWN),
        ("crows_pairs", "pct_stereotype", LOWER),
        ("crows_pairs", "pct_stereotype,strict-match", LOWER),
        ("crows_pairs", "acc", UNKNOWN),  # lm-eval's word counts, not the name
        ("mixed", "m", UNKNOWN),
        ("bare", "m", UNKNOWN),
    ],
)
def test_evaluations_of_before_are_read_by_what_they_recorded(
    tmp_path: Path, benchmark: str, metric: str, expected: Direction
) -> None:
    assert recorded_direction(RESULT, benchmark, metric) is expected
    row = asdict(TaskMetric("english", benchmark, metric, 0.5, None, 3, higher_is_better=True))
    table = pa.Table.from_pylist([row], METRICS_SCHEMA)
    pq.write_table(table.drop_columns(["higher_is_better"]), tmp_path / "metrics.parquet")
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    old = RecordedEvaluation(tmp_path).metrics
    assert old.schema == METRICS_SCHEMA
    assert Direction.recorded(old["higher_is_better"][0].as_py()) is expected
    pq.write_table(table, tmp_path / "metrics.parquet")
    assert RecordedEvaluation(tmp_path).metrics.equals(table)


def test_curves_that_kept_manifests_hold_have_their_direction() -> None:
    recorded: dict[str, Any] = {"title": "t", "metric": "response_loss", "tasks": 1, "scores": []}
    assert recorded_curve(recorded).metric == OWN_METRICS["response_loss"]
    recorded = {"title": "t", "metric": "pct_stereotype", "better": "lower", "tasks": 1, "scores": []}
    assert recorded_curve(recorded).metric == Metric("pct_stereotype", "", LOWER)


CANDIDATE, BEFORE = (0.81, 0.78, 0.83, 0.80), (0.52, 0.50, 0.54, 0.51)


def stereotypes(values: Sequence[float], higher_is_better: bool | None) -> list[TaskMetric]:
    return [
        TaskMetric(task, "crows_pairs", "pct_stereotype", value, None, 9, higher_is_better)
        for task, value in zip(TASKS, values, strict=False)
    ]


def crows_pairs(tmp_path: Path) -> Project:
    rule = RULE | {"benchmark": "crows_pairs", "metric": "pct_stereotype"}
    return write_project(tmp_path, changes={"promotion": rule, "evaluate": {"tasks": ["crows_pairs"]}})


@pytest.mark.parametrize(
    ("candidate", "before", "declared", "promoted", "sentence"),
    [
        (CANDIDATE, BEFORE, [False], False, "worse than production"),
        (BEFORE, CANDIDATE, [False], True, "not worse than production"),
        (CANDIDATE, BEFORE, [True], True, "not worse than production"),
        (BEFORE, CANDIDATE, [True], False, "worse than production"),
        (CANDIDATE, BEFORE, [False, None], False, "worse than production"),
        (CANDIDATE, BEFORE, [None], False, "whether a lower or a higher pct_stereotype of crows_pairs is better"),
        (CANDIDATE, BEFORE, [True, False], False, "metric_directions: {crows_pairs: {pct_stereotype: lower}}"),
    ],
    ids=["worse", "better", "were higher better", "worse likewise", "one recorded it", "nobody did", "contradiction"],
)
def test_a_benchmark_is_promoted_by_its_recorded_direction(
    tmp_path: Path,
    candidate: Sequence[float],
    before: Sequence[float],
    declared: Sequence[bool | None],
    promoted: bool,
    sentence: str,
) -> None:
    project = crows_pairs(tmp_path)
    chosen_production(project, measurement(losses(), more=stereotypes(before, declared[0])))
    night(project, "new", measurement(losses(), more=stereotypes(candidate, declared[-1])), later=60)
    decision = consider(project)
    assert decision.promoted is promoted
    assert sentence in decision.sentence


def of_rows(metric: str, right: float) -> dict[str, Any]:
    """An evaluation of a collection in which a metric of 0 to 1 is `right` on all rows."""
    measured = {"loss_sum": 4.0, "tokens": 4, "bytes": 8, "exact_match": False}
    measured[OWN_METRICS[metric].numerator] = bool(right) if OWN_METRICS[metric].right_or_wrong else right
    results = [RowResult(id_, task, measured, "c") for id_, task in ROWS.items()]
    files = measurement(losses(), collection=losses())
    return files | {"rows.parquet": rows_table(results)}


@pytest.mark.parametrize("metric", ["accuracy", "acc", "acc_norm", "rouge_l"])
@pytest.mark.parametrize(("candidate", "promoted"), [(1.0, True), (0.0, False)])
def test_all_metrics_of_rows_promote(tmp_path: Path, metric: str, candidate: float, promoted: bool) -> None:
    rule = RULE | {"benchmark": "c", "metric": metric}
    changes = {"promotion": rule, "evaluate": {"collections": {"c": {"path": "c"}}}}
    project = write_project(tmp_path, changes=changes)
    chosen_production(project, of_rows(metric, 1.0 - candidate))
    night(project, "new", of_rows(metric, candidate), later=60)
    decision = consider(project)
    assert decision.promoted is promoted
    assert OWN_METRICS[metric].title in decision.sentence


@pytest.mark.parametrize("metric", ["accuracy", "acc", "acc_norm", "rouge_l"])
def test_the_report_compares_what_promotes(tmp_path: Path, metric: str) -> None:
    collections = {"collections": {"c": {"path": "c"}}}
    project = write_project(tmp_path, changes={"budgets": [10], "evaluate": collections})
    manifests = {
        AssetPartition("eval_results", f"10|{recipe}"): evaluate(
            project,
            train(project, recipe, f"10|{recipe}"),
            [of_rows(metric, right)] * 2,
            made={"at": "2026-01-01T00:00:00+00:00"},
        )
        for recipe, right in (("smart", 1.0), ("random", 0.0))
    }
    inputs = Inputs(project.store, manifests)
    compared = compare_recipes(read_results(project, inputs), ComparisonSpec({"random": "random"}))
    [comparison] = [each for each in compared if each.metric == OWN_METRICS[metric]]
    assert (comparison.benchmark, comparison.tasks, comparison.rows) == ("c", len(TASKS), len(ROWS))
    [difference] = comparison.differences
    assert (difference.interval.value, difference.better) == (1.0, True)
    captions = [table.caption for table in difference_chapter(compared, ["smart", "random"]).tables]
    assert any(caption.startswith(f"{comparison.title}: the recipe minus the other") for caption in captions)


@pytest.mark.parametrize(
    ("rule", "evaluation", "message"),
    [
        ({"metric": "accuracy"}, {}, "got accuracy; choices are ranked on `evaluate.collections`"),
        ({"benchmark": "c", "metric": "acuracy"}, {}, "of the collection c is one of response_loss, .*; got acuracy"),
        ({"benchmark": "c", "metric": "accuracy"}, {"choices": False}, "accuracy needs `evaluate.choices`"),
        ({"metric": "rouge_l"}, {"generate": {"rows_per_task": 0}}, "rouge_l needs `evaluate.generate.rows_per_task`"),
    ],
)
def test_a_metric_that_is_not_measured_promotes_nothing(
    tmp_path: Path, rule: Any, evaluation: Any, message: str
) -> None:
    changes = {"promotion": RULE | rule, "evaluate": {"collections": {"c": {"path": "c"}}, **evaluation}}
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes=changes)


def test_sql_shows_what_was_recorded_and_null_where_nothing_was(tmp_path: Path) -> None:
    project = crows_pairs(tmp_path)
    new = measurement(losses(), more=stereotypes(BEFORE, higher_is_better=False))
    old = {**new, "metrics.parquet": new["metrics.parquet"].drop_columns(["higher_is_better"])}
    evaluate(project, train(project, "one", "10|smart"), [new])
    evaluate(project, train(project, "two", "20|smart"), [old])
    found = connect(project, print).execute(
        "SELECT budget, metric, higher_is_better FROM evals WHERE metric IN ('pct_stereotype', 'rouge_l') GROUP BY ALL"
    )
    assert sorted(found.fetchall()) == [(10, "pct_stereotype", False), (20, "pct_stereotype", None)]


def test_a_group_of_lm_eval_is_not_one_more_task_of_the_report(tmp_path: Path) -> None:
    """Its figure is a mean of its tasks; without a direction it would take the tasks' as well."""
    figures = [("mmlu_a", 0.2, True), ("mmlu_b", 0.4, True), ("mmlu", 0.4, None)]
    metrics = [TaskMetric(task, "mmlu", "acc", value, None, 5, better) for task, value, better in figures]
    files = measurement({}, more=[*metrics, TaskMetric("own", "held_out", "response_loss", 1.0, None, 5, False)])
    pq.write_table(files["metrics.parquet"], tmp_path / "metrics.parquet")
    singles = {"mmlu": {"mmlu_a": {}, "mmlu_b": {}}}
    (tmp_path / "result.json").write_text(json.dumps({"benchmarks": singles}))
    assert [row["task"] for row in RecordedEvaluation(tmp_path).task_metrics] == ["mmlu_a", "mmlu_b", "own"]
