"""`smart sql`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from smart_assets.cli.terminal import console, plain, print_table
from smart_assets.errors import SmartError
from smart_assets.lineage.forget.exports import remember_export
from smart_assets.lineage.sql import connect
from smart_assets.lineage.sql_export import export_views
from smart_assets.settings import load_project

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 1_000


def run_sql(config: Path | None, query: str | None) -> None:
    """Answer one query, or those that are typed or piped in, one a line."""
    connection = connect(load_project(config), lambda line: console.print(plain(line, "yellow")))
    if query is not None:
        _answer(connection, query)
        return
    if sys.stdin.isatty():
        console.print(plain(f"views: {', '.join(_names(connection))}\none query a line; Ctrl-D ends", "dim"))
    for line in _lines():
        try:
            _answer(connection, line)
        except SmartError as error:
            console.print(plain(f"error: {error}", "red"))


def export_sql(config: Path | None, out: Path, texts: bool, force: bool) -> None:
    """Write all views as the tables of one DuckDB file."""
    project = load_project(config)
    connection = connect(project, lambda line: console.print(plain(line, "yellow")))
    names = export_views(connection, out, texts, force)
    if texts:
        remember_export(project.store, out, None)
    without = "" if texts else ", without the texts of rows (`--texts` includes them)"
    console.print(plain(f"{len(names)} tables are in {out}{without}"))


def _names(connection: "DuckDBPyConnection") -> list[str]:
    return [row[0] for row in connection.execute("SHOW TABLES").fetchall()]


def _lines() -> Iterator[str]:
    while True:
        try:
            line = input("sql> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line


def _answer(connection: "DuckDBPyConnection", query: str) -> None:
    import duckdb

    try:
        result = connection.execute(query)
        rows = result.fetchmany(MOST_ROWS + 1)
    except duckdb.Error as error:
        raise SmartError(f"{error}\nviews: {', '.join(_names(connection))}") from error
    print_table([column[0] for column in result.description or []], rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        console.print(plain(f"(the first {MOST_ROWS} rows; add a LIMIT or an aggregate)", "dim"))
