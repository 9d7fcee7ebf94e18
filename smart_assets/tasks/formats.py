"""Readers of the four formats a task file may have. They judge the format only; `rows` judges what a row holds.

JSONL and CSV are streamed line by line, Parquet batch by batch; a JSON file is loaded whole, for want of lines.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.tasks import reasons
from smart_assets.tasks.csv_records import read_csv
from smart_assets.tasks.raw_rows import BOM, BadRow, Line, RawRow, arrow_rows, read_lines, shorten, shorten_bytes
from smart_assets.tasks.row_shape import FieldNames

_BATCH_ROWS = 1024


def read_file(path: Path, names: FieldNames, max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    """Yield the rows of a task file by its ending; a file that cannot be read ends with one refusal of the file."""
    try:
        yield from READERS[path.suffix.lower()](path, names, max_line_bytes)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        yield BadRow(None, reasons.FILE_UNREADABLE, shorten(str(error)))


def _read_jsonl(path: Path, _names: FieldNames, max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    size = max(1, path.stat().st_size)
    with path.open("rb") as file:
        for line in read_lines(file, max_line_bytes):
            if line.content.strip():
                yield _json_row(line, size)


def _json_row(line: Line, size: int) -> RawRow | BadRow:
    def refused(reason: str) -> BadRow:
        return BadRow(line.number, reason, shorten_bytes(line.content))

    if not line.whole:
        return refused(reasons.LINE_TOO_LONG)
    if b"\0" in line.content:
        return refused(reasons.NUL)
    try:
        return RawRow(line.number, json.loads(line.content.decode()), line.end / size)
    except UnicodeDecodeError:
        return refused(reasons.NOT_UTF8)
    except (ValueError, RecursionError):
        return refused(reasons.NOT_JSON)


def _read_json(path: Path, _names: FieldNames, _max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    content = path.read_bytes().removeprefix(BOM)
    try:
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        reason = reasons.NOT_UTF8 if isinstance(error, UnicodeDecodeError) else reasons.FILE_NOT_JSON
        yield BadRow(None, reason, shorten_bytes(content))
        return
    values = document.values() if isinstance(document, dict) else [document]
    lists = [cast("list[object]", value) for value in values if isinstance(value, list)]
    if len(lists) != 1:
        yield BadRow(None, reasons.FILE_NO_LIST, shorten_bytes(content))
        return
    for line, value in enumerate(lists[0], 1):
        yield RawRow(line, value, line / len(lists[0]))


def _read_parquet(path: Path, names: FieldNames, _max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    with pq.ParquetFile(path) as file:
        columns = names.wanted(file.schema_arrow.names)
        if not columns:
            every = file.schema_arrow.names
            yield BadRow(None, names.why_unusable(every), shorten(", ".join(every)))
            return
        first = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            yield from arrow_rows(batch, first, file.metadata.num_rows, 1, file.schema_arrow.names)
            first += batch.num_rows


READERS: dict[str, Callable[[Path, FieldNames, int], Iterator[RawRow | BadRow]]] = {
    ".csv": read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
