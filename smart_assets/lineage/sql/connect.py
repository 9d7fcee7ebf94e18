"""The store in SQL: DuckDB views over the current artifacts and all manifests. DuckDB itself keeps nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from smart_assets.assets.reading.kept import kept_file
from smart_assets.core.errors import StoreError
from smart_assets.core.progress import Log
from smart_assets.lineage.history import History, read_history
from smart_assets.lineage.sql.file_views import View, views
from smart_assets.lineage.sql.manifest_tables import create_history
from smart_assets.settings import Project

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def connect(project: Project, log: Log) -> "DuckDBPyConnection":
    """Return an in-memory DuckDB with all views and tables of `docs/sql.md`; empty ones where nothing was made yet.

    `log` is told of files that are damaged, and of manifests that cannot be relied on: the views are without them.
    """
    import duckdb

    # Names in a query are names of the store, never of variables in this program.
    connection = duckdb.connect(config={"python_enable_replacements": False})
    history = read_history(project)
    for item in history.unreadable:
        log(f"the manifest {item.path} cannot be relied on and is left out: see `smart verify`")
    for name, view in views().items():
        _create_view(connection, name, view.nothing(), list(_parts(project, history, view, log)), log)
    create_history(connection, project, history)
    return connection


def _parts(project: Project, history: History, view: View, log: Log) -> Iterator[str]:
    """Return the queries that read the files of all current artifacts, and of refused ones where the view has them."""
    for item in history.of(view.asset):
        if item.current or (view.of_refused and item.last_refused):
            try:
                kept = kept_file(project.store, item.manifest) if view.has_kept else None
                for path in view.paths(project.store, item.manifest):
                    yield view.select(item.manifest, path, kept)
            except StoreError as error:
                log(f"{item.key} is left out: {error}")


def _create_view(connection: "DuckDBPyConnection", name: str, nothing: str, parts: list[str], log: Log) -> None:
    import duckdb

    try:
        connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join([nothing, *parts])}")
    except duckdb.Error:
        whole = [part for part in parts if _opens(connection, name, part, log)]
        connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join([nothing, *whole])}")


def _opens(connection: "DuckDBPyConnection", name: str, part: str, log: Log) -> bool:
    import duckdb

    try:
        connection.execute(f"{part} LIMIT 0")
    except duckdb.Error as error:
        log(f"the view {name} is without a file that cannot be opened: {error}")
        return False
    return True
