"""Readers of the formats a task file may have. They judge the format only; `rows` judges what a row holds.

JSON lines and CSV are streamed line by line, Parquet and Arrow batch by batch; a JSON file is loaded whole, for want of
lines. Files of text may be compressed, whichever their format.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.tasks import reasons
from smart_assets.tasks.arrow_columns import columns_to_load
from smart_assets.tasks.csv_records import read_csv
from smart_assets.tasks.file_names import FileName
from smart_assets.tasks.file_rows import FileLimits, Piece
from smart_assets.tasks.json_documents import rows_in
from smart_assets.tasks.open_assistant import is_message
from smart_assets.tasks.raw_rows import BOM, BadRow, Line, RawRow, arrow_rows, read_lines, shorten, shorten_bytes
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.streams import Bytes, RefusedFileError, limit_of, line_pieces, open_text, refuse_other_content

_BATCH_ROWS = 1024
_ARROW_FILE = b"ARROW1"
_FEATHER_1 = b"FEA1"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of a table."""

    names: FieldNames
    fixed: Mapping[str, str]  # values of all rows that have none of these keys

    def columns(self, names: list[str]) -> list[str]:
        """Return those of a table's columns that are read.

        Raises:
            RefusedFileError: They cannot make an instance.
        """
        wanted = self.names.wanted([*names, *(name for name in self.fixed if name not in names)])
        if not wanted:
            raise RefusedFileError(self.names.why_unusable(names), shorten(", ".join(names)))
        return [name for name in wanted if name in names]


def read_file(
    path: Path,
    name: FileName,
    names: FieldNames,
    limits: FileLimits,
    fixed: Mapping[str, str],
    piece: Piece | None = None,
) -> Iterator[RawRow | BadRow]:
    """Yield the rows of a task file; a file that cannot be read ends with one refusal of the file.

    Args:
        path: Where its bytes lie, under whatever name.
        name: Its own name, which gives format and compression.
        names: The columns that are wanted.
        limits: How much it may hold.
        fixed: Values by key of the rows that have none, as partitions give them.
        piece: One of `pieces_of`; None: the whole file.
    """
    wanted = _Wanted(names, fixed)
    try:
        rows = _rows(path, name, wanted, limits, piece)
        yield from rows if not fixed else (_completed(row, fixed) for row in rows)
    except RefusedFileError as error:
        yield BadRow(None, error.reason, error.excerpt)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        yield BadRow(None, reasons.FILE_UNREADABLE, shorten(str(error)))


def pieces_of(path: Path, name: FileName, piece_bytes: int, limits: FileLimits) -> Sequence[Piece | None]:
    """Return the pieces of a file, to be read one after the other; None stands for the whole file.

    A file whose rows make trees is one piece: a message may stand far from the one that it answers.
    """
    pieces: Sequence[Piece | None] = []
    if name.format == ".parquet":
        pieces = _group_pieces(path, piece_bytes)
    elif name.format in (".jsonl", ".ndjson") and name.compression is None:
        pieces = [] if _begins_a_tree(path, limits.max_line_bytes) else line_pieces(path, piece_bytes)
    return pieces or [None]


def _begins_a_tree(path: Path, max_line_bytes: int) -> bool:
    """Return whether the first row of a file of lines is a message of a tree, as far as its keys tell."""
    try:
        with path.open("rb") as file:
            lines = (line for line in read_lines(file, max_line_bytes) if line.content.strip() not in (b"", BOM))
            first = next((_json_row(line, 1) for line in lines), None)
    except OSError:
        return False
    return (
        isinstance(first, RawRow) and isinstance(first.value, dict) and is_message(cast("dict[str, Any]", first.value))
    )


def _group_pieces(path: Path, piece_bytes: int) -> list[Piece]:
    try:
        with pq.ParquetFile(path) as file:
            if is_message(file.schema_arrow.names):
                return []
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    except (OSError, pa.ArrowException):
        return []
    pieces: list[Piece] = []
    first = before = rows = size = 0
    for number, group in enumerate(groups, 1):
        rows, size = rows + group.num_rows, size + group.total_byte_size
        if size >= piece_bytes or number == len(groups):
            pieces.append(Piece(first, number, before, number / len(groups)))
            first, before, rows, size = number, before + rows, 0, 0
    return pieces


def _rows(
    path: Path, name: FileName, wanted: _Wanted, limits: FileLimits, piece: Piece | None
) -> Iterator[RawRow | BadRow]:
    assert name.format is not None  # noqa: S101
    refuse_other_content(path, name.compression, name.format in TEXTS)
    if reader := TABLES.get(name.format):
        yield from reader(path, wanted, limits, piece)
        return
    with open_text(path, name.compression, limits.max_unpacked_times, piece) as content:
        yield from TEXTS[name.format](content, wanted, limits.max_line_bytes)


def _completed(row: RawRow | BadRow, fixed: Mapping[str, str]) -> RawRow | BadRow:
    if isinstance(row, BadRow) or not isinstance(row.value, dict):
        return row
    return RawRow(row.line, {**fixed, **cast("dict[str, object]", row.value)}, row.done)


def _read_jsonl(content: Bytes, _wanted: _Wanted, max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    for line in read_lines(content.stream, max_line_bytes, content.lines_before):
        text = line.content.strip()
        if text and text != BOM:
            yield _json_row(line, content.size)
        if content.stop is not None and line.end >= content.stop:
            return


def _json_row(line: Line, size: int) -> RawRow | BadRow:
    def refused(reason: str) -> BadRow:
        return BadRow(line.number, reason, shorten_bytes(line.content))

    if not line.whole:
        return refused(reasons.LINE_TOO_LONG)
    if b"\0" in line.content:
        return refused(reasons.NUL)
    try:
        return RawRow(line.number, _load(line.content.removeprefix(BOM).decode()), line.end / size)
    except UnicodeDecodeError:
        return refused(reasons.NOT_UTF8)
    except _KeyTwiceError:
        return refused(reasons.KEY_TWICE)
    except (ValueError, RecursionError):
        return refused(reasons.NOT_JSON)


class _KeyTwiceError(Exception):
    """An object of JSON has a key twice: which of the two is meant is anyone's guess."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _KeyTwiceError
    return value


_load = json.JSONDecoder(object_pairs_hook=_object).decode


def _read_json(content: Bytes, _wanted: _Wanted, _max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    text = content.stream.read().removeprefix(BOM)
    try:
        document = _load(text.decode())
    except _KeyTwiceError as error:
        raise RefusedFileError(reasons.KEY_TWICE, shorten_bytes(text)) from error
    except (ValueError, RecursionError) as error:
        reason = reasons.NOT_UTF8 if isinstance(error, UnicodeDecodeError) else reasons.FILE_NOT_JSON
        raise RefusedFileError(reason, shorten_bytes(text)) from error
    rows = rows_in(document)
    if rows is None:
        raise RefusedFileError(reasons.FILE_NO_LIST, shorten_bytes(text))
    del text, document
    for line, value in enumerate(rows, 1):
        yield RawRow(line, value, line / len(rows))


def _read_separated(content: Bytes, wanted: _Wanted, max_line_bytes: int, delimiter: str) -> Iterator[RawRow | BadRow]:
    return read_csv(content, wanted.columns, max_line_bytes, delimiter)


def _read_parquet(path: Path, wanted: _Wanted, limits: FileLimits, piece: Piece | None) -> Iterator[RawRow | BadRow]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = wanted.columns(names)
        groups = range(file.num_row_groups)
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if unpacked > (limit := limit_of(path.stat().st_size, limits.max_unpacked_times)):
            raise RefusedFileError(reasons.FILE_TOO_LARGE, f"more than {limit:,} bytes")
        loaded = columns_to_load(file, columns)
        first = piece.before if piece else 0
        # Each group by itself: what is read of a damaged one does not depend on those before it.
        for group in range(piece.first, piece.stop) if piece else groups:
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=loaded):
                yield from arrow_rows(batch, first, file.metadata.num_rows, 1, columns)
                first += batch.num_rows


def _read_arrow(path: Path, wanted: _Wanted, _limits: FileLimits, _piece: Piece | None) -> Iterator[RawRow | BadRow]:
    """Read both forms of Arrow's IPC: the one that is a file, which Feather is, too, and the stream."""
    with pa.memory_map(str(path)) as content:
        head = content.read(len(_ARROW_FILE))
        content.seek(0)
        if head.startswith(_FEATHER_1):
            raise RefusedFileError(reasons.FILE_FEATHER_1)
        if head != _ARROW_FILE:
            stream = pa.ipc.open_stream(content)
            batches: Iterator[tuple[pa.RecordBatch, float]] = ((batch, content.tell()) for batch in stream)
            size = max(1, content.size())
        else:
            stream = pa.ipc.open_file(content)
            size = max(1, stream.num_record_batches)
            batches = ((stream.get_batch(number), number + 1) for number in range(stream.num_record_batches))
        columns = wanted.columns(stream.schema.names)
        first = 0
        for batch, done in batches:
            batch.validate(full=True)  # what Arrow trusts of a file's offsets would otherwise be read beyond its end
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                rows = batch.slice(start, _BATCH_ROWS)
                # How many rows a stream holds shows at its end: its bytes tell how far it is read.
                yield from arrow_rows(rows, first, max(first + rows.num_rows, int(first * size / done)), 1, columns)
                first += rows.num_rows


_TextReader = Callable[[Bytes, _Wanted, int], Iterator[RawRow | BadRow]]
TEXTS: dict[str, _TextReader] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": functools.partial(_read_separated, delimiter=","),
    ".tsv": functools.partial(_read_separated, delimiter="\t"),
}
TABLES: dict[str, Callable[[Path, _Wanted, FileLimits, Piece | None], Iterator[RawRow | BadRow]]] = {
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}
