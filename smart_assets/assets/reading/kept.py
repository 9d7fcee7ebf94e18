"""Reading kept values back out of `raw_tasks`."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksParameters
from smart_assets.store import Manifest, Store
from smart_assets.tasks.kept import KEPT, KEPT_FILE
from smart_assets.tasks.sources import recorded_source


def kept_file(store: Store, manifest: Manifest) -> Path | None:
    """Return the file of what is kept of a source's rows; None where it keeps nothing.

    Raises:
        StoreError: It is not whole.
    """
    attachment = manifest.attachments.get(ORIGINS_FOLDER)
    if attachment is None or not any(file.path == KEPT_FILE for file in attachment.files):
        return None
    return store.folder(attachment) / KEPT_FILE


def kept_names(manifest: Manifest) -> tuple[str, ...]:
    """Return the names of what a source keeps of its rows, by the settings that it was read with."""
    return tuple(recorded_source(RawTasksParameters.read(manifest).source).columns.kept)


def read_kept(store: Store, manifest: Manifest) -> pa.Table | None:
    """Return KEPT, what is kept of a source's rows; None where it keeps nothing.

    Raises:
        StoreError: It is not whole.
    """
    path = kept_file(store, manifest)
    return None if path is None else pq.read_table(path).cast(KEPT)


def kept_of_rows(store: Store, manifests: Iterable[Manifest], ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return what is kept of accepted rows by their ids, null where nothing is.

    Raises:
        StoreError: A file of it is not whole.
    """
    every = [KEPT.empty_table(), *(kept for manifest in manifests if (kept := read_kept(store, manifest)) is not None)]
    rows = pa.concat_tables(every)
    own = rows.filter(pc.invert(rows["duplicate"]))
    return own["kept"].take(pc.index_in(ids, own["id"].combine_chunks()))
