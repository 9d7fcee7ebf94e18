"""Which rows a condition of SQL means: over what sources keep of their rows, and their names."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.reading.kept import kept_names
from smart_assets.core.errors import ConditionError
from smart_assets.lineage.audit.reader import ROWS, AuditReader, unreadable
from smart_assets.lineage.history import Materialization
from smart_assets.lineage.sql.quoting import file_name, identifier, kept_values, quoted
from smart_assets.tasks import reasons

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMES = ("source", "task", "template", "file")
"""What a condition may ask beside kept columns."""
_TABLE = "rows"
# Nothing but the table is there to be asked, and the condition cannot change that.
_LOCKED = "SET enable_external_access = false; SET lock_configuration = true"


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many rows of a task a condition means."""

    source: str
    task: str
    rows: int
    duplicates: int  # of these, rows of which only an exact duplicate has the value


@dataclass(frozen=True, slots=True)
class NotCovered:
    """Rows that a condition says nothing of, since their source does not keep what it asks for."""

    source: str
    columns: tuple[str, ...]  # that it does not keep
    current: bool  # it does not now; otherwise earlier versions of it do not

    @property
    def in_words(self) -> str:
        """A sentence that names source and columns."""
        columns = ", ".join(f"`{column}`" for column in self.columns)
        if self.current:
            return (
                f"the source {self.source} does not keep {columns}: its rows are not among these, whoever they are of "
                "(`columns.keep` in smart.yaml, then `smart run`)"
            )
        return f"earlier versions of the source {self.source} do not keep {columns}: of their rows only later ones tell"


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows that a condition means, now or in the past."""

    ids: tuple[str, ...]
    tasks: tuple[TaskCount, ...]
    not_covered: tuple[NotCovered, ...]


@dataclass(frozen=True, slots=True)
class _Version:
    """A materialization of a source of which rows and origins are still there."""

    item: Materialization
    source: str
    instances: str  # files, as SQL literals
    origins: str
    rejected: str
    kept: str | None
    names: tuple[str, ...]  # of kept columns


def select(reader: AuditReader, condition: str) -> Selected:
    """Return the rows for which a condition holds, also those of which an exact duplicate has the values.

    Raises:
        ConditionError: It is no one expression that is true or false, names a column that no source keeps, or asks for
            anything but the rows.
        StoreError: Files of the store cannot be read.
    """
    versions = list(_versions(reader))
    kept = _spellings(name for version in versions for name in version.names)
    connection = _table_of(versions, kept)
    asked = _columns_in(condition)
    rows = _matching(connection, condition, kept)
    counts: dict[tuple[str, str], list[bool]] = {}
    for source, task, _, duplicate in rows:
        counts.setdefault((source, task), []).append(duplicate)
    return Selected(
        tuple(sorted({id_ for _, _, id_, _ in rows})),
        tuple(TaskCount(*key, len(those), sum(those)) for key, those in sorted(counts.items())),
        tuple(_not_covered(versions, {name for name in kept if name.casefold() in asked})),
    )


def _versions(reader: AuditReader) -> Iterator[_Version]:
    files = {name: reader.files(ROWS, name, ORIGINS_FOLDER) for name in ("origins.parquet", "rejected.parquet")}
    seen: set[tuple[str, str]] = set()
    for item in reader.history.of(ROWS):
        manifest = item.manifest
        attachment = manifest.attachments.get(ORIGINS_FOLDER)
        origins = "" if attachment is None else attachment.version
        known = manifest.content_version in reader.instances and origins in files["origins.parquet"]
        if not known or (manifest.content_version, origins) in seen:
            continue
        seen.add((manifest.content_version, origins))
        kept = reader.kept.get(origins)
        yield _Version(
            item,
            str(manifest.partition),
            file_name(reader.instances[manifest.content_version]),
            file_name(files["origins.parquet"][origins]),
            file_name(files["rejected.parquet"][origins]),
            kept and file_name(kept),
            kept_names(manifest) if kept else (),
        )


def _spellings(names: Iterator[str]) -> list[str]:
    """Return names of which none is another to SQL, for which case does not count: the first spelling of each."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.casefold(), name)
    return list(first.values())


def _table_of(versions: Sequence[_Version], kept: Sequence[str]) -> "DuckDBPyConnection":
    """Return a connection that knows nothing but the rows of some versions, in memory, and can reach nothing else."""
    import duckdb

    connection = duckdb.connect(config={"python_enable_replacements": False})
    columns = ["id", *NAMES, *kept]
    declared = ", ".join(f"{identifier(name)} VARCHAR" for name in columns)
    try:
        connection.execute(f"CREATE TABLE {_TABLE} ({declared}, duplicate BOOLEAN)")
        for version in versions:
            connection.execute(f"INSERT INTO {_TABLE} BY NAME {_rows_of(version)}")
        connection.execute(_LOCKED)
    except duckdb.Error as error:
        raise unreadable(error) from error
    return connection


def _rows_of(version: _Version) -> str:
    """Return the query of a version's rows: the accepted ones, and their exact duplicates with values of their own."""
    accepted = f"read_parquet({version.instances}) r JOIN read_parquet({version.origins}) o USING (id)"
    duplicates = f"read_parquet({version.rejected}) WHERE reason IN ({', '.join(map(quoted, reasons.DUPLICATES))})"
    columns = "id, task, template, file, line"
    rows = (
        f"SELECT {columns}, false AS duplicate FROM {accepted} "  # noqa: S608  (quoted)
        f"UNION ALL SELECT {columns}, true AS duplicate FROM {duplicates}"
    )
    kept = ""
    if version.kept is not None:
        values = ", ".join(["id", "file", "line", *kept_values(version.names)])
        of_places = f"SELECT {values} FROM read_parquet({version.kept})"  # noqa: S608  (quoted)
        kept = f"LEFT JOIN ({of_places}) USING (id, file, line)"
    return f"SELECT {quoted(version.source)} AS source, * EXCLUDE (line) FROM ({rows}) {kept}"  # noqa: S608  (quoted)


def _matching(
    connection: "DuckDBPyConnection", condition: str, kept: Sequence[str]
) -> list[tuple[str, str, str, bool]]:
    """Return source, task and id of the rows for which a condition holds, and whether duplicates alone have it."""
    import duckdb

    try:
        expression = duckdb.SQLExpression(condition)
        rows = connection.table(_TABLE)
        kinds = [str(kind) for kind in rows.select(expression).types]
        if kinds != ["BOOLEAN"]:
            raise ConditionError(f"--where is of the type {', '.join(kinds)}, and must be true or false: author = 'x'")
        selected = rows.filter(expression).aggregate("source, task, id, bool_and(duplicate) AS duplicate")
        return selected.fetchall()
    except duckdb.Error as error:
        names, why = ", ".join([*NAMES, *kept]), str(error).partition("\n")[0]
        raise ConditionError(
            f"--where cannot be answered: {why}. It is one condition in SQL over "
            f"{names}, all of them texts, such as author = 'x'. Others are known once `columns.keep` of a source names "
            "them and `smart run` has read it"
        ) from error


def _columns_in(condition: str) -> set[str]:
    """Return the columns that a condition names, in small letters.

    Raises:
        ConditionError: It asks for more than the values of a row.
    """
    import duckdb

    try:
        condition.encode()
    except UnicodeEncodeError as error:
        raise ConditionError("--where is not valid UTF-8") from error
    connection = duckdb.connect(config={"enable_external_access": False})
    query = f"SELECT 1 FROM {_TABLE} WHERE ({condition}\n)"  # noqa: S608  (parsed, not run)
    [(tree,)] = connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchall()
    nodes = list(_nodes(json.loads(tree)))
    if any(node.get("class") == "SUBQUERY" for node in nodes):
        raise ConditionError("--where asks for a row's own values, and holds no SELECT of its own")
    return {str(node["column_names"][-1]).casefold() for node in nodes if node.get("class") == "COLUMN_REF"}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a syntax tree."""
    if isinstance(tree, dict):
        node = cast("dict[str, Any]", tree)
        yield node
        tree = list(node.values())
    if isinstance(tree, list):
        for item in cast("list[Any]", tree):
            yield from _nodes(item)


def _not_covered(versions: Sequence[_Version], asked: set[str]) -> Iterator[NotCovered]:
    """Yield each source once that does not keep all that is asked for, now or at least in an earlier version."""
    lacking: dict[str, tuple[bool, set[str]]] = {}
    for version in versions:
        own = {name.casefold() for name in version.names}
        missing = {name for name in asked if name.casefold() not in own}
        current, names = lacking.get(version.source, (False, set[str]()))
        if missing and (version.item.current or not current):
            of_now = missing if version.item.current else names | missing
            lacking[version.source] = (current or version.item.current, of_now)
    for source, (current, names) in sorted(lacking.items()):
        yield NotCovered(source, tuple(sorted(names)), current)
