"""What an audit looks through: all manifests, each read once, and those files of theirs that are still there."""

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.assets import finetuned_checkpoint, prompt_embeddings, raw_tasks, selected_subset
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import History, Materialization, Presence, presence, read_history
from smart_assets.lineage.sql.quoting import literal_path
from smart_assets.lineage.trained_rows import Training, dropped_table, joined, models_table, trainings
from smart_assets.promotion.log import Promoted, production
from smart_assets.settings import Project
from smart_assets.store import Artifact
from smart_assets.tasks.kept import KEPT_FILE
from smart_assets.tasks.read_result import INSTANCES_FILE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SUBSET = selected_subset.NAME
CHECKPOINT = finetuned_checkpoint.NAME
ROWS = raw_tasks.NAME
VECTORS = prompt_embeddings.NAME

# Names and values are parameters, the rest is ours; older files may lack columns of newer ones. It is no WITH clause:
# DuckDB would make a whole table of that before it looks what is asked for.
_EVERY = (
    "read_parquet($files, filename = true, union_by_name = true) "
    "JOIN (SELECT unnest($paths) AS filename, unnest($versions) AS version) USING (filename)"
)

Files = Mapping[str, Path]
"""Version of an artifact -> a file of it."""


def unreadable(error: Exception) -> StoreError:
    """Return what to say of files that DuckDB cannot read."""
    return StoreError(f"files of the store cannot be read ({str(error)[:300]}): `smart verify` names what is damaged")


class AuditReader:
    """Reads the store as it is when it is made; nothing is written."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.store = project.store.snapshot()
        self.history: History = read_history(project, {SUBSET, CHECKPOINT, ROWS, VECTORS})
        self._presence: dict[tuple[str, str, bool], Presence] = {}
        self.files = cache(self._files)

    @property
    def unreadable(self) -> int:
        """How many manifests cannot be relied on."""
        return len(self.history.unreadable)

    @cached_property
    def trainings(self) -> tuple[Training, ...]:
        """All checkpoints, seed by seed."""
        return tuple(trainings(self.history))

    @cached_property
    def production(self) -> Promoted | None:
        """The promoted model."""
        return production(self.project)

    def presence(self, item: Materialization, artifact: Artifact | None = None) -> Presence:
        """Return what is left of a materialization's artifact, or of an attachment."""
        asked = artifact or item.manifest.artifact
        key = (asked.asset, asked.version, item.newest)
        if key not in self._presence:
            self._presence[key] = presence(self.store, asked, item.newest)
        return self._presence[key]

    @property
    def subsets(self) -> Files:
        """The rows of all subsets that are still there."""
        return self.files(SUBSET, "subset.parquet")

    @property
    def instances(self) -> Files:
        """The rows of all sources that are still there."""
        return self.files(ROWS, INSTANCES_FILE)

    @property
    def kept(self) -> Files:
        """What is kept of rows, of the origins that are still there of sources that keep columns."""
        return self.files(ROWS, KEPT_FILE, ORIGINS_FOLDER)

    def _files(self, asset: str, name: str, attachment: str | None = None) -> Files:
        """Return a file of every version of an asset or attachment that is left, the newest of a partition first."""
        files: dict[str, Path] = {}
        for item in self.history.of(asset):
            artifact = item.manifest.artifact if attachment is None else item.manifest.attachments.get(attachment)
            if artifact is None or artifact.version in files or self.presence(item, artifact) != "there":
                continue
            if attachment is not None and not any(file.path == name for file in artifact.files):
                continue  # such as kept values, which few sources have
            if attachment is None:
                files[artifact.version] = self.store.file(item.manifest, name)
            else:
                files[artifact.version] = self.store.folder(artifact) / name
        return files

    def query(self, files: Files, columns: str, rest: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask many Parquet files at once.

        Args:
            files: which.
            columns: what is selected; `version` is the file's artifact.
            rest: what follows the FROM clause.
            values: of `$p0`, `$p1`, ... in both.

        Returns:
            Rows, in no order unless `rest` says so; none without files.

        Raises:
            StoreError: a file cannot be read.
        """
        return self._query(files, f"SELECT {columns} FROM {_EVERY} {rest}", values)  # noqa: S608  (of ours)

    def query_trained(self, columns: str, rest: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask which rows every model was given, of those whose subset is still there.

        Args:
            columns: What is selected: columns of subsets, `model` (the place in `trainings`), and `reason` where the
                row was not trained on.
            rest: What follows the FROM clause.
            values: Of `$p0`, `$p1`, ... in both.

        Raises:
            StoreError: A file cannot be read.
        """
        given = f"(SELECT version AS content_version, * EXCLUDE (version, filename) FROM {_EVERY})"  # noqa: S608
        trained = f"(SELECT m.model, r.*, d.reason FROM {joined('models', given, 'dropped')})"  # noqa: S608
        return self._query(self.subsets, f"SELECT {columns} FROM {trained} {rest}", values)  # noqa: S608

    def _query(self, files: Files, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if not files:
            return []
        import duckdb

        named: dict[str, object] = {f"p{index}": value for index, value in enumerate(values)}
        named["paths"], named["versions"] = [str(path) for path in files.values()], list(files)
        named["files"] = [literal_path(path) for path in files.values()]
        try:
            return self._connection.execute(query, named).fetchall()
        except duckdb.Error as error:
            raise unreadable(error) from error

    @cached_property
    def _connection(self) -> "DuckDBPyConnection":
        import duckdb

        connection = duckdb.connect()
        connection.register("models", models_table(self.trainings))
        connection.register("dropped", dropped_table(self.trainings))
        return connection
