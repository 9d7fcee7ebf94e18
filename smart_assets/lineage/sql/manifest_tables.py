"""The tables made from all manifests: what was ever made, from what, by which run, and which rows past subsets held."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from smart_assets.assets import selected_subset
from smart_assets.assets.step import parse_input, seed_folder, split_grid_key
from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import History, Materialization
from smart_assets.lineage.sql.file_views import nothing, views
from smart_assets.lineage.sql.quoting import file_name
from smart_assets.lineage.trained_rows import Training, dropped_table, joined, trainings
from smart_assets.settings import Project
from smart_assets.store import Store
from smart_assets.store.records import Circumstances
from smart_assets.tasks.tombstones import read_tombstones

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MATERIALIZATIONS = {
    "asset": "VARCHAR",
    "partition": "VARCHAR",
    "content_version": "VARCHAR",
    "made_at": "TIMESTAMP",  # UTC
    "current": "BOOLEAN",
    "seconds": "DOUBLE",
    "device": "VARCHAR",
    "run_id": "VARCHAR",
    "code_version": "VARCHAR",
    "inputs": "JSON",
    "parameters": "JSON",
    "summary": "JSON",
}
_LINEAGE: dict[str, str] = dict.fromkeys(
    (
        "asset",
        "partition",
        "content_version",
        "input_asset",
        "input_partition",
        "facet",
        "input_version",
        "input_content_version",
    ),
    "VARCHAR",
)
_CHECKPOINTS = {
    "budget": "BIGINT",
    "recipe": "VARCHAR",
    "seed": "BIGINT",
    "content_version": "VARCHAR",
    "base_model": "VARCHAR",
    "rows": "BIGINT",
    "dropped_rows": "BIGINT",
    "steps": "BIGINT",
    "final_loss": "DOUBLE",
    "mean_last_losses": "DOUBLE",
    "made_at": "TIMESTAMP",
    "run_id": "VARCHAR",
    "current": "BOOLEAN",
    "subset_version": "VARCHAR",
    "path": "VARCHAR",
}
_DROPPED = {"content_version": "VARCHAR", "seed": "BIGINT", "id": "VARCHAR", "reason": "VARCHAR"}
_SUBSET_VERSIONS = {
    "path": "VARCHAR",
    "budget": "BIGINT",
    "recipe": "VARCHAR",
    "content_version": "VARCHAR",
    "made_at": "TIMESTAMP",
    "run_id": "VARCHAR",
}
_FORGOTTEN = {
    "tombstone": "VARCHAR",
    "id": "VARCHAR",  # null in the row that stands for a task as a whole
    "task": "VARCHAR",  # where a whole task is forgotten
    "forgotten_at": "TIMESTAMP",
    "who": "VARCHAR",
    "reason": "VARCHAR",
    "undone": "BOOLEAN",
    "removed": "BOOLEAN",  # its content is nowhere in the store any more
}
# Sums over what each run made; the times are those of its first and last manifest.
_RUNS = """
CREATE VIEW runs AS SELECT run_id, min(made_at) AS first_at, max(made_at) AS last_at, count(*) AS materializations,
    list_sort(list(DISTINCT asset || coalesce('[' || partition || ']', ''))) AS assets, sum(seconds) AS seconds,
    string_agg(DISTINCT device, ', ' ORDER BY device) AS device
FROM materializations WHERE run_id IS NOT NULL GROUP BY run_id
"""
_PAST = """
CREATE VIEW past_subsets AS SELECT p.budget, p.recipe, f.* EXCLUDE (filename), p.content_version, p.made_at, p.run_id
FROM read_parquet([{files}], filename = true) f JOIN past_subset_versions p ON p.path = f.filename
"""
_COLUMNS = "budget, recipe, seed, content_version, id, source, task, template, rank, gain"
_ROWS = f"(SELECT {_COLUMNS} FROM subsets UNION ALL SELECT {_COLUMNS} FROM past_subsets)"  # noqa: S608  (of ours)
_TRAINED = f"""
CREATE VIEW trained_rows AS
SELECT m.budget, m.recipe, m.seed, m.content_version, m.made_at, m.run_id, m.current,
    r.id, r.source, r.task, r.template, r.rank, r.gain
FROM {joined("checkpoints", _ROWS, "dropped_rows")}
WHERE r.budget = m.budget AND r.recipe = m.recipe AND d.id IS NULL
"""  # noqa: S608  (of ours)


def create_history(connection: "DuckDBPyConnection", project: Project, history: History) -> None:
    """Create what is made from manifests, and `past_subsets` and `trained_rows` beside it."""
    _create(connection, "materializations", _MATERIALIZATIONS, list(map(_materialization, history.made)))
    connection.execute(_RUNS)
    _create(connection, "lineage", _LINEAGE, _edges(history))
    store = project.store.snapshot()
    models = list(trainings(history))
    _create(connection, "checkpoints", _CHECKPOINTS, [_checkpoint(store, training) for training in models])
    _create(connection, "dropped_rows", _DROPPED, dropped_table(models).to_pylist())
    _create_past_subsets(connection, list(_past_subsets(store, history)))
    connection.execute(_TRAINED)
    _create(connection, "forgotten", _FORGOTTEN, list(_forgotten(store)))


def _create(
    connection: "DuckDBPyConnection", name: str, columns: dict[str, str], rows: Sequence[dict[str, Any]]
) -> None:
    """Create a table; DuckDB takes many rows at once from Arrow, one by one they would take a millisecond each."""
    kinds = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_()}
    schema = pa.schema([(column, kinds.get(kind, pa.string())) for column, kind in columns.items()])
    casts = ", ".join(f'"{column}"::{kind} AS "{column}"' for column, kind in columns.items())
    connection.register("arriving", pa.Table.from_pylist(list(rows), schema))
    connection.execute(f"CREATE TABLE {name} AS SELECT {casts} FROM arriving")  # noqa: S608  (names of ours)
    connection.unregister("arriving")


def _materialization(item: Materialization) -> dict[str, Any]:
    manifest, made = item.manifest, Circumstances.read(item.manifest)
    return {
        "asset": manifest.asset,
        "partition": manifest.partition,
        "content_version": manifest.content_version,
        "made_at": _utc(item),
        "current": item.current,
        "seconds": made.seconds,
        "device": made.device,
        "run_id": item.run_id,
        "code_version": manifest.code_version,
        "inputs": json.dumps(manifest.inputs),
        "parameters": json.dumps(manifest.parameters),
        "summary": json.dumps(manifest.summary),
    }


def _utc(item: Materialization) -> str | None:
    """Return the time without its zone, which is UTC: DuckDB's TIMESTAMP has none."""
    return item.made_at and item.made_at.removesuffix("+00:00").removesuffix("Z")


def _edges(history: History) -> list[dict[str, Any]]:
    """Return each edge once, also where a partition came to the same content from the same input several times."""
    edges: dict[tuple[str | None, ...], None] = {}
    for item in history.made:
        made = item.manifest
        for name, version in made.inputs.items():
            source, facet = parse_input(name)
            input_made = history.named(name, version)
            edges[
                made.asset,
                made.partition,
                made.content_version,
                source.asset,
                source.partition,
                facet,
                version,
                input_made and input_made.content_version,
            ] = None
    return [dict(zip(_LINEAGE, edge, strict=True)) for edge in edges]


def _checkpoint(store: Store, model: Training) -> dict[str, Any]:
    item, manifest, record = model.item, model.item.manifest, model.record
    budget, recipe = split_grid_key(manifest.partition)
    folder = store.artifact_folder(manifest.asset, manifest.content_version)
    whole = store.has(manifest.artifact)
    return {
        "budget": budget,
        "recipe": recipe,
        "seed": model.seed,
        "content_version": manifest.content_version,
        "base_model": record.base_model.reference,
        "rows": record.rows,
        "dropped_rows": len(record.dropped),
        "steps": record.steps,
        "final_loss": record.final_loss,
        "mean_last_losses": record.mean_last_losses,
        "made_at": _utc(item),
        "run_id": item.run_id,
        "current": item.current,
        "subset_version": model.subset,
        "path": str(folder / seed_folder(model.seed)) if whole else None,
    }


def _forgotten(store: Store) -> Iterator[dict[str, Any]]:
    """Return a row for each forgotten row, and one for each forgotten task."""
    tombstones = read_tombstones(store)
    active = {tombstone.key for tombstone in tombstones.active}
    for tombstone in tombstones.records:
        if tombstone.action == "forget":
            shared = {
                "tombstone": tombstone.key,
                "task": tombstone.task,
                "forgotten_at": tombstone.at.replace(tzinfo=None).isoformat(),
                "who": tombstone.who,
                "reason": tombstone.reason,
                "undone": tombstone.key not in active,
                "removed": tombstone.key in tombstones.final,
            }
            yield from ({"id": id_, **shared} for id_ in (*tombstone.ids, *([None] if tombstone.task else [])))


def _past_subsets(store: Store, history: History) -> Iterator[dict[str, Any]]:
    """Return each version of a subset that is not its partition's state, as far as its rows are still there."""
    now = {(item.key, item.manifest.content_version) for item in history.of(selected_subset.NAME) if item.current}
    seen = set(now)
    for item in history.of(selected_subset.NAME):
        key = (item.key, item.manifest.content_version)
        if key in seen or not store.has(item.manifest.artifact):
            continue
        seen.add(key)
        budget, recipe = split_grid_key(item.manifest.partition)
        try:
            path = store.file(item.manifest, "subset.parquet")
        except StoreError:
            continue
        yield {
            "path": str(path),
            "budget": budget,
            "recipe": recipe,
            "content_version": item.manifest.content_version,
            "made_at": _utc(item),
            "run_id": item.run_id,
        }


def _create_past_subsets(connection: "DuckDBPyConnection", versions: list[dict[str, Any]]) -> None:
    _create(connection, "past_subset_versions", _SUBSET_VERSIONS, versions)
    if versions:
        files = ", ".join(file_name(Path(path)) for path in sorted({version["path"] for version in versions}))
        connection.execute(_PAST.format(files=files))
    else:
        columns = nothing(views()["subsets"].columns)
        more = "NULL::TIMESTAMP AS made_at, NULL::VARCHAR AS run_id"
        connection.execute(f"CREATE VIEW past_subsets AS SELECT {columns}, {more} WHERE false")
