"""Judges raw rows one by one, and hands them on in chunks as Arrow: Python objects take several times the memory.

It knows nothing of other files, so that rows of several files, or pieces of one, can be judged at the same time.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import functools
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

import numpy as np
import pyarrow as pa

from smart_assets.tasks import digests, reasons
from smart_assets.tasks.forgotten import text_id
from smart_assets.tasks.licences import LicenceGate
from smart_assets.tasks.open_assistant import is_message, trees
from smart_assets.tasks.raw_rows import BadRow, RawRow, RowError, excerpt_of
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.rows import AcceptedRow, Row, instance_of, task_of
from smart_assets.tasks.texts import TEXTS
from smart_assets.tasks.turns import has_value
from smart_assets.tasks.unread import ReadColumns, UnreadValues

JUDGED = pa.schema(
    [
        ("id", pa.binary(16)),
        ("prompt_hash", pa.binary(16)),
        ("task", pa.string()),
        ("template", pa.string()),
        ("line", pa.int64()),
        ("unread", pa.int64()),  # a digest of what of the row is not read
        ("kept", pa.large_string()),  # JSON
    ]
)
REFUSED = pa.schema(
    [
        ("line", pa.int64()),
        ("task", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)
_CHUNK_ROWS = 8192
_CHUNK_CHARACTERS = 1 << 24


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """How the rows of one source become instances."""

    names: FieldNames
    task_prefix: str = ""
    forgotten_texts: Set[str] = frozenset()  # ids of texts, under whatever task they come
    licences: LicenceGate | None = None  # None: rows of any are kept


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that came one after the other, judged."""

    judged: pa.Table  # JUDGED, of the accepted ones
    texts: pa.Table  # TEXTS of these
    refused: pa.Table  # REFUSED
    done: float  # share of the file read so far, in [0, 1]

    @property
    def rows(self) -> int:
        """How many rows they are, accepted or not."""
        return self.judged.num_rows + self.refused.num_rows


@dataclass(slots=True)
class FileVerdict:
    """What the rows of a file come to beside themselves."""

    rows: int = 0
    names_task: set[bool | None] = field(default_factory=set[bool | None])  # whether rows name a task; None: none can
    forgotten_ids: set[str] = field(default_factory=set[str])  # of rows that say what is to be forgotten
    is_cut: bool = False  # the file, or the rest of it, is refused
    columns: ReadColumns = field(default_factory=ReadColumns)
    seen: dict[str, None] = field(default_factory=dict[str, None])  # columns that are there, as far as few
    without_licence: int = 0  # rows that name none, and may have the source's own

    def add(self, later: "FileVerdict") -> None:
        """Add what the next piece of the file comes to."""
        self.rows += later.rows
        self.names_task |= later.names_task
        self.forgotten_ids |= later.forgotten_ids
        self.is_cut |= later.is_cut
        self.without_licence += later.without_licence
        self.columns.add_all(later.columns)
        self.seen |= later.seen

    def as_json(self) -> dict[str, Any]:
        """Return it for another process."""
        return {
            "rows": self.rows,
            "names_task": list(self.names_task),
            "forgotten_ids": sorted(self.forgotten_ids),
            "is_cut": self.is_cut,
            "columns": self.columns.as_json(),
            "seen": list(self.seen),
            "without_licence": self.without_licence,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FileVerdict":
        """Return what another process gave."""
        return cls(
            value["rows"],
            set(value["names_task"]),
            set(value["forgotten_ids"]),
            value["is_cut"],
            ReadColumns.from_json(value["columns"]),
            dict.fromkeys(value["seen"]),
            value["without_licence"],
        )


class RowJudge:
    """Judges the rows of one file, or of a piece of it."""

    def __init__(self, rules: JudgeRules, default_task: str | None) -> None:
        self.verdict = FileVerdict()
        self._rules = rules
        self._default_task = default_task
        self._instances: list[tuple[AcceptedRow, int, int]] = []  # with line and digest, since the last chunk
        self._characters = 0  # of their texts
        self._refused: list[tuple[int | None, str | None, str, str | None]] = []
        self._done = 0.0

    def chunks(self, rows: Iterable[RawRow | BadRow], is_piece: bool = False) -> Iterator[Chunk]:
        """Yield the rows in their order, judged; `verdict` is whole when they are all taken.

        Args:
            rows: of a file, or of a piece of it.
            is_piece: Whether they are one of the pieces that a file without trees of messages is divided into.
        """
        verdict = self.verdict
        for row in iter(rows) if is_piece else self._assembled(iter(rows)):
            verdict.rows += 1
            if isinstance(row, BadRow):
                verdict.is_cut |= row.line is None
                self._refused.append((row.line, None, row.reason, row.excerpt))
            else:
                verdict.names_task.add(self._take(row))
                self._done = row.done
            full = len(self._instances) == _CHUNK_ROWS or len(self._refused) == _CHUNK_ROWS
            if full or self._characters > _CHUNK_CHARACTERS:
                yield self._chunk()
        verdict.seen |= dict.fromkeys(self._rules.names.seen())
        yield self._chunk()

    def _assembled(self, rows: Iterator[RawRow | BadRow]) -> Iterator[RawRow | BadRow]:
        """Return the rows; those of a file whose first row is a message of a tree as trees."""
        first = next(rows, None)
        if first is None:
            return iter(())
        rest = chain([first], rows)
        names = tuple(cast(Row, first.value)) if isinstance(first, RawRow) and isinstance(first.value, dict) else ()
        makes_trees = is_message(names) and self._rules.names.shape(names).layout.is_tree
        return trees(rest) if makes_trees else rest

    def _take(self, row: RawRow) -> bool | None:
        """Accept or refuse a row; return whether it names its task itself, None if it cannot name anything."""
        names_task = task = shape = None
        unread = UnreadValues()
        rules = self._rules
        try:
            if not isinstance(row.value, dict):
                raise RowError(reasons.NOT_AN_OBJECT)
            value = cast(Row, row.value)
            shape = rules.names.shape(tuple(value))
            if shape.unread:
                unread.columns = [(name, value[name]) for name in shape.unread if has_value(value[name])]
            names_task = rules.names.task(value) is not None
            task = rules.task_prefix + task_of(value, rules.names, self._default_task)
            self._require_licence(value)
            instance = instance_of(value, shape, task, unread)
            texts = rules.forgotten_texts
            if texts and text_id(instance.prompt, instance.response, instance.messages) in texts:
                self.verdict.forgotten_ids.add(instance.id)
            self._instances.append((instance, row.line, unread.digest()))
            self._characters += len(instance.prompt) + len(instance.response) + len(instance.messages or "")
        except RowError as error:
            self._refused.append((row.line, task, error.reason, self._excerpt(row.value, error.reason)))
        if shape is not None:
            self.verdict.columns.add(shape.layout.name, unread)
        return names_task

    def _require_licence(self, row: Row) -> None:
        """Count the rows that name no licence.

        Raises:
            RowError: The row may not be kept.
        """
        gate = self._rules.licences
        if gate is None:
            return
        licences = gate.named_by(row)
        if not gate.allows(licences):
            raise RowError(reasons.LICENCE if licences else reasons.NO_LICENCE)
        self.verdict.without_licence += not licences

    def _excerpt(self, value: object, reason: str) -> str | None:
        """Return the beginning of a row; with its licence first where that is why it is refused."""
        gate = self._rules.licences
        if gate is not None and reason == reasons.LICENCE:
            row = cast(Row, value)
            return excerpt_of({gate.column: row[gate.column], **row})
        return excerpt_of(value)

    def _chunk(self) -> Chunk:
        judged, texts, refused = _no_rows()
        if self._instances:
            instances, lines, unread = zip(*self._instances, strict=True)
            ids, prompts = (
                np.frombuffer(bytes.fromhex("".join(getattr(row, name) for row in instances)), digests.KIND)
                for name in ("id", "prompt_hash")
            )
            tasks, templates = ([getattr(row, name) for row in instances] for name in ("task", "template"))
            kept = [row.kept for row in instances]
            columns = [digests.to_arrow(ids), digests.to_arrow(prompts), tasks, templates, lines, unread, kept]
            judged = table_of(columns, JUDGED)
            texts = table_of([[getattr(row, name) for row in instances] for name in TEXTS.names], TEXTS)
            self._instances, self._characters = [], 0
        if self._refused:
            refused = table_of([*zip(*self._refused, strict=True)], REFUSED)
            self._refused = []
        return Chunk(judged, texts, refused, self._done)


@functools.lru_cache(maxsize=1)
def _no_rows() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return empty tables; making the first one imports pandas, which no command that reads no rows needs."""
    return JUDGED.empty_table(), TEXTS.empty_table(), REFUSED.empty_table()


def table_of(columns: list[Any], schema: pa.Schema) -> pa.Table:
    """Return columns as a table."""
    arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
