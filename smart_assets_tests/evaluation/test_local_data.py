"""lm-eval's tasks on local rows: the stock YAMLs as they are, but for where the rows lie, and no network."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.__main__ import _needs_no_hub
from smart_assets.evaluation.benchmarks import find_benchmarks
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.local_data import index_of_local
from smart_assets_tests.support.evaluation_tasks import evaluation_job, write_questions, write_yaml
from smart_assets_tests.support.tiny_model import make_tiny_model

BIG_BENCH_HARD = Path(__file__).parents[3] / "shared" / "data" / "bbh"
TEMPLATE = {
    "dataset_path": "nobody/no-such-dataset",
    "test_split": "test",
    "fewshot_split": "dev",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": ["no", "yes"],
    "doc_to_target": "answer",
    "process_docs": "!function",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model; tasks of a hub that is not there in a group, a tag and a group of both; rows that stand in for them."""
    folder = tmp_path_factory.mktemp("local")
    make_tiny_model(folder / "model", chat=True)
    tasks = folder / "tasks"
    (tasks / "deep").mkdir(parents=True)
    (folder / "rows").mkdir()
    template = yaml.safe_dump({key: value for key, value in TEMPLATE.items() if key != "process_docs"})
    (tasks / "deep" / "_template_yaml").write_text(template + "process_docs: !function rows.first_five\n")
    (tasks / "deep" / "rows.py").write_text("def first_five(rows):\n    return rows.select(range(5))\n")
    for name, dataset in {"one": "alpha", "two": "beta", "three": None, "lost": "gamma"}.items():
        fields = {"include": "_template_yaml", "task": name, "tag": "numbers" if name != "lost" else "lost_ones"}
        write_yaml(tasks / "deep" / f"{name}.yaml", {**fields, **({"dataset_name": dataset} if dataset else {})})
    mean = [{"metric": "acc", "weight_by_size": True}]
    write_yaml(tasks / "pair.yaml", {"group": "pair", "task": ["one", "two"], "aggregate_metric_list": mean})
    write_yaml(tasks / "everything.yaml", {"group": "everything", "task": ["pair", "three"]})
    write_yaml(tasks / "python.yaml", {"task": "python", "class": "!function rows.Task"})
    for name in ("alpha", "beta", "three"):
        write_questions(folder / "rows" / f"{name}.jsonl", 8, name)
    write_questions(folder / "rows" / "alpha.dev.jsonl", 6, "example")
    return folder


def make_job(folder: Path, out: Path, local: dict[str, str], **settings: Any) -> EvaluationJob:
    fields = {"held_out": False, "include_path": str(folder / "tasks"), "tasks": list(local), "local_data": local}
    return evaluation_job(folder, out, {**fields, **settings})


def run(job: EvaluationJob) -> tuple[set[tuple[str, str, int]], dict[str, Any]]:
    evaluate(job, print)
    metrics = pq.read_table(job.out / "metrics.parquet").to_pylist()
    found = {(one["task"], one["metric"], one["rows"]) for one in metrics}
    return found, json.loads((job.out / "result.json").read_text())


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        pytest.param("three", ["three"], id="a task, by its own name"),
        pytest.param("pair", ["one", "two", "pair"], id="a group"),
        pytest.param("numbers", ["one", "three", "two"], id="a tag"),
        pytest.param("everything", ["one", "two", "three", "pair"], id="a group in a group"),
    ],
)
def test_stock_tasks_run_on_local_rows(folder: Path, tmp_path: Path, name: str, tasks: list[str]) -> None:
    found, result = run(make_job(folder, tmp_path / "out", {name: str(folder / "rows")}))
    assert {task for task, _, _ in found} == set(tasks)
    assert {(task, rows) for task, _, rows in found if task != "pair"} == {
        (task, 5) for task in tasks if task != "pair"
    }
    assert result["benchmarks"][name].keys() == set(tasks) - {"pair"}
    assert result["settings"]["local_data"] == [name]
    assert str(folder) not in json.dumps(result)


def test_worked_examples_come_from_the_split_of_the_task(folder: Path, tmp_path: Path) -> None:
    job = make_job(folder, tmp_path / "out", {"one": str(folder / "rows")}, num_fewshot=2, limit=1)
    _, result = run(job)
    assert result["benchmarks"]["one"]["one"]["num_fewshot"] == 2
    (tmp_path / "scratch").mkdir()
    index = index_of_local("pair", folder / "rows", find_benchmarks(job.evaluate), tmp_path / "scratch")
    tasks = index.load(["pair"])["tasks"]
    assert {row["question"].split()[1] for row in tasks["one"].fewshot_docs()} == {"example"}
    assert tasks["two"].config.fewshot_split is None  # no file of it is there
    assert {row["question"].split()[1] for row in tasks["two"].test_docs()} == {"beta"}


@pytest.mark.parametrize(
    ("local", "message"),
    [
        pytest.param({"one": "nowhere"}, r"local_data 'one': there is no folder .*nowhere", id="no folder"),
        pytest.param({"lost": "rows"}, r"rows holds no gamma\.jsonl or lost\.jsonl for .* 'lost'", id="no file"),
        pytest.param({"python": "rows"}, r"'python' fetches its rows by Python of its own", id="Python"),
        pytest.param({"on": "rows"}, r"evaluate.tasks 'on': .* no task", id="unknown", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_replaced(folder: Path, tmp_path: Path, local: dict[str, str], message: str) -> None:
    places = {name: str(folder / place) for name, place in local.items()}
    with pytest.raises(EvaluationError, match=message):
        evaluate(make_job(folder, tmp_path / "out", places), print)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "base", "offline"),
    [
        pytest.param({"tasks": ["a"], "local_data": {"a": "x"}}, None, True, id="all local"),
        pytest.param({"tasks": ["a", "b"], "local_data": {"a": "x"}}, None, False, id="a task of the hub"),
        pytest.param({}, "some/model", False, id="a model of the hub"),
        pytest.param({"collections": {"c": {"path": "x"}}}, None, True, id="a folder"),
        pytest.param({"collections": {"c": {"kind": "huggingface", "path": "a/b"}}}, None, False, id="a dataset"),
    ],
)
def test_when_no_library_may_ask_the_hub(settings: dict[str, Any], base: str | None, offline: bool) -> None:
    model = {"model": "m"} if base is None else {"base_model": base}
    fields = {**model, "model_cache": "c", "rows": "r", "out": "o", "evaluate": settings}
    assert _needs_no_hub(EvaluationJob.model_validate(fields)) == offline


@pytest.mark.slow  # reads lm-eval's own index
@pytest.mark.skipif(not BIG_BENCH_HARD.is_dir(), reason="needs ../shared/data/bbh")
def test_big_bench_hard_without_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found, result = run(
        make_job(folder, tmp_path / "out", {"bbh_zeroshot": str(BIG_BENCH_HARD)}, include_path=None, limit=1)
    )
    assert len(result["benchmarks"]["bbh_zeroshot"]) == 27
    assert ("bbh_zeroshot_navigate", "exact_match,flexible-extract", 1) in found
    recorded = result["benchmarks"]["bbh_zeroshot"]["bbh_zeroshot_navigate"]
    assert recorded == {"version": 3.0, "num_fewshot": 0, "rows": 1, "higher_is_better": {"exact_match": True}}


@pytest.mark.slow
def test_stock_mmlu_on_local_rows(folder: Path, tmp_path: Path) -> None:
    """Groups of groups of tags, 57 tasks; one row stands in for all."""
    from lm_eval.tasks import TaskManager

    rows = tmp_path / "rows"
    rows.mkdir()
    index = TaskManager()
    subjects = [name.removeprefix("mmlu_") for name in index.task_index["mmlu_stem_tasks"].tags]
    row = json.dumps({"question": "2 + 2?", "choices": ["1", "2", "3", "4"], "answer": 3})
    for subject in subjects:
        (rows / f"{subject}.jsonl").write_text(row + "\n")
    found, result = run(make_job(folder, tmp_path / "out", {"mmlu_stem": str(rows)}, include_path=None))
    assert len(result["benchmarks"]["mmlu_stem"]) == len(subjects)
    assert ("mmlu_stem", "acc", len(subjects)) in found
