"""Taking forgotten rows out of an artifact of the past: what may be kept becomes a new one, and a record says so."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import catalog
from smart_assets.assets.declaration import Table
from smart_assets.assets.parquet import ROW_GROUP
from smart_assets.core.files import written
from smart_assets.forgetting.affected import AffectedArtifact
from smart_assets.store import Artifact, Store
from smart_assets.store.log import append, now
from smart_assets.store.redaction import Redaction, log_of


def redact(store: Store, affected: AffectedArtifact, because: Sequence[str]) -> None:
    """Write what is kept of an artifact and the record of it, then remove the artifact; a kill loses nothing.

    Args:
        store: where it lies.
        affected: the artifact, and the forgotten rows in it.
        because: the keys of the tombstones.

    Raises:
        StoreError: something cannot be read or written.
    """
    artifact = affected.artifact
    earlier = store.redaction(artifact.asset, artifact.version)
    replacement = _rewritten(store, artifact, affected.ids) if affected.kept == "the other rows" else None
    record = Redaction(
        at=now(),
        asset=artifact.asset,
        version=artifact.version,
        replaced_by=replacement,
        ids=tuple(sorted({*affected.ids, *(earlier.ids if earlier else ())})),
        because=tuple(sorted({*because, *(earlier.because if earlier else ())})),
    )
    append(store, log_of(artifact.asset, artifact.version), record.model_dump(mode="json"))
    remove(store, artifact)
    if earlier is not None and earlier.replaced_by is not None and earlier.replaced_by != replacement:
        remove(store, earlier.replaced_by)


def remove(store: Store, artifact: Artifact) -> None:
    """Remove an artifact wherever it lies."""
    folder = store.artifact_folder(artifact.asset, artifact.version)
    for place in (store.remote, store.local):
        if place is not None and place.files(folder):
            place.remove(folder)


def _rewritten(store: Store, artifact: Artifact, ids: Sequence[str]) -> Artifact:
    """Return an artifact with the same files, the forgotten rows' content taken out."""
    source, forgotten = store.folder(artifact), pa.array(list(ids), pa.string())
    with store.draft() as draft:
        folder = draft / "content"
        shutil.copytree(source, folder)
        asset, attachment = catalog.of_artifact(artifact.asset)
        for table in asset.with_texts(attachment):
            for path in sorted(folder.glob(table.path)):
                chosen = _without_texts(path, table, forgotten)
                for array in asset.arrays_of(table):
                    _without_rows(folder / array.path, chosen)
        return store.commit(artifact.asset, folder)


def _without_texts(path: Path, table: Table, forgotten: pa.Array) -> NDArray[np.bool_]:
    """Take the texts of rows out of a table, row group by row group, and leave their ids.

    Returns:
        (rows,) which rows these are.
    """
    chosen: list[NDArray[np.bool_]] = []
    with pq.ParquetFile(path) as file, written(path) as fresh:
        schema = file.schema_arrow
        with pq.ParquetWriter(fresh, schema, compression="zstd", store_schema=False) as writer:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group)
                mask = pc.is_in(table.ids(rows), value_set=forgotten)
                for name, blank in table.blanks.items():
                    if name in schema.names:
                        place = schema.get_field_index(name)
                        column = pc.if_else(mask, pa.scalar(blank, schema.field(name).type), rows[name])
                        rows = rows.set_column(place, schema.field(name), column)
                writer.write_table(rows, row_group_size=ROW_GROUP)
                chosen.append(np.asarray(mask))
    return np.concatenate([np.zeros(0, np.bool_), *chosen])


def _without_rows(path: Path, chosen: NDArray[np.bool_]) -> None:
    """Set the rows of an array to 0."""
    values = np.load(path, allow_pickle=False)
    values[chosen] = 0
    np.save(path, values, allow_pickle=False)
