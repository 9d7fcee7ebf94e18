"""Gathers rows into a collection: judges each, drops exact duplicates, and counts by task."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import cast

import pyarrow as pa

from smart_assets.errors import SourceError
from smart_assets.progress import Log
from smart_assets.tasks import reasons
from smart_assets.tasks.collection import INSTANCES, ORIGINS, REJECTED, TASKS, Collection, SourceFile
from smart_assets.tasks.raw_rows import BadRow, RawRow, excerpt_of
from smart_assets.tasks.row_error import RowError
from smart_assets.tasks.rows import FieldNames, Instance, Row, instance_of, task_of

_CHUNK_ROWS = 8192
_INSTANCE_VALUES = attrgetter(*INSTANCES.names)
_REJECTED_VALUES = attrgetter(*REJECTED.names)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of one source become instances, and who is told of it."""

    label: str  # names the source in messages
    names: FieldNames
    task_prefix: str
    log: Log


class Collector:
    """Takes the rows of one file after the other."""

    def __init__(self, reading: Reading) -> None:
        self.rows = 0  # taken so far
        self._reading = reading
        self._instances = _Rows(INSTANCES)
        self._origins = _Rows(ORIGINS)
        self._rejected: list[_Rejection] = []
        self._ids: set[str] = set()
        self._accepted: Counter[str] = Counter()
        self._files: dict[str, str] = {}  # by the task they name

    def add_file(
        self, file: str, rows: Iterable[RawRow | BadRow], default_task: str | None, advance: Callable[[float], None]
    ) -> None:
        """Take all rows of a file; `advance` hears the share of it that is done.

        Rows that name no task belong to `default_task`. So do rows that cannot be read, unless others of the file
        name tasks of their own.

        Raises:
            SourceError: Another file has already given rows to the same default task.
        """
        before = len(self._rejected)
        kinds: set[bool | None] = set()
        for row in rows:
            self.rows += 1
            if isinstance(row, BadRow):
                self._rejected.append(_Rejection(file, row.line, None, row.reason, row.excerpt))
            else:
                kinds.add(self._add_row(file, row, default_task))
                advance(row.done)
        if default_task is None or (True in kinds and False not in kinds):
            return
        task = self._reading.task_prefix + default_task
        self._claim(task, file)
        if True not in kinds:
            self._rejected[before:] = [replace(row, task=row.task or task) for row in self._rejected[before:]]

    def finish(self, files: tuple[SourceFile, ...], revision: str | None) -> Collection:
        """Return all that was taken.

        Raises:
            SourceError: No row was accepted.
        """
        if not self._ids:
            raise SourceError(
                f"source {self._reading.label}: none of its {self.rows:,} rows can be used ({self._reasons()}). "
                "Name its columns under `columns`, or repair the rows."
            )
        return Collection(
            instances=self._instances.table().sort_by("id"),
            origins=self._origins.table().sort_by("id"),
            rejected=_table(REJECTED, [_REJECTED_VALUES(row) for row in self._rejected]),
            tasks=self._count_tasks(),
            files=files,
            revision=revision,
        )

    def _add_row(self, file: str, row: RawRow, default_task: str | None) -> bool | None:
        """Accept or reject a row; return whether it names its task itself, None if it cannot name anything."""
        names_task = task = None
        try:
            if not isinstance(row.value, dict):
                raise RowError(reasons.NOT_AN_OBJECT)
            value = cast(Row, row.value)
            names_task = self._reading.names.value(value, "task") is not None
            task = self._reading.task_prefix + task_of(value, self._reading.names, default_task)
            self._accept(instance_of(value, self._reading.names, task), file, row.line)
        except RowError as error:
            self._rejected.append(_Rejection(file, row.line, task, error.reason, excerpt_of(row.value)))
        return names_task

    def _accept(self, instance: Instance, file: str, line: int) -> None:
        if instance.id in self._ids:
            raise RowError(reasons.DUPLICATE)
        self._ids.add(instance.id)
        self._accepted[instance.task] += 1
        self._instances.append(_INSTANCE_VALUES(instance))
        self._origins.append((instance.id, file, line))

    def _claim(self, task: str, file: str) -> None:
        other = self._files.setdefault(task, file)
        if other != file:
            raise SourceError(
                f"source {self._reading.label}: the files {other} and {file} both give the task {task!r}, since a "
                "file's name is its task. Rename one of them, or set `columns.task` to the column that names the task."
            )

    def _count_tasks(self) -> pa.Table:
        rejected = Counter(row.task for row in self._rejected if row.task is not None)
        tasks = sorted({*self._accepted, *rejected, *self._files})
        self._reading.log(
            f"source {self._reading.label}: {len(self._ids):,} instances of {len(self._accepted):,} tasks; "
            f"{len(self._rejected):,} rejected" + (f" ({self._reasons()})" if self._rejected else "")
        )
        if lost := [task for task in tasks if not self._accepted[task]]:
            self._reading.log(f"source {self._reading.label}: left with no rows: {', '.join(lost)}")
        return _table(TASKS, [(task, self._accepted[task], rejected[task]) for task in tasks])

    def _reasons(self) -> str:
        counts = Counter(row.reason for row in self._rejected)
        return ", ".join(f"{count:,} x {reason}" for reason, count in counts.most_common())


@dataclass(frozen=True, slots=True)
class _Rejection:
    file: str
    line: int | None
    task: str | None
    reason: str
    excerpt: str | None


class _Rows:
    """Rows on their way into a table, kept as Arrow in chunks because Python objects take several times the memory."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._chunks: list[pa.Table] = []
        self._pending: list[tuple[object, ...]] = []

    def append(self, row: tuple[object, ...]) -> None:
        self._pending.append(row)
        if len(self._pending) == _CHUNK_ROWS:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return pa.concat_tables(self._chunks)

    def _flush(self) -> None:
        self._chunks.append(_table(self._schema, self._pending))
        self._pending = []


def _table(schema: pa.Schema, rows: list[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
