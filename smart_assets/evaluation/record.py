"""What an evaluation writes: its figures, its rows, what was measured (no clock in it), and how long it took."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.core.metrics import row_columns
from smart_assets.evaluation.benchmarks import BenchmarkResult
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.evaluation.metrics import MacroMeans, TaskMetric, macro_means, row_metrics
from smart_assets.evaluation.rows import AskedRow, AskedRows, RowResult
from smart_assets.evaluation.task_collections import settings_record
from smart_assets.training.devices import hardware_name, peak_memory_bytes

METRICS_SCHEMA = pa.schema(
    {
        "task": pa.string(),  # of a source or a collection, or of lm-eval
        "benchmark": pa.string(),  # `held_out`, a collection, or the lm-eval task, group or tag that was asked for
        "metric": pa.string(),
        "value": pa.float64(),
        "stderr": pa.float64(),  # null where there is none
        "rows": pa.int64(),
        "higher_is_better": pa.bool_(),  # as lm-eval or `evaluate.metric_directions` declares it; null where none does
    }
)
_TYPES: dict[type, pa.DataType] = {float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


def _columns(measured_on: Literal["rows", "choices", "answers"]) -> dict[str, pa.DataType]:
    return {name: _TYPES[kind] for name, kind in row_columns(measured_on).items()}


METRIC_COLUMNS = (*_columns("rows"), *_columns("answers"), *_columns("choices"))
"""Columns of `rows.parquet` that metrics are made of."""

ROWS_SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),  # `held_out`, or a collection
        "id": pa.string(),
        "task": pa.string(),
        **_columns("rows"),
        **_columns("answers"),  # null where nothing was generated
        "prediction": pa.string(),  # likewise
        **_columns("choices"),  # null where the task's responses were not ranked
    }
)
SAMPLES_SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "task": pa.string(),
        "doc": pa.int64(),
        "filter": pa.string(),
        "target": pa.string(),
        "prediction": pa.string(),
        "metrics": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """All that an evaluation found, and the seconds its parts took."""

    rows: Mapping[str, AskedRows]  # by benchmark
    results: Sequence[RowResult]
    collections: Mapping[str, Mapping[str, Any]]  # what reading them said
    benchmarks: Mapping[str, BenchmarkResult]
    seconds: Mapping[str, float]

    def metrics(self) -> list[TaskMetric]:
        """Return all figures: of rows first, then of lm-eval's benchmarks in their order."""
        return row_metrics(self.results) + [
            metric for benchmark in self.benchmarks.values() for metric in benchmark.metrics
        ]

    def macro_means(self, unseen: Sequence[str]) -> MacroMeans:
        """Return the means over tasks of each benchmark."""
        return macro_means(
            self.metrics(), unseen, {name: benchmark.tasks for name, benchmark in self.benchmarks.items()}
        )


def write_record(folder: Path, job: EvaluationJob, model: LanguageModel, outcome: EvaluationResult) -> None:
    """Write three Parquet files, `result.json` and `timing.json` into an existing folder."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in outcome.rows}
    for row in outcome.results:
        counts[row.benchmark][row.task] += 1
    result = _settings_record(job, model) | {
        "macro_means": outcome.macro_means(job.evaluate.unseen_tasks),
        "tasks": {name: dict(count) for name, count in counts.items()},
        "choices": {name: _choices(rows) for name, rows in outcome.rows.items()},
        "not_scored": {name: _names(rows.not_scored) for name, rows in outcome.rows.items()},
        "truncated": {name: _names(rows.truncated) for name, rows in outcome.rows.items()},
        "refused": {name: _refused(rows) for name, rows in outcome.rows.items()},
        "special_tokens_as_text": {name: _special(rows) for name, rows in outcome.rows.items()},
        "turns_not_written": {name: _turn_not_written(rows) for name, rows in outcome.rows.items()},
        "collections": dict(outcome.collections),
        "benchmarks": {name: benchmark.tasks for name, benchmark in outcome.benchmarks.items()},
    }
    samples = [doc for benchmark in outcome.benchmarks.values() for doc in benchmark.docs]
    _write_table(folder / "metrics.parquet", outcome.metrics(), METRICS_SCHEMA)
    pq.write_table(rows_table(outcome.results), folder / "rows.parquet")
    _write_table(folder / "samples.parquet", samples, SAMPLES_SCHEMA)
    _write_json(folder / "result.json", result)
    _write_json(folder / "timing.json", _timing_record(job, model, outcome))


def rows_table(results: Iterable[RowResult]) -> pa.Table:
    """Return what `rows.parquet` holds, a row a result."""
    rows = [
        {"benchmark": row.benchmark, "id": row.id, "task": row.task, "prediction": row.prediction, **row.measured}
        for row in results
    ]
    return pa.Table.from_pylist(rows, ROWS_SCHEMA)


def _settings_record(job: EvaluationJob, model: LanguageModel) -> dict[str, Any]:
    from lm_eval import __version__

    return {
        "model": model.record,
        "prompt_format": model.prompt_format,
        "system_turns": job.system_turns,
        "template_date": job.template_date.isoformat(),
        "notes": model.encoder.notes(),
        "precision": model.precision,
        "device": job.device.partition(":")[0],
        "seed": job.seed,
        "settings": settings_record(job.evaluate),
        "lm_eval": __version__,
    }


def _timing_record(job: EvaluationJob, model: LanguageModel, outcome: EvaluationResult) -> dict[str, Any]:
    import torch

    return {
        "seconds": {part: round(spent, 3) for part, spent in outcome.seconds.items()},
        "rows_per_second": round(len(outcome.results) / outcome.seconds["rows"], 2),
        "batches": {"computed": model.answers.computed, "remembered": model.answers.remembered},
        "peak_memory_bytes": peak_memory_bytes(job.device),
        "hardware": hardware_name(job.device),
        "threads": torch.get_num_threads(),
    }


def _choices(rows: AskedRows) -> dict[str, int]:
    """Return how many responses were ranked, of each task where they were."""
    return {row.instance.task: len(row.choices) for row in rows.scored if row.choices}


def _names(rows: Iterable[AskedRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.instance.id,
            "task": row.instance.task,
            "context_tokens": row.context_tokens,
            "response_tokens": row.tokens,
        }
        for row in rows
    ]


def _refused(rows: AskedRows) -> list[dict[str, str]]:
    return [{"id": row.instance.id, "task": row.instance.task, "reason": row.reason} for row in rows.refused]


def _special(rows: AskedRows) -> list[dict[str, str]]:
    return [{"id": row.instance.id, "task": row.instance.task} for row in rows.scored if row.own.special_text]


def _turn_not_written(rows: AskedRows) -> list[dict[str, str]]:
    return [{"id": row.instance.id, "task": row.instance.task} for row in rows.scored if row.own.turn_not_written]


def _write_table(path: Path, rows: Iterable[Any], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), path)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
