"""Every asset for real on a small project and a tiny model: training and evaluation run as programs under Dagster."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smart_assets.assets import catalog
from smart_assets.assets.reading.rows import raw_task_inputs
from smart_assets.core.metrics import HELD_OUT_METRICS
from smart_assets.defs.metadata import metadata_of
from smart_assets.defs.run import RunSummary, run_plan
from smart_assets.documents.documents import document_set, write_documents
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.graph import closure, find_partitions
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.promotion.rule import judge
from smart_assets.settings import Project, load_project
from smart_assets.settings.automation import Promotion
from smart_assets_tests.support.dagster_runs import Lines
from smart_assets_tests.support.make import current
from smart_assets_tests.support.projects import rows, write_project
from smart_assets_tests.support.tiny_model import make_tiny_model

TASKS = {
    "plain": rows(1, 30, templates=2),
    "[bold]hostile[/bold] <script>alert(1)</script>": rows(2, 20),
    "chat": [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["response"]},
            ]
        }
        for row in rows(3, 15)
    ],
    "empty": [{"prompt": "a question without an answer", "response": " "}],
}


def run_all(project: Project) -> tuple[RunSummary, Lines]:
    display = Lines()
    return run_plan(project, closure(project, find_partitions(project, list(catalog.names()))), display), display


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("whole")
    make_tiny_model(root / "model", chat=True)
    finetune = {
        "base_model": "model",
        "effective_batch": 4,
        "micro_batch": 2,
        "learning_rate": 1e-3,
        "precision": "float32",
        "seeds": [3],  # each seed costs two programs a recipe, and each program some ten seconds
    }
    # A file's name holds no slash, so the hostile task comes by a column.
    tasks: dict[str, Any] = {"all": [{"t": name, **row} for name, found in TASKS.items() for row in found]}
    changes = {
        "sources": {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}},
        "budgets": [12],
        "finetune": finetune,
        "validation": {"fraction": 0.2},
    }
    project = write_project(root, tasks, changes)
    summary, display = run_all(project)
    assert not summary.failed, summary.failed
    assert not summary.held_up
    assert any("step 3/3" in line for line in display.logged), "the program's progress reaches the run"
    return project


def test_checkpoints_are_of_their_rows(made: Project) -> None:
    for recipe in ("smart", "random"):
        checkpoint = current(made, "finetuned_checkpoint", f"12|{recipe}")
        folder = made.store.artifact(checkpoint)
        subset = pq.read_table(made.store.artifact(current(made, "selected_subset", f"12|{recipe}")) / "subset.parquet")
        result = json.loads((folder / "seed-3" / "result.json").read_text())
        own = [row["task"] for row in subset.to_pylist() if row["seed"] in (None, 3)]
        assert result["rows"] == len(own) == 12
        assert result["hyperparameters"]["loss"] == "rows"
        assert result["tasks"] == {task: own.count(task) for task in sorted(set(own))}
        assert (folder / "seed-3" / "model" / "model.safetensors").exists()
        assert not list(folder.rglob("*.bin")), "weights are safetensors alone"
        assert checkpoint.summary["seeds"]["3"]["base_model"]["weights_sha256"]
        assert "timing.json" not in [Path(file.path).name for file in checkpoint.files]


def test_results_stand_beside_the_base_models(made: Project) -> None:
    connection = connect(made, print)
    tasks = connection.execute("SELECT count(DISTINCT task) FROM evals WHERE recipe = 'smart' AND seed = 3").fetchone()
    assert tasks == (3,)
    metrics = connection.execute("SELECT DISTINCT metric FROM base_model_evals ORDER BY 1").fetchall()
    assert metrics == [("exact_match",), ("response_loss",), ("response_loss_per_byte",)]


def test_the_report_holds_no_markup_of_a_task(made: Project) -> None:
    page = (made.store.artifact(current(made, "mixture_report")) / "report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "base model" in page
    assert "empty" in page, "a task left without rows is named"
    assert "(finetune.loss: rows), 2 models" in page


def test_the_report_compares_row_by_row_and_dagster_shows_it(made: Project) -> None:
    manifest = current(made, "mixture_report")
    [recorded] = manifest.summary["comparisons"]
    [difference] = [found for found in recorded["differences"] if found["other"] == "random"]
    assert (difference["recipe"], difference["seeds"], difference["other seeds"]) == ("smart", 1, 1)
    assert difference["low"] <= difference["difference"] <= difference["high"]
    rows = pq.read_table(made.store.artifact(current(made, "base_model_results")) / "base" / "rows.parquet")
    assert (recorded["rows"], recorded["tasks"]) == (rows.num_rows, 3)
    sentence = next(found for found in recorded["sentences"] if found.startswith("smart at 12 rows: this one training"))
    assert "the one training of random on these rows" in sentence
    assert sentence in (made.store.artifact(manifest) / "report.html").read_text()
    shown = metadata_of(made, MaterializeResult(manifest, unchanged=True))
    assert shown["comparisons"].records[0].data["recipe"] == "smart"
    assert "this one training" in shown["findings"].md_str
    assert shown["score against budget, Held-out rows: response loss"].md_str.startswith("![](data:image/png")


def test_a_real_checkpoint_is_documented(made: Project, tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from huggingface_hub import ModelCard

    write_documents(document_set(made, "12|random", 3), tmp_path / "documents")
    folder = tmp_path / "documents" / "model-seed-3"
    text = (folder / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    model = json.loads(text)["metadata"]["component"]
    assert "seed-3/model/model.safetensors" in {file["name"] for file in model["components"]}
    assert model["pedigree"]["ancestors"][0]["name"] == "model", "not where it lies on this machine"
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "LlamaForCausalLM"
    assert str(made.root) not in "".join(path.read_text() for path in folder.iterdir())
    results = ModelCard.load(folder / "README.md").data.eval_results or []
    assert {result.metric_type for result in results} >= {"exact_match", "response_loss"}
    checkpoint = current(made, "finetuned_checkpoint", "12|random")
    assert {"name": "smart:run_id", "value": checkpoint.made["run_id"]} in model["properties"]


@pytest.mark.parametrize("metric", HELD_OUT_METRICS)
def test_a_real_checkpoint_is_judged_against_the_base_model(made: Project, metric: str) -> None:
    recipe = next(iter(made.settings.recipes))
    rule = Promotion(budget=12, recipe=recipe, metric=metric, margin=1e3)
    found = judge(replace(made, settings=made.settings.model_copy(update={"promotion": rule})))
    if metric == "rouge_l":  # responses of two words are not answered in the model's own
        assert "0 tasks have rouge_l of held_out in both evaluations" in found.sentence
    else:
        assert found.passes, found.sentence
        assert re.search(
            rf"12\|{recipe}, seed 3 .* is promoted: not worse than the base model, .*tasks and", found.sentence
        )


def test_a_second_run_does_nothing(made: Project) -> None:
    summary, _ = run_all(made)
    assert summary.made == []


def test_a_changed_training_row_leaves_the_base_models_results_current(made: Project, tmp_path: Path) -> None:
    shutil.copytree(made.root, tmp_path / "copy")
    project = load_project(tmp_path / "copy")
    path = project.root / "tasks" / "all.jsonl"
    source = raw_task_inputs(project)[0].source
    table = pq.read_table(
        project.store.artifact(current(project, source.asset, source.partition)) / "instances.parquet"
    )
    train = next(row for row in table.to_pylist() if row["split"] == "train" and row["task"] == "plain")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("prompt") == train["prompt"]:
            line["response"] = "an entirely new answer"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    display = Lines()
    targets = find_partitions(project, ["base_model_results"])
    run_plan(project, closure(project, targets), display)
    assert "raw_tasks[small]" in display.begun
    assert "base_model_results" not in display.begun


def test_a_program_that_fails_says_why_and_leaves_the_old_checkpoint(made: Project, tmp_path: Path) -> None:
    shutil.copytree(made.root, tmp_path / "copy")
    (tmp_path / "copy" / "model" / "model.safetensors").write_bytes(b"not weights")
    project = load_project(tmp_path / "copy")
    before = current(project, "finetuned_checkpoint", "12|smart")
    display = Lines()
    summary = run_plan(project, find_partitions(project, ["finetuned_checkpoint[12|smart]"]), display)
    [error] = summary.failed.values()
    assert "model" in error
    assert "Traceback" not in error
    assert current(project, "finetuned_checkpoint", "12|smart") == before
