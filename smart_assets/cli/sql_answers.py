"""How an answer of `smart sql` is written: whole and exact as CSV or JSON, or as a table for a terminal's eyes.

DuckDB itself writes values as text, since Python has no exact form for some (nanoseconds, months, 128-bit numbers).
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from smart_assets.cli.terminal import not_finite, print_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

MOST_SHOWN = 1_000
"""Rows that a terminal shows unless it is asked for more."""

_AT_ONCE = 10_000
_INTEGERS = frozenset({*(f"{size}int" for size in ("tiny", "small", "", "big", "huge")), "integer"})
_NUMBERS = _INTEGERS | {f"u{name}" for name in _INTEGERS} | {"decimal", "double", "float"}
_EXACT_IN_PYTHON = _NUMBERS | {"boolean", "varchar", "sqlnull"}
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^[#\s]|\s$')
_HTML_OR_NOT_ASCII = re.compile(r"[<>&\x7f]|[^\x00-\x7f]")


def write_csv(answer: "DuckDBPyRelation", limit: int | None) -> bool:
    """Write an answer as CSV with a header; an empty field is null, `""` is an empty text.

    Returns:
        Whether rows were left out, for the limit alone.
    """
    rows = _Rows(_as_text(answer), limit)
    _write(",".join(map(_field, row)) + "\n" for row in chain([answer.columns], rows))
    return rows.more


def write_json(answer: "DuckDBPyRelation", limit: int | None) -> bool:
    """Write an answer as an array of objects, one a line; numbers have all their digits, what JSON lacks is text.

    Returns:
        Whether rows were left out, for the limit alone.
    """
    names = [_json(name) for name in _distinct(answer.columns)]
    as_json = [str(kind) == "JSON" for kind in answer.types]
    rows = _Rows(answer.project(", ".join(map(_for_python, range(len(names)), answer.types))), limit)

    def objects() -> Iterator[str]:
        before = "[\n"
        for row in rows:
            values = (_json(_parsed(value) if raw else value) for value, raw in zip(row, as_json, strict=True))
            yield before + "{" + ", ".join(map(": ".join, zip(names, values, strict=True))) + "}"
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"

    _write(objects())
    return rows.more


def show_table(answer: "DuckDBPyRelation", limit: int | None) -> bool:
    """Show the first rows in a terminal, values whole and harmless.

    Returns:
        Whether rows were left out.
    """
    rows = _Rows(_as_text(answer), MOST_SHOWN if limit is None else limit)
    shown = [["NULL" if value is None else value for value in row] for row in rows]
    print_table(answer.columns, shown, right=[kind.id in _NUMBERS for kind in answer.types])
    return rows.more


class _Rows:
    """The rows of an answer up to a limit; `more` says afterwards whether there were others."""

    def __init__(self, answer: "DuckDBPyRelation", limit: int | None) -> None:
        self._answer, self._limit = answer, limit
        self.more = False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        left = math.inf if self._limit is None else self._limit
        while rows := self._answer.fetchmany(int(min(_AT_ONCE, left + 1))):
            self.more = len(rows) > left
            yield from rows[: int(left)] if self.more else rows
            left -= len(rows)
            if self.more:
                return


def _as_text(answer: "DuckDBPyRelation") -> "DuckDBPyRelation":
    return answer.project(", ".join(f"CAST(#{index + 1} AS VARCHAR)" for index in range(len(answer.columns))))


def _write(pieces: Iterable[str]) -> None:
    """Write in UTF-8 whatever the terminal's language is, with line ends as they are."""
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece.encode())
    sys.stdout.buffer.flush()


def _field(value: str | None) -> str:
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if not value or _NEEDS_QUOTES.search(value) else value


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of which none is another: JSON's readers keep one value of a name."""
    distinct: list[str] = []
    for name in names:
        count, own = 1, name
        while own in distinct:
            own, count = f"{name}_{count}", count + 1
        distinct.append(own)
    return distinct


def _for_python(index: int, kind: "DuckDBPyType") -> str:
    """Return the expression of a column whose values Python holds exactly: text where it has no such values."""
    exact = _exact_kind(kind)
    if kind.id == "float":  # as short as it is written, not as the double next to it
        return f"CAST(CAST(#{index + 1} AS VARCHAR) AS DOUBLE)"
    return f"#{index + 1}" if exact == str(kind) else f"CAST(#{index + 1} AS {exact})"


def _exact_kind(kind: "DuckDBPyType") -> str:
    if kind.id in _EXACT_IN_PYTHON:
        return str(kind)
    if kind.id not in {"list", "array", "struct", "map"}:
        return "VARCHAR"
    # The size of an array stands among its children.
    inner = [(name, cast("DuckDBPyType", child)) for name, child in kind.children if not isinstance(child, int)]
    parts = [_exact_kind(child) for _, child in inner]
    if parts == [str(child) for _, child in inner]:
        return str(kind)
    if kind.id == "map":
        return f"MAP({', '.join(parts)})"
    if kind.id == "struct":  # one without names has no type that could be written
        named = [f"{_quoted(name)} {part}" for (name, _), part in zip(inner, parts, strict=True) if name]
        return f"STRUCT({', '.join(named)})" if len(named) == len(parts) else "VARCHAR"
    size = dict(kind.children)["size"] if kind.id == "array" else ""
    return f"{parts[0]}[{size}]"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=Decimal, parse_constant=str)


def _json(value: object) -> str:
    """Return a value as JSON in plain letters; numbers keep their digits, and those that JSON lacks are texts."""
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        names = ((key if isinstance(key, str) else _json(key), item) for key, item in pairs)
        return "{" + ", ".join(f"{_json(name)}: {_json(item)}" for name, item in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_json, cast("Sequence[Any]", value))) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float):
        value = not_finite(value) or value
    return _HTML_OR_NOT_ASCII.sub(_escaped, json.dumps(value))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"  # what is not ASCII is escaped already
