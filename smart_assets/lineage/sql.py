"""The store in SQL: DuckDB views over the current artifacts and all manifests. DuckDB itself keeps nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from smart_assets.errors import StoreError
from smart_assets.lineage.graph import STEPS, partitions
from smart_assets.pipeline.step import split_grid_key
from smart_assets.progress import Log
from smart_assets.settings import Project
from smart_assets.store import Manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def connect(project: Project, log: Log) -> "DuckDBPyConnection":
    """An in-memory DuckDB with a view for everything that was made.

    Views of sources have a column `source`, views of the grid `budget` (`budget_total` in `task_budgets`, which has a
    `budget` of each task) and `recipe`, results of checkpoints `seed`. A view is missing while nothing of it was made,
    and where its files are damaged, which `log` is told.
    """
    import duckdb

    connection = duckdb.connect()
    for view in VIEWS:
        try:
            _create_view(connection, project, view)
        except (StoreError, duckdb.Error) as error:
            log(f"the view {view} cannot be opened: {error}")
    _load_manifests(connection, project)
    return connection


def _create_view(connection: "DuckDBPyConnection", project: Project, view: str) -> None:
    asset, file, attachment = VIEWS[view]
    parts = [
        f"SELECT {_columns(manifest, path)} FROM read_parquet({_quoted(str(path))})"  # noqa: S608  (quoted)
        for manifest in _current(project, asset)
        for path in _paths(project, manifest, file, attachment)
    ]
    if parts:
        connection.execute(f"CREATE VIEW {view} AS {' UNION ALL BY NAME '.join(parts)}")


# view -> asset, file in it (a pattern over the folders of seeds), attachment that holds the file
VIEWS: dict[str, tuple[str, str, str | None]] = {
    "instances": ("raw_tasks", "instances.parquet", None),
    "origins": ("raw_tasks", "origins.parquet", "origins"),
    "rejected": ("raw_tasks", "rejected.parquet", "origins"),
    "tasks": ("raw_tasks", "tasks.parquet", "origins"),
    "embeddings": ("prompt_embeddings", "rows.parquet", None),
    "near_duplicates": ("similarity_index", "near_duplicates.parquet", None),
    "orderings": ("instance_orderings", "orderings.parquet", None),
    "task_scores": ("task_scores", "scores.parquet", None),
    "subsets": ("selected_subset", "subset.parquet", None),
    "task_budgets": ("selected_subset", "task_budgets.parquet", None),
    "losses": ("finetuned_checkpoint", "*/loss.parquet", None),
    "evals": ("eval_results", "*/metrics.parquet", None),
    "eval_rows": ("eval_results", "*/rows.parquet", None),
    "eval_samples": ("eval_results", "*/samples.parquet", None),
    "base_model_evals": ("base_model_results", "*/metrics.parquet", None),
    "base_model_rows": ("base_model_results", "*/rows.parquet", None),
}


def _current(project: Project, asset: str) -> Iterator[Manifest]:
    for key in partitions(project, asset):
        manifest = project.store.current(key.asset, key.partition)
        if manifest is not None:
            yield manifest


def _paths(project: Project, manifest: Manifest, pattern: str, attachment: str | None) -> Iterator[Path]:
    artifact = manifest.artifact if attachment is None else manifest.attachments[attachment]
    yield from sorted(project.store.folder(artifact).glob(pattern))


def _columns(manifest: Manifest, path: Path) -> str:
    """The columns that the partition and the seed's folder stand for, and the file's own."""
    added: list[str] = []
    if manifest.partition is not None and "|" in manifest.partition:
        budget, recipe = split_grid_key(manifest.partition)
        added += [f"{budget} AS budget_total" if path.name == "task_budgets.parquet" else f"{budget} AS budget"]
        added += [f"{_quoted(recipe)} AS recipe"]
    elif manifest.partition is not None:
        added += [f"{_quoted(manifest.partition)} AS source"]
    if path.parent.name.startswith("seed-"):
        added += [f"{int(path.parent.name.removeprefix('seed-'))} AS seed"]
    return ", ".join([*added, "*"])


def _load_manifests(connection: "DuckDBPyConnection", project: Project) -> None:
    """The table `materializations`: a row for every manifest, newest first in each partition."""
    connection.execute(
        "CREATE TABLE materializations (asset VARCHAR, partition VARCHAR, content_version VARCHAR, made_at TIMESTAMP, "
        "current BOOLEAN, seconds DOUBLE, device VARCHAR, run_id VARCHAR, code_version VARCHAR, inputs JSON, "
        "parameters JSON, summary JSON)"
    )
    for asset in STEPS:
        for key in partitions(project, asset):
            for index, manifest in enumerate(project.store.history(key.asset, key.partition)):
                connection.execute(
                    "INSERT INTO materializations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        manifest.asset,
                        manifest.partition,
                        manifest.content_version,
                        manifest.made["at"],
                        index == 0,
                        manifest.made["seconds"],
                        manifest.made["device"],
                        manifest.made["run_id"],
                        manifest.code_version,
                        json.dumps(manifest.inputs),
                        json.dumps(manifest.parameters),
                        json.dumps(manifest.summary),
                    ],
                )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
