"""What an evaluation writes: its figures, its rows, what was measured (no clock in it), and how long it took."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.evaluation.benchmarks import BenchmarkResult
from smart_assets.evaluation.held_out import HeldOutRow, HeldOutRows, RowResult
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.evaluation.metrics import Metric, macro_means
from smart_assets.training.devices import hardware_name, peak_memory_bytes

METRICS_SCHEMA = pa.schema(
    {
        "task": pa.string(),  # of the collection, or of lm-eval
        "benchmark": pa.string(),  # `held_out`, or the lm-eval task, group or tag that was asked for
        "metric": pa.string(),
        "value": pa.float64(),
        "stderr": pa.float64(),  # null where there is none
        "rows": pa.int64(),
    }
)
ROWS_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "task": pa.string(),
        "loss_sum": pa.float64(),
        "tokens": pa.int64(),
        "bytes": pa.int64(),
        "exact_match": pa.bool_(),
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that an evaluation found, and the seconds its parts took."""

    rows: HeldOutRows
    results: list[RowResult]
    metrics: list[Metric]  # of the held-out rows
    benchmarks: dict[str, BenchmarkResult]
    seconds: dict[str, float]


def write_record(folder: Path, job: EvaluationJob, model: LanguageModel, outcome: Outcome) -> None:
    """Write `metrics.parquet`, `rows.parquet`, `result.json` and `timing.json` into an existing folder."""
    result = _settings_record(job, model) | {
        "macro_means": macro_means(outcome.metrics),
        "tasks": dict(Counter(row.task for row in outcome.results)),
        "not_scored": _names(outcome.rows.not_scored),
        "truncated": _names(outcome.rows.truncated),
        "benchmarks": {name: benchmark.tasks for name, benchmark in outcome.benchmarks.items()},
    }
    of_benchmarks = [metric for benchmark in outcome.benchmarks.values() for metric in benchmark.metrics]
    _write_table(folder / "metrics.parquet", outcome.metrics + of_benchmarks, METRICS_SCHEMA)
    _write_table(folder / "rows.parquet", outcome.results, ROWS_SCHEMA)
    _write_json(folder / "result.json", result)
    _write_json(folder / "timing.json", _timing_record(job, outcome))


def _settings_record(job: EvaluationJob, model: LanguageModel) -> dict[str, Any]:
    from lm_eval import __version__

    return {
        "model": model.record,
        "prompt_format": model.prompt_format,
        "precision": model.precision,
        "device": job.device.partition(":")[0],
        "seed": job.seed,
        "settings": job.evaluate.model_dump(mode="json", exclude={"include_path"}),  # a place, not content
        "lm_eval": __version__,
    }


def _timing_record(job: EvaluationJob, outcome: Outcome) -> dict[str, Any]:
    import torch

    return {
        "seconds": {part: round(spent, 3) for part, spent in outcome.seconds.items()},
        "held_out_rows_per_second": round(len(outcome.results) / outcome.seconds["held_out"], 2),
        "peak_memory_bytes": peak_memory_bytes(job.device),
        "hardware": hardware_name(job.device),
        "threads": torch.get_num_threads(),
    }


def _names(rows: Iterable[HeldOutRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.instance.id,
            "task": row.instance.task,
            "context_tokens": row.context_tokens,
            "response_tokens": row.tokens,
        }
        for row in rows
    ]


def _write_table(path: Path, rows: Iterable[Any], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), path)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
