"""CSV by the letter of RFC 4180, refusing record by record what cannot be meant.

A quote that never closes would swallow every record after it. So a record that breaks the rules is refused with its
first line only, and reading goes on at the line after it.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from smart_assets.tasks import reasons
from smart_assets.tasks.arrow_columns import distinct_names
from smart_assets.tasks.raw_rows import BOM, BadRow, Line, RawRow, read_lines, shorten_bytes
from smart_assets.tasks.streams import Bytes, RefusedFileError

_SEPARATORS = (",", ";", "\t", "|")


def read_csv(
    content: Bytes, wanted: Callable[[list[str]], list[str]], max_line_bytes: int, delimiter: str
) -> Iterator[RawRow | BadRow]:
    """Yield the records under a header that names the columns; a record is known by the line it begins on.

    The limit of Python's csv module on a field holds for the whole interpreter; it is only ever raised here.

    Raises:
        RefusedFileError: The header does not have the columns that are wanted.
    """
    csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
    records = _records(_Feed(read_lines(content.stream, max_line_bytes)), delimiter)
    header = next(((lines, fields) for lines, fields in records if fields != []), None)
    if header is None or header[1] is None:
        raise RefusedFileError(reasons.FILE_NO_COLUMNS, shorten_bytes(header[0][0].content) if header else None)
    if len(header[1]) == 1 and any(mark in header[1][0] for mark in _SEPARATORS):
        raise RefusedFileError(reasons.FILE_SEPARATOR, shorten_bytes(header[0][0].content))
    wanted(header[1])
    names = distinct_names(header[1])
    for lines, fields in records:
        if fields != [] or not lines[0].whole:
            yield _row(lines, fields, header[1], names, content.size)


def _row(
    lines: list[Line], fields: list[str] | None, header: list[str], names: list[str], size: int
) -> RawRow | BadRow:
    first, last = lines[0], lines[-1]
    if not all(line.whole for line in lines):
        return BadRow(first.number, reasons.LINE_TOO_LONG, shorten_bytes(first.content))
    if fields is None:
        return BadRow(first.number, reasons.BAD_QUOTES, shorten_bytes(first.content))
    if fields == header:  # files that were put together one after the other
        return BadRow(first.number, reasons.HEADER_AGAIN, shorten_bytes(first.content))
    if len(fields) != len(header):
        return BadRow(first.number, reasons.FIELD_COUNT, shorten_bytes(first.content))
    return RawRow(first.number, dict(zip(names, fields, strict=True)), last.end / size)


class _Feed:
    """Lines as text for csv.reader, each remembered until the record it belongs to is settled.

    Bytes that are not UTF-8 become lone surrogates, which the check of each text refuses. A line that was cut is fed
    as an empty one, and its whole record refused afterwards.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        if not self._taken and line.content.startswith(BOM):  # inside a record it is text
            line = replace(line, content=line.content.removeprefix(BOM))
        self._taken.append(line)
        return line.content.decode("utf-8", "surrogateescape") if line.whole else "\n"

    def settle(self, count: int | None = None) -> list[Line]:
        """Return the first `count` lines (all of them without it) as one record; the others will be fed again."""
        settled = self._taken[:count]
        self._again.extendleft(reversed(self._taken[len(settled) :]))
        self._taken = []
        return settled


def _records(feed: _Feed, delimiter: str) -> Iterator[tuple[list[Line], list[str] | None]]:
    """Yield each record's lines and its fields: none for a blank line, None for a line whose quotes do not match."""
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error:
            yield feed.settle(1), None
            continue
        if fields is None:
            return
        yield feed.settle(), fields
