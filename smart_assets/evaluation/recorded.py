"""One evaluated model as its evaluation recorded it: the one reader of `result.json` and of the tables beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.core.metrics import HELD_OUT
from smart_assets.evaluation.directions import recorded_direction
from smart_assets.evaluation.record import METRIC_COLUMNS, METRICS_SCHEMA, ROWS_SCHEMA
from smart_assets.evaluation.rows import RowResult

_DIRECTION = "higher_is_better"


@dataclass(frozen=True)
class RecordedEvaluation:
    """The folder of one evaluated model: of one seed, or of the base model. A file is read when it is asked for."""

    folder: Path

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """`result.json`."""
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))

    @cached_property
    def metrics(self) -> pa.Table:
        """`metrics.parquet`; where the directions were not recorded yet, they are those of `result.json`."""
        table = pq.read_table(self.folder / "metrics.parquet")
        if _DIRECTION in table.column_names:
            return table
        directions = [
            recorded_direction(self.result, benchmark, metric).higher_is_better
            for benchmark, metric in zip(table["benchmark"].to_pylist(), table["metric"].to_pylist(), strict=True)
        ]
        return table.append_column(METRICS_SCHEMA.field(_DIRECTION), pa.array(directions, pa.bool_()))

    @property
    def task_metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics` without those of lm-eval's groups.

        Groups are means of their tasks, which a mean over tasks would count twice.
        """
        benchmarks = self.result.get("benchmarks", {})
        rows = self.metrics.to_pylist()
        return [row for row in rows if row["task"] in benchmarks.get(row["benchmark"], {row["task"]})]

    @cached_property
    def rows(self) -> pa.Table:
        """`rows.parquet`, as far as its columns are known; all are held-out rows where no benchmark was recorded."""
        table = pq.read_table(self.folder / "rows.parquet")
        table = table.select([name for name in table.column_names if name in ROWS_SCHEMA.names])
        if "benchmark" not in table.column_names:
            table = table.append_column("benchmark", pa.array([HELD_OUT] * table.num_rows, pa.string()))
        return table

    @property
    def refused(self) -> dict[tuple[str, str, str], str]:
        """The rows that the model's chat template refused, by benchmark, task and id, and its reasons."""
        refused: Mapping[str, list[dict[str, str]]] = self.result.get("refused", {})
        return {
            (benchmark, row["task"], row["id"]): row["reason"] for benchmark, rows in refused.items() for row in rows
        }

    def row_results(self, benchmark: str) -> list[RowResult]:
        """Return the rows of one benchmark."""
        return [
            RowResult(
                id=row["id"],
                task=row["task"],
                measured={name: row[name] for name in METRIC_COLUMNS if row.get(name) is not None},
                benchmark=benchmark,
                prediction=row.get("prediction"),
            )
            for row in self.rows.to_pylist()
            if row["benchmark"] == benchmark
        ]
