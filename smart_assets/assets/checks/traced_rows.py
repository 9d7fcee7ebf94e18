"""Whether every row of a subset can be followed to what it was read from.

That is a file whose hash is known, or a dataset's revision and the row's index in it.

The rows and origins are those of the `raw_tasks` versions that the subset's manifest names, not the newest ones.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks, selected_subset
from smart_assets.assets.checks.artifact_checks import CheckResult, inputs_to_check
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksParameters
from smart_assets.assets.step import AssetPartition, parse_input
from smart_assets.core.errors import StoreError
from smart_assets.settings import Project
from smart_assets.store import Manifest, Store
from smart_assets.store.hashing import file_sha256
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.tasks.sources import recorded_source

MOST_NAMED = 100
_UNTRACED = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("why", pa.string())]
)


@dataclass(frozen=True, slots=True)
class _Origins:
    """Where the rows of one materialization of `raw_tasks` were read, as far as they were asked for."""

    ids: frozenset[str]  # of the rows that it accepted
    places: Mapping[str, tuple[str, int]]  # id -> file and line
    refuse: Callable[[str], str | None]  # why what a file's name stands for is not known; None where it is


def rows_are_traced(project: Project, partition: str | None) -> CheckResult:
    """Check that every row is in the rows that the subset was made from, and was read from something known.

    Known is a file with a hash, or a revision of a dataset; a file that changed while it was read has no hash.

    Raises:
        UpstreamMissingError: the subset was never made.
        StoreError: the subset's own file is missing.
    """
    inputs = inputs_to_check(project, AssetPartition(selected_subset.NAME, partition))
    subset = inputs.manifest(selected_subset.NAME, partition)
    rows = pq.read_table(project.store.artifact(subset) / "subset.parquet", columns=["source", "id"])
    distinct = rows.group_by(["source", "id"]).aggregate([]).sort_by([("source", "ascending"), ("id", "ascending")])
    untraced = list(_untraced(project.store, subset, distinct))
    figures: dict[str, Any] = {"rows": distinct.num_rows, "not traced": len(untraced)}
    if not untraced:
        return CheckResult(
            True, f"all {distinct.num_rows} rows trace to a hashed file or a dataset's revision", figures
        )
    named = pa.Table.from_pylist(untraced[:MOST_NAMED], _UNTRACED)
    return CheckResult(
        False,
        f"{len(untraced)} of {distinct.num_rows} rows do not trace to a file whose hash is known (the first: "
        f"{untraced[0]['why']}); materialize raw_tasks again, then selected_subset",
        figures,
        rows=named,
    )


def _untraced(store: Store, subset: Manifest, rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows that cannot be followed, with what is known of them and why not."""
    versions = {
        key.partition: version
        for (key, facet), version in ((parse_input(name), version) for name, version in subset.inputs.items())
        if key.asset == raw_tasks.NAME and facet is None
    }
    for source in pc.unique(rows["source"]).to_pylist():
        ids: list[str] = rows.filter(pc.equal(rows["source"], source))["id"].to_pylist()
        try:
            origins = _origins(store, source, versions.get(source), ids)
        except (StoreError, OSError, ValueError, pa.ArrowException) as error:
            yield from ({"id": id_, "source": source, "why": str(error)} for id_ in ids)
            continue
        for id_ in ids:
            file, line = origins.places.get(id_, (None, None))
            if id_ not in origins.ids:
                why = f"no row of version {str(versions.get(source))[:12]} of raw_tasks[{source}]"
            elif file is None:
                why = "no origin of it is recorded"
            else:
                why = origins.refuse(file)
            if why is not None:
                yield {"id": id_, "source": source, "file": file, "line": line, "why": why}


def _origins(store: Store, source: str, version: str | None, ids: Sequence[str]) -> _Origins:
    """Return what a materialization of a source says of some ids.

    Raises:
        StoreError: it, or what it recorded of origins, is not in the store or is not what was written.
    """
    manifest = None if version is None else store.find(raw_tasks.NAME, source, version)
    if manifest is None:
        raise StoreError(f"the version of raw_tasks[{source}] that the subset was made from has no manifest")
    attachment = manifest.attachments.get(ORIGINS_FOLDER)
    if attachment is None:
        raise StoreError(f"the origins of raw_tasks[{source}] were not recorded")
    attachment = store.what_is_kept(attachment)
    folder = store.folder(attachment)
    for file in attachment.files:
        if file_sha256(folder / file.path) != file.sha256:
            raise StoreError(f"{folder / file.path} is no longer what was recorded")
    asked = pa.array(ids, pa.string())
    accepted = pq.read_table(store.artifact(manifest) / INSTANCES_FILE, columns=["id"])["id"]
    places = pq.read_table(folder / "origins.parquet", filters=pc.is_in(pc.field("id"), asked)).to_pylist()
    return _Origins(
        frozenset(accepted.filter(pc.is_in(accepted, asked)).to_pylist()),
        {row["id"]: (row["file"], row["line"]) for row in places},
        _known(manifest, folder),
    )


def _known(manifest: Manifest, folder: Path) -> Callable[[str], str | None]:
    """Return what tells of a file's name in the origins whether its content is pinned."""
    provenance = json.loads((folder / "files.json").read_text(encoding="utf-8"))
    hashes: dict[str, str] = {file["path"]: file["sha256"] for file in provenance["files"]}
    source = recorded_source(RawTasksParameters.read(manifest).source)
    return lambda file: source.why_unknown(file, hashes, provenance["revision"], manifest.outside)
