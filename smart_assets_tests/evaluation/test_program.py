"""The evaluation from job file to folder: what it writes, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from smart_assets.core.errors import EvaluationError, SmartError
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.record import METRICS_SCHEMA, ROWS_SCHEMA
from smart_assets.evaluation.settings import Evaluate
from smart_assets_tests.support.evaluation_tasks import TASKS, evaluation_job, write_rows
from smart_assets_tests.support.tiny_model import make_tiny_model

RECORDED = ["metrics.parquet", "result.json", "rows.parquet", "samples.parquet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, rows for it, and broken variants of both."""
    folder = tmp_path_factory.mktemp("evaluation")
    make_tiny_model(folder / "model", chat=True)
    write_rows(folder / "rows.parquet", 5)
    write_rows(folder / "no_rows.parquet", 0)
    (folder / "text.parquet").write_text("no Parquet")
    (folder / "empty").mkdir()
    make_tiny_model(folder / "damaged", chat=True)
    (folder / "damaged" / "model.safetensors").write_bytes(b"cut off")
    return folder


def make_job(folder: Path, out: Path, /, **changes: Any) -> EvaluationJob:
    return evaluation_job(folder, out, **{"rows": folder / "rows.parquet", **changes})


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_the_program_from_job_to_folder(folder: Path, tmp_path: Path) -> None:
    make_job(folder, tmp_path / "out", evaluate={"max_rows_per_task": 3}).write(tmp_path / "job.json")
    done = subprocess.run(
        [sys.executable, "-m", "smart_assets.evaluation", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout) == (0, "")
    batches, first, *means = done.stderr.splitlines()
    assert batches.startswith("batches of at most 64 rows and 268,435,456 logits")
    assert first.startswith("held_out: 6 rows (0 of them")
    assert len(means) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.json", "out"]
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet")
    rows = pq.read_table(tmp_path / "out" / "rows.parquet")
    assert (metrics.schema, rows.schema) == (METRICS_SCHEMA, ROWS_SCHEMA)
    assert rows["task"].to_pylist() == [task for task in TASKS for _ in range(3)]
    assert set(metrics["benchmark"].to_pylist()) == {"held_out"}
    assert metrics.num_rows == 2 * 3
    result = read_json(tmp_path / "out" / "result.json")
    assert result["tasks"] == {"held_out": dict.fromkeys(TASKS, 3)}
    assert result["macro_means"]["held_out"]["all"]["response_loss"] > 0
    assert (result["precision"], result["device"], result["prompt_format"]) == ("float32", "cpu", "chat")
    assert str(folder) not in json.dumps(result)
    assert read_json(tmp_path / "out" / "timing.json")["peak_memory_bytes"] > 0


def test_equal_jobs_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        evaluate(make_job(folder, tmp_path / name), print)
    for name in RECORDED:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_an_adapter_is_evaluated_on_its_base_model(folder: Path, tmp_path: Path) -> None:
    merged = save_adapter(folder / "model", tmp_path / "adapter", tmp_path / "merged")
    base = {"model": None, "base_model": str(folder / "model")}
    evaluate(make_job(folder, tmp_path / "a", **base, adapter=tmp_path / "adapter"), print)
    evaluate(make_job(folder, tmp_path / "b", **base), print)
    evaluate(make_job(folder, tmp_path / "c", model=merged), print)
    adapted, plain, expected = (
        pq.read_table(tmp_path / name / "rows.parquet")["loss_sum"].to_pylist() for name in ("a", "b", "c")
    )
    assert adapted == pytest.approx(expected, rel=1e-4)
    assert adapted != pytest.approx(plain, rel=1e-2)
    recorded = read_json(tmp_path / "a" / "result.json")["model"]
    assert recorded.keys() == {"reference", "revision", "weights_sha256", "adapter_sha256"}


def save_adapter(model_folder: Path, adapter_folder: Path, merged_folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), settings)
    model.save_pretrained(adapter_folder)
    model.merge_and_unload().save_pretrained(merged_folder)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(merged_folder)
    return merged_folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"model": "nowhere"}, r"model nowhere: there is no such folder", id="no checkpoint"),
        pytest.param({"model": "empty"}, r"empty holds no \*\.safetensors file", id="empty checkpoint"),
        pytest.param({"model": "damaged"}, r"damaged: its model cannot be loaded", id="damaged weights"),
        pytest.param({"rows": "nowhere.parquet"}, r"nowhere\.parquet: there is no such file", id="no rows file"),
        pytest.param({"rows": "text.parquet"}, r"text\.parquet: cannot be read as Parquet", id="rows not Parquet"),
        pytest.param({"rows": "no_rows.parquet"}, r"no_rows\.parquet: holds no instance", id="no row"),
        pytest.param({"out": "empty"}, r"empty: exists already", id="out exists"),
        pytest.param({"model": None, "base_model": "package:none"}, r"no package 'none' is installed", id="no package"),
        pytest.param({"model": None, "base_model": "./nowhere"}, r"'\./nowhere': not a folder", id="no base model"),
        pytest.param(
            {"model": None, "base_model": "model", "adapter": "empty"},
            r"adapter empty: holds no adapter_model\.safetensors",
            id="no adapter",
        ),
        pytest.param(
            {"evaluate": {"tasks": ["t"], "include_path": "nowhere"}},
            r"evaluate\.include_path nowhere: no such folder",
            id="no task folder",
        ),
    ],
)
def test_what_cannot_be_evaluated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(SmartError, match=message):
        evaluate(make_job(Path(), Path("out"), **changes), print)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"base_model": "x"}, "exactly one of model and base_model", id="two models"),
        pytest.param({"model": None}, "exactly one of model and base_model", id="no model"),
        pytest.param({"adapter": "x"}, "an adapter needs the base_model", id="adapter on a checkpoint"),
        pytest.param({"rows": None}, "evaluate.held_out needs rows", id="held-out without rows"),
        pytest.param({"evaluate": {"held_out": False}}, "nothing to evaluate", id="nothing to evaluate"),
        pytest.param(
            {"evaluate": {"batch_size": 0}},
            r"evaluate\.batch_size: .*greater than or equal to 1, and `auto`",
            id="batch",
        ),
        pytest.param({"evaluate": {"limit": 0}}, "evaluate.limit: .* greater than or equal to 1", id="limit"),
        pytest.param({"evaluate": {"tasks": ["t", "u", "t"]}}, r"evaluate: .* more than once: t$", id="task twice"),
        pytest.param({"evaluate": {"tasks": [""]}}, r"evaluate.tasks.0: .* at least 1 character", id="empty task name"),
        pytest.param({"device": "gpu"}, "device: .*pattern", id="unknown device"),
        pytest.param({"seed": -1}, "seed: ", id="negative seed"),
        pytest.param({"colour": "red"}, "colour: Extra inputs", id="unknown field"),
    ],
)
def test_a_job_that_breaks_a_rule(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fields = {"model": "m", "model_cache": "c", "rows": "r", "out": "o"}
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**fields, **changes}))
    with pytest.raises(EvaluationError, match=rf"job\.json: breaks the rules of EvaluationJob: .*{message}"):
        EvaluationJob.read(path)


def test_a_job_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"job\.json: the job cannot be read"):
        EvaluationJob.read(tmp_path / "job.json")


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = make_job(tmp_path, tmp_path / "out", evaluate=Evaluate(tasks=["t"], limit=3))
    job.write(tmp_path / "job.json")
    assert EvaluationJob.read(tmp_path / "job.json") == job


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Evaluate().batch_size = 3
