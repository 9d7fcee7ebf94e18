"""`smart sql`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from smart_assets.cli.options import print_error, refuse
from smart_assets.cli.sql_answers import MOST_SHOWN, show_table, write_csv, write_json
from smart_assets.cli.terminal import IN_TERMINAL, console, literal, to_stderr
from smart_assets.core.errors import SmartError
from smart_assets.documents.sql_export import export_views
from smart_assets.forgetting.exports import remember_export
from smart_assets.lineage.sql.connect import connect
from smart_assets.lineage.sql.quoting import complete_statements
from smart_assets.settings import load_project

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

Form = Literal["table", "csv", "json"]
_WRITERS: dict[Form, "Callable[[DuckDBPyRelation, int | None], bool]"] = {
    "table": show_table,
    "csv": write_csv,
    "json": write_json,
}


def run_sql(config: Path | None, query: str | None, form: Form | None = None, limit: int | None = None) -> None:
    """Answer the statements of a query, or those that are typed or piped in, each up to its `;`.

    Args:
        config: of the project.
        query: one statement or several; None reads them from stdin.
        form: of the answers; None is a table in a terminal and CSV elsewhere.
        limit: rows of each answer at most; None is all of them, but for a terminal's table.

    Raises:
        SmartError: a statement cannot be answered; those after it are not tried.
        typer.Exit: with status 1, where that happened to one that was typed in a terminal.
    """
    if query is not None and not query.strip("; \t\r\n"):
        refuse("the query is empty")
    connection = connect(load_project(config), to_stderr)
    chosen: Form = form or ("table" if IN_TERMINAL else "csv")
    answers = _Answers(connection, chosen, limit)
    if query is None and sys.stdin.isatty():
        _converse(answers)
        return
    if query is None:
        statements = _statements(_piped)
    else:
        done, rest = complete_statements(query)
        statements = iter([*done, rest])
    for statement in statements:
        answers.give(statement)


def export_sql(config: Path | None, out: Path, texts: bool, force: bool) -> None:
    """Write all views as the tables of one DuckDB file."""
    project = load_project(config)
    names = export_views(connect(project, to_stderr), out, texts, force)
    if texts:
        remember_export(project.store, out, None)
    without = "" if texts else ", without the texts of rows (`--texts` includes them)"
    console.print(literal(f"{len(names)} tables are in {out}{without}"))


class _Answers:
    """Runs statements and writes what they give, in one form."""

    def __init__(self, connection: "DuckDBPyConnection", form: Form, limit: int | None) -> None:
        self.connection, self._limit = connection, limit
        self._form: Form = form
        self._given = 0

    def give(self, text: str) -> None:
        """Run all statements of a text in order.

        Raises:
            SmartError: one of them cannot be run; those before it are answered.
        """
        import duckdb

        try:
            for statement in self.connection.extract_statements(text):
                answer = self.connection.sql(statement)
                if answer is not None:  # pyright: ignore[reportUnnecessaryComparison]  (a SET gives none)
                    self._write(answer)
        except (duckdb.Error, UnicodeError) as error:
            raise SmartError(f"{error}\nviews: {', '.join(self.views())}") from error

    def views(self) -> list[str]:
        """Return the names of all views and tables."""
        return [row[0] for row in self.connection.execute("SHOW TABLES").fetchall()]

    def _write(self, answer: "DuckDBPyRelation") -> None:
        if self._given and self._form == "csv":
            print(flush=True)  # an empty line between two answers
        self._given += 1
        if _WRITERS[self._form](answer, self._limit):
            to_stderr(self._more())

    def _more(self) -> str:
        if self._limit is not None:
            return f"there are more rows: these are the first {self._limit:,}, as --limit says"
        return f"there are more rows: these are the first {MOST_SHOWN:,}; --limit N shows N; --csv, --json, a pipe all"


def _converse(answers: _Answers) -> None:
    """Answer what is typed; an error ends nothing, but the exit status tells of it."""
    with suppress(ImportError):
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]  (a history for `input`)
    to_stderr(f"views: {', '.join(answers.views())}\na query ends with `;`, Ctrl-D ends")
    failed = False
    for statement in _statements(_typed):
        try:
            answers.give(statement)
        except SmartError as error:
            print_error(str(error))
            failed = True
    if failed:
        raise typer.Exit(1)


def _statements(ask: Callable[[str], str | None]) -> Iterator[str]:
    """Statements up to their `;`, then what is left at the end; a line of None drops what was begun."""
    text = ""
    while True:
        try:
            line = ask("...> " if text.strip() else "sql> ")
        except EOFError:
            break
        text = "" if line is None else f"{text}{line}\n"
        if line is not None and ";" in line:
            done, text = complete_statements(text)
            yield from done
    if text.strip():
        yield text


def _piped(_: str) -> str:
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise SmartError(f"what is piped in is not UTF-8: {error}") from error
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _typed(prompt: str) -> str | None:
    """Read a line of a terminal; None where it was interrupted. A prompt is no part of an answer in a file."""
    if not IN_TERMINAL:
        print(prompt, end="", file=sys.stderr, flush=True)
        prompt = ""
    try:
        return input(prompt)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return None
