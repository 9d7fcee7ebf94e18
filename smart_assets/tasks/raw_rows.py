"""What every format yields, and what all of them share.

A row not yet judged, or a row (or file) already refused; lines of bounded length; the check that every text passes.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from smart_assets.tasks import reasons
from smart_assets.tasks.arrow_columns import light, with_distinct_names
from smart_assets.tasks.arrow_json import decoders
from smart_assets.tasks.reasons import Field

BOM = b"\xef\xbb\xbf"

_EXCERPT = 200  # characters
_CHUNK = 1 << 20  # bytes of a long line skipped at a time
# What making Python's values raises: text that is not UTF-8, times out of range, time zones that nobody knows.
_NO_VALUE = (ValueError, OverflowError, KeyError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as its format gave it."""

    line: int  # where the row begins: line of a text file, row of a Parquet file or JSON list, index on the hub
    value: object  # an object with string keys where the row is well-formed
    done: float  # share of the file read so far, in [0, 1]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row refused by its reader; without a line it stands for the file, or for what is left of it."""

    line: int | None
    reason: str
    excerpt: str | None


def shorten(text: str) -> str:
    """Return the first 200 characters, lone surrogates replaced, so that any text can be stored as UTF-8."""
    return text[:_EXCERPT].encode("utf-8", "replace").decode()


def shorten_bytes(content: bytes) -> str:
    """Return the first 200 characters, what is not UTF-8 replaced."""
    return shorten(content[: 4 * _EXCERPT].decode("utf-8", "replace"))


def excerpt_of(value: object) -> str | None:
    """Return the beginning of a raw value as JSON, or None where it nests too deep to be written."""
    try:
        return shorten(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        return None


def arrow_rows(
    batch: pa.RecordBatch | pa.Table, first: int, total: int, base: int, read: Collection[str]
) -> Iterator[RawRow | BadRow]:
    """Yield the rows of a batch whose first row is row `first` of `total`, counted from `base`.

    Strings that are not UTF-8 and times that Python does not have only show when they become Python's values; then
    each value is taken by itself. Columns that are not read are in the rows, too, but of images and other bytes only
    that they are there.
    """
    batch = light(with_distinct_names(batch), first, read)
    try:
        values = batch.to_pylist()
    except _NO_VALUE:
        for row in range(batch.num_rows):
            yield _arrow_row(batch.slice(row, 1), first + row + base, (first + row + 1) / total, read)
        return
    decode = decoders(batch.schema)
    for row, value in enumerate(values, first):
        for name in decode:
            value[name] = decode[name](value[name])
        yield RawRow(row + base, value, (row + 1) / total)


def _arrow_row(row: pa.RecordBatch | pa.Table, line: int, done: float, read: Collection[str]) -> RawRow | BadRow:
    """Return one row; a value that Python cannot have refuses it only where the column is read."""
    value: dict[str, object] = {}
    decode = decoders(row.schema)
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            [cell] = column.to_pylist()
            value[name] = decode[name](cell) if name in decode else cell
        except _NO_VALUE as error:
            if name in read:
                reason = reasons.NOT_UTF8 if isinstance(error, UnicodeDecodeError) else reasons.NO_VALUE
                return BadRow(line, reason, None)
            value[name] = f"what cannot be read of row {line}"
    return RawRow(line, value, done)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; only its beginning where it is longer than the limit."""

    number: int  # from 1
    content: bytes
    whole: bool
    end: int  # bytes of the file read so far


def read_lines(file: BinaryIO, limit: int, before: int = 0) -> Iterator[Line]:
    """Yield all lines, their line breaks kept, cutting those of more than `limit` bytes and skipping their rest.

    Args:
        file: that is read from where it stands.
        limit: as above.
        before: lines of it that come before.
    """
    number = before
    while content := file.readline(limit + 1):
        number += 1
        whole = len(content) <= limit or content.endswith(b"\n")
        if not whole:
            content = content[:_CHUNK]
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
        yield Line(number, content, whole, file.tell())


class RowError(Exception):
    """A row breaks a rule; caught where rows are collected, and never seen by the user as an error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # one of `smart_assets.tasks.reasons`


def checked_text(field: Field, value: object) -> str:
    """Return the value as the text it must be.

    Raises:
        RowError: It is null, not text, holds NUL characters, or cannot be written as UTF-8 (lone surrogates).
    """
    if value is None:
        raise RowError(reasons.missing(field))
    if not isinstance(value, str):
        raise RowError(reasons.wrong_type(field, value))
    if "\0" in value:
        raise RowError(reasons.NUL)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(reasons.NOT_UTF8) from error
    return value
