"""Training and evaluation without their programs: what each would leave behind, made from its job at once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.evaluation.record import METRICS_SCHEMA, rows_table
from smart_assets.evaluation.rows import RowResult
from smart_assets.store.hashing import file_sha256

Launch = Callable[[Sequence[str]], None]


def no_program(arguments: Sequence[str]) -> None:
    raise AssertionError(f"nothing here starts a program: {arguments}")


class Programs:
    """Stands for both programs; remembers the jobs it was given."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def __call__(self, arguments: Sequence[str]) -> None:
        _, module, path = arguments
        job = json.loads(Path(path).read_text(encoding="utf-8"))
        out = Path(job["out"])
        self.jobs.append(module)
        if module == "smart_assets.training":
            _train(job, out)
        else:
            _evaluate(job, out)


def _train(job: dict[str, Any], out: Path) -> None:
    (out / "model").mkdir(parents=True)
    made_from = file_sha256(Path(job["rows"]))
    (out / "model" / "weights").write_text(f"{made_from} {job['seed']}", encoding="utf-8")
    _write(out / "model" / "config.json", {"architectures": ["LlamaForCausalLM"]})
    pq.write_table(pa.table({"step": [1, 2], "loss": [2.0, 1.0]}), out / "loss.parquet")
    finetune = job["finetune"]
    result = {
        "base_model": {"reference": finetune["base_model"], "revision": "ab" * 32, "weights_sha256": "cd" * 32},
        "seed": job["seed"],
        "processes": 1,
        "precision": "float32",
        "device": "cpu",
        "response_tokens": 40,
        "rows": 10,
        "steps": 2,
        "dropped": [],
        "truncated": [],
        "hyperparameters": {"epochs": 1, "learning_rate": finetune["learning_rate"], "lora": finetune["lora"]},
        "final_loss": 1.0,
        "mean_last_losses": 1.0,
    }
    _write(out / "result.json", result)
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events").write_text("of a run", encoding="utf-8")
    timing = {
        "tokens": 200,
        "tokens_trained": 200,
        "tokens_per_second": 100.0,
        "seconds": {"train": 2.0},
        "peak_memory_bytes": 5_000_000_000,
    }
    _write(out / "timing.json", timing)


def _evaluate(job: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True)
    rows = pq.read_table(job["rows"], columns=["id", "task"])
    results = [
        RowResult(row["id"], row["task"], {"loss_sum": 2.0, "tokens": 2, "bytes": 4, "exact_match": False})
        for row in rows.to_pylist()
    ]
    metrics = [
        {
            "task": task,
            "benchmark": "held_out",
            "metric": "response_loss",
            "value": 1.0,
            "stderr": 0.25,
            "rows": 2,
            "higher_is_better": False,
        }
        for task in sorted(set(rows["task"].to_pylist()))
    ]
    pq.write_table(rows_table(results), out / "rows.parquet")
    pq.write_table(pa.Table.from_pylist(metrics, METRICS_SCHEMA), out / "metrics.parquet")
    _write(
        out / "result.json",
        {"macro_means": {"held_out": {"all": {"response_loss": 1.0}, "seen": {"response_loss": 1.0}, "unseen": {}}}},
    )
    _write(out / "timing.json", {"peak_memory_bytes": 4_000_000_000})


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
