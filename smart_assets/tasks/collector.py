"""Gathers the rows of a source: judges each, drops exact duplicates, and counts by task.

Files are judged one by one. Which of equal rows is the first one shows only when all files are known, so duplicates
are found at the end, over all rows at once, whether they were read now or are taken over from an earlier result.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.errors import SourceError
from smart_assets.core.progress import Log
from smart_assets.tasks import digests, reasons
from smart_assets.tasks.earlier import CANDIDATES, REFUSALS, Earlier
from smart_assets.tasks.forgotten import NOTHING, Forgotten, refusal_id, text_id
from smart_assets.tasks.raw_rows import BadRow, RawRow, RowError, excerpt_of
from smart_assets.tasks.read_result import ORIGINS, REJECTED, ROWS, TASKS, NoRowsError, ReadResult
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.rows import AcceptedRow, Row, instance_of, task_of
from smart_assets.tasks.source_kind import SourceFile
from smart_assets.tasks.texts import TEXTS, Texts

_CHUNK_ROWS = 8192
_CHUNK_CHARACTERS = 1 << 24
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ReadContext:
    """How the rows of one source become instances, and who is told of it."""

    label: str  # names the source in messages
    names: FieldNames
    task_prefix: str
    log: Log
    forgotten: Forgotten = NOTHING


class Collector:
    """Takes the rows of one file after the other, in the order of their names."""

    def __init__(self, context: ReadContext, texts: Texts) -> None:
        self.rows_read = 0
        self._context = context
        self._texts = texts
        self._names: list[str] = []  # of the files taken so far
        self._reused: list[str | None] = []  # likewise, None for one that was read
        self._unnamed: list[str | None] = []  # likewise, the task of refused rows that name none
        self._claims: dict[str, tuple[str, str]] = {}  # group and its first file, by the task that its name gives
        self._instances: list[tuple[AcceptedRow, int, int]] = []  # with file and line, since the last chunk
        self._characters = 0  # of their texts
        self._forgotten_texts: set[str] = set()  # ids of rows that say what is to be forgotten
        self._refused: list[tuple[int, int | None, str | None, str, str | None]] = []
        self._candidates: list[pa.Table] = []
        self._refusals: list[pa.Table] = []

    def add_file(
        self,
        file: str,
        group: str,
        rows: Iterable[RawRow | BadRow],
        default_task: str | None,
        advance: Callable[[float], None],
    ) -> str | None:
        """Take all rows of a file; `advance` hears the share of it that is done. Return the task it claims, if any.

        Rows that name no task belong to `default_task`. So do rows that cannot be read, unless others of the file
        name tasks of their own.

        Raises:
            SourceError: A file of another group has already given rows to the same default task.
        """
        place = len(self._names)
        kinds: set[bool | None] = set()
        for row in rows:
            self.rows_read += 1
            if isinstance(row, BadRow):
                self._refuse((place, row.line, None, row.reason, row.excerpt))
            else:
                kinds.add(self._add_row(place, row, default_task))
                advance(row.done)
        task = None
        if default_task is not None and (True not in kinds or False in kinds):
            task = self._context.task_prefix + default_task
            self._claim(task, group, file)
        self._names.append(file)
        self._reused.append(None)
        self._unnamed.append(task if True not in kinds else None)
        return task

    def reuse_file(self, file: SourceFile, group: str) -> None:
        """Take a file's rows over from an earlier result.

        Raises:
            SourceError: A file of another group has already given rows to the same default task.
        """
        if file.task is not None:
            self._claim(file.task, group, file.path)
        self._names.append(file.path)
        self._reused.append(file.path)
        self._unnamed.append(None)

    def finish(self, files: tuple[SourceFile, ...], revision: str | None, earlier: Earlier | None) -> ReadResult:
        """Return all that was taken.

        Raises:
            NoRowsError: No row was accepted.
        """
        self._flush()
        if earlier is not None:
            candidates, refusals = earlier.taken_over(self._reused)
            self._candidates.append(candidates)
            self._refusals.append(refusals)
        candidates = pa.concat_tables([CANDIDATES.empty_table(), *self._candidates])
        self._candidates = []
        candidates, forgotten = self._without_forgotten(candidates)
        ids = digests.from_arrow(candidates["id"])
        order = digests.order_of(ids, candidates["file"].to_numpy(), candidates["line"].to_numpy())
        first = digests.first_of_equal(ids[order])
        accepted = candidates.take(pa.array(order[first]))
        rejected = self._rejected(candidates.take(pa.array(np.sort(order[~first]))), forgotten)
        del candidates
        hexed = {name: digests.to_hex(digests.from_arrow(accepted[name])) for name in ("id", "prompt_hash")}
        result = ReadResult(
            rows=pa.table([hexed["id"], accepted["task"], accepted["template"], hexed["prompt_hash"]], schema=ROWS),
            texts=self._texts,
            origins=pa.table([hexed["id"], self._named(accepted["file"]), accepted["line"]], schema=ORIGINS),
            rejected=rejected,
            tasks=self._count_tasks(accepted["task"], rejected),
            files=files,
            revision=revision,
            files_reused=sum(name is not None for name in self._reused),
            rows_read=self.rows_read,
        )
        if not accepted.num_rows:
            advice = (
                "Take the source out of smart.yaml: no row that may be kept is left in it."
                if forgotten.num_rows
                else "Name its columns under `columns`, or repair the rows."
            )
            raise NoRowsError(
                f"source {self._context.label}: none of its {rejected.num_rows:,} rows can be used "
                f"({_reasons(rejected)}). {advice}",
                result,
            )
        return result

    def _add_row(self, place: int, row: RawRow, default_task: str | None) -> bool | None:
        """Accept or refuse a row; return whether it names its task itself, None if it cannot name anything."""
        names_task = task = None
        try:
            if not isinstance(row.value, dict):
                raise RowError(reasons.NOT_AN_OBJECT)
            value = cast(Row, row.value)
            names_task = self._context.names.task(value) is not None
            task = self._context.task_prefix + task_of(value, self._context.names, default_task)
            shape = self._context.names.shape(row.names or tuple(value))
            instance = instance_of(value, shape, task, set())
            texts = self._context.forgotten.texts
            if texts and text_id(instance.prompt, instance.response, instance.messages) in texts:
                self._forgotten_texts.add(instance.id)
            self._instances.append((instance, place, row.line))
            self._characters += len(instance.prompt) + len(instance.response) + len(instance.messages or "")
            if len(self._instances) == _CHUNK_ROWS or self._characters > _CHUNK_CHARACTERS:
                self._flush()
        except RowError as error:
            self._refuse((place, row.line, task, error.reason, excerpt_of(row.value)))
        return names_task

    def _refuse(self, refusal: tuple[int, int | None, str | None, str, str | None]) -> None:
        self._refused.append(refusal)
        if len(self._refused) == _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Turn the rows since the last chunk into Arrow: as Python objects they take several times the memory."""
        if self._instances:
            instances, places, lines = zip(*self._instances, strict=True)
            ids, prompts = (
                np.frombuffer(bytes.fromhex("".join(getattr(row, name) for row in instances)), digests.KIND)
                for name in ("id", "prompt_hash")
            )
            tasks, templates = ([getattr(row, name) for row in instances] for name in ("task", "template"))
            columns = [digests.to_arrow(ids), digests.to_arrow(prompts), tasks, templates, places, lines]
            self._candidates.append(_table(columns, CANDIDATES))
            self._texts.add(ids, _table([[getattr(row, name) for row in instances] for name in TEXTS.names], TEXTS))
            self._instances, self._characters = [], 0
        if self._refused:
            columns = [*zip(*self._refused, strict=True), [None] * len(self._refused)]
            self._refusals.append(_table(columns, REFUSALS))
            self._refused = []

    def _claim(self, task: str, group: str, file: str) -> None:
        other_group, other = self._claims.setdefault(task, (group, file))
        if other_group != group:
            raise SourceError(
                f"source {self._context.label}: the files {other} and {file} both give the task {task!r}, since a "
                "file's name is its task. Rename one of them, or set `columns.task` to the column that names the task."
            )

    def _named(self, places: pa.ChunkedArray) -> pa.Array:
        return pa.array(self._names, pa.string()).take(places.combine_chunks())

    def _without_forgotten(self, candidates: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the CANDIDATES that may be kept, and those that are to be forgotten."""
        if not self._context.forgotten:
            return candidates, CANDIDATES.empty_table()
        ids = pa.chunked_array([digests.to_hex(digests.from_arrow(candidates["id"]))], pa.string())
        by_text = pc.is_in(ids, value_set=pa.array(sorted(self._forgotten_texts), pa.string()))
        covered = pc.or_(self._context.forgotten.covers(ids, candidates["task"]), by_text)
        return candidates.filter(pc.invert(covered)), candidates.filter(covered)

    def _rejected(self, duplicates: pa.Table, forgotten: pa.Table) -> pa.Table:
        """Return REJECTED in reading order: by file and line, what holds of a whole file last."""
        refusals = pa.concat_tables([REFUSALS.empty_table(), *self._refusals])
        self._refusals = []
        default = pa.array(self._unnamed, pa.string()).take(refusals["file"].combine_chunks())
        refusals = refusals.set_column(2, REFUSALS.field("task"), pc.coalesce(refusals["task"], default))
        every = pa.concat_tables(
            [
                self._excerpts_forgotten(refusals),
                _refused(duplicates, reasons.DUPLICATE),
                _refused(forgotten, reasons.FORGOTTEN),
            ],
            promote_options="default",
        )
        lines = pc.fill_null(every["line"], _LAST).to_numpy()
        every = every.take(pa.array(np.lexsort((lines, every["file"].to_numpy()))))
        every = every.set_column(0, "file", self._named(every["file"]))
        return every.select(REJECTED.names).cast(REJECTED)

    def _excerpts_forgotten(self, refusals: pa.Table) -> pa.Table:
        """Return REFUSALS without the excerpts that are to be forgotten, which leave an id."""
        if not self._context.forgotten:
            return refusals
        known = [excerpt and refusal_id(excerpt) for excerpt in refusals["excerpt"].to_pylist()]
        ids = pc.coalesce(refusals["id"], pa.array(known, pa.string()))
        covered = self._context.forgotten.covers(ids, refusals["task"])
        nothing = pa.nulls(refusals.num_rows, pa.string())
        excerpts = pc.if_else(covered, nothing, refusals["excerpt"])
        names = refusals.column_names
        return refusals.set_column(names.index("excerpt"), "excerpt", excerpts).set_column(
            names.index("id"), "id", pc.if_else(covered, ids, nothing)
        )

    def _count_tasks(self, accepted: pa.ChunkedArray, rejected: pa.Table) -> pa.Table:
        rows, refused = _counts(accepted), _counts(rejected["task"].drop_null())
        tasks = sorted({*rows, *refused, *self._claims})
        self._context.log(
            f"source {self._context.label}: {rows.total():,} instances of {len(rows):,} tasks; "
            f"{rejected.num_rows:,} rejected" + (f" ({_reasons(rejected)})" if rejected.num_rows else "")
        )
        if lost := [task for task in tasks if not rows[task]]:
            self._context.log(f"source {self._context.label}: left with no rows: {', '.join(lost)}")
        return _table([tasks, [rows[task] for task in tasks], [refused[task] for task in tasks]], TASKS)


def _refused(candidates: pa.Table, reason: str) -> pa.Table:
    """Return rows that have an id as refusals."""
    ids = digests.to_hex(digests.from_arrow(candidates["id"]))
    return (
        candidates.drop_columns("prompt_hash")
        .set_column(0, "id", ids)
        .append_column("reason", pa.repeat(reason, candidates.num_rows))
    )


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()})


def _reasons(rejected: pa.Table) -> str:
    return ", ".join(f"{count:,} x {reason}" for reason, count in _counts(rejected["reason"]).most_common())


def _table(columns: list[Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
