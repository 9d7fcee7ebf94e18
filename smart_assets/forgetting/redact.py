"""Taking forgotten rows out of an artifact of the past: what may be kept becomes a new one, and a record says so."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.parquet import ROW_GROUP
from smart_assets.core.files import written
from smart_assets.forgetting.affected import NO_PROMPT, AffectedArtifact
from smart_assets.store import Artifact, Store
from smart_assets.store.log import append, now
from smart_assets.store.redaction import Redaction, log_of
from smart_assets.tasks.forgotten import refusal_id


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
    """An artifact with the same files, the forgotten rows' content taken out."""
    source, gone = store.folder(artifact), pa.array(list(ids), pa.string())
    with store.draft() as draft:
        folder = draft / "content"
        shutil.copytree(source, folder)
        for name, rewrite in _REWRITES.items():
            for path in sorted(folder.glob(name)):
                rewrite(path, gone)
        return store.commit(artifact.asset, folder)


def _instances(path: Path, gone: pa.Array) -> None:
    """Leave ids, tasks, templates and sides: empty texts, and signatures of nothing."""
    nothing = {"prompt": "", "response": "", "messages": None, "prompt_hash": NO_PROMPT}
    rows = _rewrite(path, lambda table: pc.is_in(table["id"], value_set=gone), nothing)
    signatures = path.with_name("signatures.npy")
    values = np.load(signatures, allow_pickle=False)
    values[np.asarray(rows)] = 0
    signatures.unlink()
    np.save(signatures, values, allow_pickle=False)


def _rejected(path: Path, gone: pa.Array) -> None:
    def chosen(table: pa.Table) -> pa.ChunkedArray:
        ids = [excerpt and refusal_id(excerpt) for excerpt in table["excerpt"].to_pylist()]
        return pa.chunked_array([pc.is_in(pa.array(ids, pa.string()), value_set=gone)])

    _rewrite(path, chosen, {"excerpt": None})


def _predictions(path: Path, gone: pa.Array) -> None:
    _rewrite(path, lambda table: pc.is_in(table["id"], value_set=gone), {"prediction": None})


_REWRITES: Mapping[str, Callable[[Path, pa.Array], None]] = {
    "instances.parquet": _instances,
    "rejected.parquet": _rejected,
    "*/rows.parquet": _predictions,
}


def _rewrite(
    path: Path, chosen: Callable[[pa.Table], pa.ChunkedArray], values: Mapping[str, str | None]
) -> pa.ChunkedArray:
    """Give columns of the chosen rows other values, row group by row group; gives which rows were chosen."""
    chunks: list[pa.Array] = []
    with pq.ParquetFile(path) as file, written(path) as fresh:
        schema = file.schema_arrow
        with pq.ParquetWriter(fresh, schema, compression="zstd", store_schema=False) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                mask = chosen(table)
                for name, value in values.items():
                    at = schema.get_field_index(name)
                    column = pc.if_else(mask, pa.scalar(value, schema.field(name).type), table[name])
                    table = table.set_column(at, schema.field(name), column)
                writer.write_table(table, row_group_size=ROW_GROUP)
                chunks += mask.chunks
    return pa.chunked_array(chunks, pa.bool_())
