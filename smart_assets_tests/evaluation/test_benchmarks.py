"""Named lm-eval tasks, from YAMLs in a folder of the user's."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.benchmarks import find_benchmarks, run_benchmark
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import load_language_model
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.record import SAMPLES_SCHEMA
from smart_assets.evaluation.settings import Evaluate
from smart_assets.training.formatting import ChatInstance
from smart_assets_tests.support.evaluation_tasks import (
    CHOICE,
    WRITTEN,
    evaluation_job,
    write_questions,
    write_task,
    write_yaml,
)
from smart_assets_tests.support.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a folder of tasks: two in groups, one whose rows are missing, one that asks for a missing field."""
    folder = tmp_path_factory.mktemp("benchmarks")
    make_tiny_model(folder / "model", chat=True)
    write_questions(folder / "rows.jsonl", 8)
    (folder / "tasks").mkdir()
    group = {"group": "even", "task": ["even_choice", "even_written"]}
    mean = {"metric": "exact_match", "weight_by_size": True}
    write_yaml(folder / "tasks" / "even.yaml", group)
    write_yaml(folder / "tasks" / "even_mean.yaml", {**group, "group": "even_mean", "aggregate_metric_list": [mean]})
    write_task(folder / "tasks", "even_choice", folder / "rows.jsonl", CHOICE)
    write_task(folder / "tasks", "even_written", folder / "rows.jsonl", WRITTEN)
    write_task(folder / "tasks", "lost_rows", folder / "nowhere.jsonl", CHOICE)
    write_task(folder / "tasks", "lost_field", folder / "rows.jsonl", {**CHOICE, "doc_to_target": "{{nothing.at.all}}"})
    return folder


def make_job(folder: Path, out: Path, **settings: Any) -> EvaluationJob:
    return evaluation_job(folder, out, {"held_out": False, "include_path": str(folder / "tasks"), **settings})


def run(job: EvaluationJob) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    evaluate(job, print)
    return pq.read_table(job.out / "metrics.parquet").to_pylist(), json.loads((job.out / "result.json").read_text())


def test_tasks_and_groups_by_name(folder: Path, tmp_path: Path) -> None:
    names = ["even_choice", "even_mean"]
    metrics, result = run(make_job(folder, tmp_path / "out", tasks=names, limit=6))
    found = {(one["benchmark"], one["task"], one["metric"]): one for one in metrics}
    assert found.keys() == {
        ("even_choice", "even_choice", "acc"),
        ("even_choice", "even_choice", "acc_norm"),
        ("even_mean", "even_choice", "acc"),
        ("even_mean", "even_choice", "acc_norm"),
        ("even_mean", "even_written", "exact_match"),
        ("even_mean", "even_mean", "exact_match"),
    }
    assert [one["rows"] for one in metrics] == [6, 6, 6, 6, 6, 12]
    assert 0 < found["even_choice", "even_choice", "acc"]["value"] < 1
    assert found["even_choice", "even_choice", "acc"]["stderr"] > 0
    assert result["benchmarks"]["even_mean"].keys() == {"even_choice", "even_written"}
    assert result["macro_means"].keys() == set(names)
    means = result["macro_means"]["even_mean"]
    assert means["all"]["exact_match"] == found["even_mean", "even_written", "exact_match"]["value"]  # not the group's
    assert (means["seen"], means["unseen"]) == ({}, means["all"])


def test_what_was_answered_is_kept_row_by_row(folder: Path, tmp_path: Path) -> None:
    metrics, _ = run(make_job(folder, tmp_path / "out", tasks=["even"], limit=4))
    samples = pq.read_table(tmp_path / "out" / "samples.parquet")
    assert samples.schema == SAMPLES_SCHEMA
    rows = samples.to_pylist()
    assert [(row["benchmark"], row["task"], row["doc"]) for row in rows] == [
        ("even", task, doc) for task in ("even_choice", "even_written") for doc in range(4)
    ]
    assert [row["target"] for row in rows] == ["yes", "no", "yes", "no"] * 2
    for row in rows[:4]:
        no, yes = (log_likelihood for log_likelihood, _ in json.loads(row["prediction"]))
        assert json.loads(row["metrics"])["acc"] == float((yes > no) == (row["target"] == "yes"))
    written = [json.loads(row["metrics"])["exact_match"] for row in rows[4:]]
    assert written == [float(row["prediction"] == row["target"]) for row in rows[4:]]
    [figure] = [one["value"] for one in metrics if one["metric"] == "exact_match"]
    assert figure == sum(written) / 4


DIRECTED = """
task: directed
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["no", "yes"]
doc_to_target: answer
process_results: !function directed.process_results
metric_list:
- {metric: good, aggregation: mean, higher_is_better: true}
- {metric: bias, aggregation: mean, higher_is_better: false}
- {metric: odd, aggregation: mean}
"""
PROCESS = "def process_results(doc, results):\n    return {'good': 1.0, 'bias': 0.5, 'odd': 2.0, 'unlisted': 3.0}\n"


@pytest.fixture(scope="module")
def directed(folder: Path) -> Path:
    (folder / "tasks" / "directed.py").write_text(PROCESS)
    (folder / "tasks" / "directed.yaml").write_text(DIRECTED.replace("ROWS", str(folder / "rows.jsonl")))
    write_yaml(folder / "tasks" / "directed_group.yaml", {"group": "directed_group", "task": ["directed"]})
    return folder


@pytest.mark.parametrize("name", ["directed", "directed_group"])
def test_directions_are_recorded_as_lm_eval_declares_them_or_the_setting(
    directed: Path, tmp_path: Path, name: str
) -> None:
    expected = {"good": True, "bias": False, "odd": None, "unlisted": None}
    metrics, result = run(make_job(directed, tmp_path / "out", tasks=[name], limit=2))
    assert {one["metric"]: one["higher_is_better"] for one in metrics} == expected
    assert result["benchmarks"][name]["directed"]["higher_is_better"] == expected
    set_here = {name: {"odd": "lower", "unlisted": "higher", "good": "higher"}}
    metrics, _ = run(make_job(directed, tmp_path / "set", tasks=[name], limit=2, metric_directions=set_here))
    assert {one["metric"]: one["higher_is_better"] for one in metrics} == expected | {"odd": False, "unlisted": True}


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({"bias": "higher"}, "a higher bias of directed is better, and lm-eval declares that a lower one is"),
        ({"blas": "lower"}, "directed has no metric blas; it has bias, good, odd, unlisted"),
    ],
)
def test_a_direction_that_cannot_hold_is_refused(
    directed: Path, tmp_path: Path, directions: dict[str, str], message: str
) -> None:
    job = make_job(directed, tmp_path / "out", tasks=["directed"], limit=1, metric_directions={"directed": directions})
    with pytest.raises(EvaluationError, match=message):
        evaluate(job, print)


def test_worked_examples_where_the_task_does_not_rule_them_out(folder: Path, tmp_path: Path) -> None:
    _, result = run(make_job(folder, tmp_path / "out", tasks=["even"], num_fewshot=2, limit=2))
    shots = {task: of["num_fewshot"] for task, of in result["benchmarks"]["even"].items()}
    assert shots == {"even_choice": 2, "even_written": 0}


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_prompts_are_written_as_in_the_fine_tune(
    folder: Path, monkeypatch: pytest.MonkeyPatch, prompt_format: str
) -> None:
    job = make_job(folder, folder, tasks=["even_choice"], limit=1).model_copy(update={"prompt_format": prompt_format})
    model = load_language_model(job, RequestProgress(print), print)
    asked: list[Any] = []
    ask = model.lm.loglikelihood
    monkeypatch.setattr(model.lm, "loglikelihood", lambda requests: asked.extend(requests) or ask(requests))
    run_benchmark("even_choice", find_benchmarks(job.evaluate), model, job)
    instance = ChatInstance("", "", "Is 0 even?", "yes", None)
    expected = model.encoder.example(instance)
    assert {request.args[0] for request in asked} == {expected.context.removesuffix("\n" * (prompt_format == "plain"))}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("lost_rows", "nowhere.jsonl", id="no rows"),
        pytest.param("lost_field", "nothing", id="no field"),
    ],
)
def test_a_task_that_cannot_be_run(folder: Path, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(EvaluationError, match=f"evaluate.tasks '{name}': lm-eval cannot run it: .*{reason}"):
        evaluate(make_job(folder, tmp_path / "out", tasks=[name]), print)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # reads lm-eval's own index
@pytest.mark.parametrize(
    ("name", "near"),
    [pytest.param("even_choise", "even_choice", id="own"), pytest.param("bbh_zeroshoot", "bbh_zeroshot", id="stock")],
)
def test_an_unknown_name_lists_names_like_it(folder: Path, name: str, near: str) -> None:
    with pytest.raises(EvaluationError, match=rf"evaluate.tasks '{name}': .* names like it: .*\b{near}\b"):
        find_benchmarks(Evaluate(tasks=["even_choice", name], include_path=str(folder / "tasks")))
