"""Gathers the judged rows of a source: drops exact duplicates, and counts by task.

Files are judged one by one (`judge`). Which of equal rows is the first one shows only when all files are known. So
duplicates are found at the end, over all rows at once, whether they were read now or come from an earlier result.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.errors import SourceError
from smart_assets.core.progress import Log
from smart_assets.tasks import digests, reasons, similar_names
from smart_assets.tasks.earlier import CANDIDATES, REFUSALS, Earlier
from smart_assets.tasks.forgotten import NOTHING, Forgotten, refusal_id
from smart_assets.tasks.judge import Chunk, FileVerdict, table_of
from smart_assets.tasks.kept import KEPT, kept_rows
from smart_assets.tasks.layouts import recognized
from smart_assets.tasks.licences import LicenceGate
from smart_assets.tasks.likely_columns import proposal
from smart_assets.tasks.read_result import ORIGINS, REJECTED, ROWS, TASKS, NoRowsError, ReadResult
from smart_assets.tasks.row_shape import MOST_NAMED
from smart_assets.tasks.source_kind import SourceFile
from smart_assets.tasks.texts import Texts
from smart_assets.tasks.unread import ReadColumns, column_table, lines_of, listed, listed_names

_LAST = np.iinfo(np.int64).max
_FILE_PLACE = CANDIDATES.get_field_index("file")


@dataclass(frozen=True, slots=True)
class ReadContext:
    """How the rows of one source become instances, and who is told of it."""

    label: str  # names the source in messages
    task_prefix: str
    log: Log
    forgotten: Forgotten = NOTHING
    licences: LicenceGate | None = None  # None: rows of any are kept


class Collector:
    """Takes the judged rows of one file after the other, in the order of their names."""

    def __init__(self, context: ReadContext, texts: Texts) -> None:
        self.rows_read = 0
        self._context = context
        self._texts = texts
        self._names: list[str] = []  # of the files taken so far
        self._reused: list[str | None] = []  # likewise, None for one that was read
        self._unnamed: list[str | None] = []  # likewise, the task of refused rows that name none
        self._claims: dict[str, tuple[str, str]] = {}  # group and its first file, by the task that its name gives
        self._forgotten_texts: set[str] = set()  # ids of rows that say what is to be forgotten
        self._without_licence = 0  # rows that name none, and are kept for the source's own
        self._columns: list[ReadColumns] = []  # of the files taken so far
        self._seen: dict[str, None] = {}  # columns that are there, read or not
        self._candidates: list[pa.Table] = []
        self._refusals: list[pa.Table] = []

    def add_chunk(self, chunk: Chunk) -> None:
        """Take some rows of the file that `end_file` will name."""
        place = len(self._names)
        if chunk.judged.num_rows:
            places = pa.repeat(pa.scalar(place, pa.int32()), chunk.judged.num_rows)
            self._candidates.append(chunk.judged.add_column(_FILE_PLACE, CANDIDATES.field("file"), places))
            self._texts.add(digests.from_arrow(chunk.judged["id"]), chunk.texts)
        if chunk.refused.num_rows:
            places = pa.repeat(pa.scalar(place, pa.int32()), chunk.refused.num_rows)
            refused = chunk.refused.add_column(0, REFUSALS.field("file"), places)
            self._refusals.append(refused.append_column(REFUSALS.field("id"), pa.nulls(refused.num_rows, pa.string())))

    def end_file(self, file: str, group: str, default_task: str | None, verdict: FileVerdict) -> str | None:
        """Name the file whose rows were taken last. Return the task it claims, if any.

        Rows that name no task belong to `default_task`. So do rows that cannot be read, unless others of the file
        name tasks of their own.

        Raises:
            SourceError: A file of another group has already given rows to the same default task.
        """
        self.rows_read += verdict.rows
        self._without_licence += verdict.without_licence
        self._forgotten_texts |= verdict.forgotten_ids
        self._columns.append(verdict.columns)
        self._seen |= verdict.seen
        kinds, task = verdict.names_task, None
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
        self._columns.append(ReadColumns())
        self._names.append(file.path)
        self._reused.append(file.path)
        self._unnamed.append(None)

    def log_absent(self, names: Iterable[str]) -> None:
        """Name the columns that the settings name and no row has, as far as it is known which there are."""
        absent = [name for name in names if name not in self._seen]
        if absent and 0 < len(self._seen) < MOST_NAMED and not any(self._reused):
            self._context.log(
                f"source {self._context.label}: the settings name columns that no row has: {listed_names(absent)}"
            )

    def finish(self, files: tuple[SourceFile, ...], revision: str | None, earlier: Earlier | None) -> ReadResult:
        """Return all that was taken.

        Raises:
            NoRowsError: No row was accepted.
        """
        if earlier is not None:
            candidates, refusals = earlier.taken_over(self._reused)
            self._candidates.append(candidates)
            self._refusals.append(refusals)
        candidates = pa.concat_tables([CANDIDATES.empty_table(), *self._candidates])
        self._candidates = []
        candidates, forgotten = self._without_forgotten(candidates)
        accepted, duplicates, repeats = told_apart(candidates)
        del candidates
        columns = column_table(
            self._names, self._columns, [] if earlier is None else [earlier.columns_of(self._reused)]
        )
        for line in lines_of(columns):
            self._context.log(f"source {self._context.label}: {line}")
        kept = self._kept(accepted, pa.concat_tables([duplicates, repeats]))
        rejected = self._rejected(duplicates, repeats, forgotten)
        hexed = {name: digests.to_hex(digests.from_arrow(accepted[name])) for name in ("id", "prompt_hash")}
        result = ReadResult(
            rows=pa.table([hexed["id"], accepted["task"], accepted["template"], hexed["prompt_hash"]], schema=ROWS),
            texts=self._texts,
            origins=pa.table(
                [hexed["id"], self._named(accepted["file"]), accepted["line"], accepted["unread"]], schema=ORIGINS
            ),
            rejected=rejected,
            tasks=self._count_tasks(accepted["task"], rejected),
            columns=columns,
            files=files,
            revision=revision,
            files_reused=sum(name is not None for name in self._reused),
            rows_read=self.rows_read,
            kept=kept,
        )
        if not accepted.num_rows:
            advice = (
                "Take the source out of smart.yaml: no row that may be kept is left in it."
                if forgotten.num_rows
                else f"{listed(self._seen)}Name its columns under `columns`, or repair the rows.{self._proposal()}"
            )
            raise NoRowsError(
                f"source {self._context.label}: none of its {rejected.num_rows:,} rows can be used "
                f"({_reasons(rejected)}). {advice}",
                result,
            )
        return result

    def _proposal(self) -> str:
        return proposal(self._seen) if recognized(self._seen) is None else ""

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

    def _kept(self, accepted: pa.Table, duplicates: pa.Table) -> pa.Table:
        """Return KEPT, and say how many rows have the source's own licence."""
        gate = self._context.licences
        if gate is not None and self._without_licence:
            self._context.log(
                f"source {self._context.label}: {self._without_licence:,} of the rows read name no licence in the "
                f"column `{gate.column}`: they count as {gate.own}, the source's own"
            )
        rows = kept_rows(*(_with_hex_ids(table) for table in (accepted, duplicates)))
        return rows.set_column(rows.column_names.index("file"), "file", self._named(rows["file"])).cast(KEPT)

    def _rejected(self, duplicates: pa.Table, repeats: pa.Table, forgotten: pa.Table) -> pa.Table:
        """Return REJECTED in reading order: by file and line, what holds of a whole file last."""
        refusals = pa.concat_tables([REFUSALS.empty_table(), *self._refusals])
        self._refusals = []
        default = pa.array(self._unnamed, pa.string()).take(refusals["file"].combine_chunks())
        refusals = refusals.set_column(2, REFUSALS.field("task"), pc.coalesce(refusals["task"], default))
        every = pa.concat_tables(
            [
                self._excerpts_forgotten(refusals),
                _refused(duplicates, reasons.DUPLICATE),
                _refused(repeats, reasons.REPEATS_WHAT_IS_READ),
                _refused(forgotten, reasons.FORGOTTEN),
            ],
            promote_options="default",
        )
        kept = pc.and_(pc.is_valid(every["unread"]), pc.not_equal(every["reason"], reasons.FORGOTTEN))
        unread = pc.if_else(kept, every["unread"], 0)
        every = every.set_column(every.column_names.index("unread"), REJECTED.field("unread"), unread)
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
        for names in similar_names.look_alikes(tasks):
            self._context.log(f"source {self._context.label}: {similar_names.in_words(names)}")
        if lost := [task for task in tasks if not rows[task]]:
            self._context.log(f"source {self._context.label}: left with no rows: {', '.join(lost)}")
        return table_of([tasks, [rows[task] for task in tasks], [refused[task] for task in tasks]], TASKS)


def told_apart(candidates: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return CANDIDATES as the first of equal ones in the order of ids, exact duplicates, and repeats of what is read.

    The second and third are in the order of the candidates; what is not read of a repeat is another than of the first.
    """
    ids = digests.from_arrow(candidates["id"])
    order = digests.order_of(ids, candidates["file"].to_numpy(), candidates["line"].to_numpy())
    first = digests.first_of_equal(ids[order])
    unread = candidates["unread"].to_numpy()[order]
    same = unread == unread[first][np.cumsum(first) - 1] if len(order) else first
    parts = (order[first], np.sort(order[~first & same]), np.sort(order[~first & ~same]))
    accepted, duplicates, repeats = (candidates.take(pa.array(part)) for part in parts)
    return accepted, duplicates, repeats


def _refused(candidates: pa.Table, reason: str) -> pa.Table:
    """Return rows that have an id as refusals."""
    rows = _with_hex_ids(candidates).drop_columns(["prompt_hash", "kept"])
    return rows.append_column("reason", pa.repeat(reason, candidates.num_rows))


def _with_hex_ids(candidates: pa.Table) -> pa.Table:
    return candidates.set_column(0, "id", digests.to_hex(digests.from_arrow(candidates["id"])))


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()})


def _reasons(rejected: pa.Table) -> str:
    return ", ".join(f"{count:,} x {reason}" for reason, count in _counts(rejected["reason"]).most_common())
