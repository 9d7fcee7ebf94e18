"""The views as tables of one DuckDB file that needs no store: for an auditor, or for keeping."""

from pathlib import Path
from typing import TYPE_CHECKING

from smart_assets.core.errors import SmartError
from smart_assets.core.files import write_beside
from smart_assets.lineage.sql.file_views import views
from smart_assets.lineage.sql.quoting import identifier, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def export_views(connection: "DuckDBPyConnection", out: Path, texts: bool, replace: bool = False) -> list[str]:
    """Write every view and table of `lineage.sql.connect` as a table of `out`; gives their names.

    Written beside and renamed in.

    Args:
        connection: what to write.
        out: the new file.
        texts: also write the columns that quote rows or what a model wrote.
        replace: take the place of a file that is there.

    Raises:
        SmartError: `out` is there already and may not be replaced, or it cannot be written.
    """
    import duckdb

    if out.is_dir() or (out.exists() and not replace):
        what = "is a folder" if out.is_dir() else "is there already: `--force` replaces it"
        raise SmartError(f"{out} {what}; name a new file")
    names: list[str] = []
    try:
        write_beside(out, lambda draft: names.extend(_write(connection, draft, texts)))
    except duckdb.Error as error:
        raise SmartError(f"{out} cannot be written: {error}") from error
    return names


def _write(connection: "DuckDBPyConnection", draft: Path, texts: bool) -> list[str]:
    known = views()
    names = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
    connection.execute(f"ATTACH {quoted(str(draft))} AS written")
    try:
        for name in names:
            all_columns = connection.table(name).columns
            hidden = known[name].hidden(all_columns) if name in known and not texts else []
            columns = f"* EXCLUDE ({', '.join(map(identifier, hidden))})" if hidden else "*"
            connection.execute(f"CREATE TABLE written.{name} AS SELECT {columns} FROM {name}")  # noqa: S608
    finally:
        connection.execute("DETACH written")
    return names
