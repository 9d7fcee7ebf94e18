"""The rows that a model was trained on, each with where it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.model_records import TrainingRecord
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.reading.kept import kept_of_rows
from smart_assets.lineage.trained_rows import learnt, rows_given
from smart_assets.store import Manifest, Store
from smart_assets.tasks.tombstones import read_tombstones

ROWS = ("id", "source", "task", "template", "file", "line", "rank", "gain", "trained")
"""Columns of a row: of the hub, `line` is the row's index and `file` the split."""
KEPT_COLUMN = "kept"
"""A column beside them, where a source keeps any: a row's kept values as JSON."""


@dataclass(frozen=True, slots=True)
class AuditedTask:
    """A task in the mixture."""

    source: str
    task: str
    rows: int  # of the subset
    size: int | None  # training rows there were; None where the recipe did not weigh the task
    weight: float | None
    gain: float | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """How many rows of a source were refused, and why."""

    source: str
    reason: str
    rows: int
    first: tuple[str, ...]  # places of the first ones, as file:line


def trained_rows(
    store: Store, subset: Manifest, sources: Sequence[Manifest], seed: int, record: TrainingRecord
) -> pa.Table:
    """Return the rows of a seed (ROWS, and `kept` where a row has any) in the order of the mixture.

    `trained` is false for those that no token was learnt of.

    Raises:
        StoreError: a file is missing.
    """
    table = rows_given(pq.read_table(store.artifact(subset) / "subset.parquet"), seed)
    origins = [
        pq.read_table(store.folder(source.attachments[ORIGINS_FOLDER]) / "origins.parquet")
        for source in sources
        if ORIGINS_FOLDER in source.attachments
    ]
    known = pa.concat_tables(origins) if origins else pa.table({"id": [], "file": [], "line": []})
    places = pc.index_in(table["id"], known["id"].combine_chunks())
    kept = kept_of_rows(store, sources, table["id"])
    for name in ("file", "line"):
        table = table.append_column(name, known[name].combine_chunks().take(places))
    table = table.append_column("trained", learnt(table, record)).select(ROWS)
    return table.append_column(KEPT_COLUMN, kept) if kept.null_count < table.num_rows else table


def audited_tasks(store: Store, subset: Manifest, rows: pa.Table) -> list[AuditedTask]:
    """Return the tasks of the mixture, the most rows first."""
    shares = {row["task"]: row for row in pq.read_table(store.artifact(subset) / "task_budgets.parquet").to_pylist()}
    counts = rows.group_by(["source", "task"]).aggregate([([], "count_all")]).to_pylist()
    tasks = [_task(row, shares.get(row["task"], {})) for row in counts]
    return sorted(tasks, key=lambda task: (-task.rows, task.task))


def _task(row: Mapping[str, Any], share: Mapping[str, Any]) -> AuditedTask:
    return AuditedTask(
        row["source"], row["task"], row["count_all"], share.get("size"), share.get("weight"), share.get("gain")
    )


@dataclass(frozen=True, slots=True)
class ForgottenRow:
    """A row that is to be forgotten, and that these weights were trained on."""

    id: str
    task: str
    at: str  # day, UTC
    reason: str
    tombstone: str  # its key
    removed: bool  # its content is nowhere in the store any more


def forgotten_rows(store: Store, rows: pa.Table) -> list[ForgottenRow]:
    """Return those of the rows (ROWS) that are forgotten and that tokens were learnt of.

    Raises:
        StoreError: the log of tombstones cannot be read.
    """
    tombstones = read_tombstones(store)
    if not tombstones.active:
        return []
    trained = rows.filter(rows["trained"])
    ids, tasks = trained["id"].to_pylist(), trained["task"].to_pylist()
    named = zip(ids, tasks, tombstones.of(ids, tasks), strict=True)
    return [
        ForgottenRow(
            id_, task, f"{tombstone.at:%Y-%m-%d}", tombstone.reason, tombstone.key, tombstone.key in tombstones.final
        )
        for id_, task, tombstone in named
        if tombstone is not None
    ]


def rejections(store: Store, source: Manifest, examples: int = 20) -> list[Rejection]:
    """Return the rejected rows of a source by reason, the most first."""
    origins = source.attachments.get(ORIGINS_FOLDER)
    if origins is None:
        return []
    table = pq.read_table(store.folder(origins) / "rejected.parquet", columns=["file", "line", "reason"])
    rejected: list[Rejection] = []
    for reason in pc.value_counts(table["reason"]).to_pylist():
        first = table.filter(pc.equal(table["reason"], reason["values"])).slice(0, examples).to_pylist()
        places = tuple(row["file"] if row["line"] is None else f"{row['file']}:{row['line']}" for row in first)
        rejected.append(Rejection(str(source.partition), reason["values"], reason["counts"], places))
    return sorted(rejected, key=lambda rejection: -rejection.rows)
