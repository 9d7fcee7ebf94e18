"""Values as they stand in a query of DuckDB where no parameter can."""

from pathlib import Path


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def file_name(path: Path) -> str:
    """A path as an SQL literal that DuckDB takes for this one file."""
    return quoted(literal_path(path))


def literal_path(path: Path) -> str:
    """A path without its meaning as a pattern: DuckDB would take `[` for the beginning of a set of letters."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
