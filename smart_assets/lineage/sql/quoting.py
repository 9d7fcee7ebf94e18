"""The text of queries: values where no parameter can stand, and where statements end."""

from collections.abc import Iterable
from pathlib import Path


def quoted(text: str) -> str:
    """Return text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name of a column as SQL takes it, whatever stands in it."""
    return '"' + name.replace('"', '""') + '"'


def kept_values(names: Iterable[str]) -> list[str]:
    """Return for each name the column of its values, as text, out of `kept`, which holds a row's as JSON."""
    pointers = ((name, "/" + name.replace("~", "~0").replace("/", "~1")) for name in names)
    return [f"json_extract_string(kept, {quoted(pointer)}) AS {identifier(name)}" for name, pointer in pointers]


def file_name(path: Path) -> str:
    """Return a path as an SQL literal that DuckDB takes for this one file."""
    return quoted(literal_path(path))


def literal_path(path: Path) -> str:
    """Return a path without its meaning as a pattern: DuckDB would take `[` for the beginning of a set of letters."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def complete_statements(text: str) -> tuple[list[str], str]:
    """Return the statements of a text that end with `;`, and what comes after the last one.

    DuckDB says where they end: a `;` in a string, a quoted name or a comment is none, also in one that is still open.
    """
    import duckdb

    letters = text.encode("utf-8", "surrogatepass")  # places are those of bytes
    ends = [place + 1 for place, _ in duckdb.tokenize(text) if letters[place : place + 1] == b";"]
    parts = [letters[start:end].decode() for start, end in zip([0, *ends], [*ends, None], strict=True)]
    return parts[:-1], parts[-1]
