"""What was written outside the store with texts of rows: remembered, so that forgotten rows can be found there."""

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from smart_assets.assets import selected_subset
from smart_assets.core.errors import StoreError
from smart_assets.core.section import Section
from smart_assets.lineage.history import History
from smart_assets.settings import Project
from smart_assets.store import Store
from smart_assets.store.hashing import file_sha256
from smart_assets.store.log import append, now, records
from smart_assets.tasks.tombstones import Tombstones

LOG = "exports"
SUBSET = selected_subset.NAME

State = Literal["as written", "changed since", "on another machine"]


class Export(Section):
    """A file or folder with texts of rows."""

    at: datetime = Field(description="When, in UTC.")
    machine: str = Field(description="Whose disk it was written to.")
    path: str = Field(description="Where, from the root of its file system.")
    files: dict[str, str] = Field(description="Its files, '' for the path itself -> sha256.")
    subset: str | None = Field(default=None, description="The version whose rows they are; null for all rows.")


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that is still there, or may be, and holds forgotten rows."""

    export: Export
    state: State

    def remove(self) -> None:
        """Remove its files, and the folders that this leaves empty."""
        root = Path(self.export.path)
        for name in self.export.files:
            (root / name).unlink(missing_ok=True)
        folders = {(root / name).parent for name in self.export.files if name}
        for folder in sorted({root, *folders}, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):  # something else lies there
                folder.rmdir()


def remember_export(store: Store, out: Path, subset: str | None) -> None:
    """Remember what was just written.

    Raises:
        StoreError: that cannot be written down.
    """
    out = Path(os.path.abspath(out))
    paths = sorted(out.rglob("*")) if out.is_dir() else [out]
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    export = Export(
        at=now(),
        machine=platform.node(),
        path=str(out),
        files={"" if path == out else path.relative_to(out).as_posix(): file_sha256(path) for path in files},
        subset=subset,
    )
    append(store, LOG, export.model_dump(mode="json"))


def exports_with(project: Project, history: History, tombstones: Tombstones) -> Iterator[Exported]:
    """Yield the exports that hold forgotten rows and are not gone.

    Raises:
        StoreError: a record cannot be read.
    """
    made = {item.manifest.content_version: item.manifest for item in history.of(SUBSET)}
    for export in _newest(project.store):
        state = _state(export)
        # A subset is written without what is forgotten by then; all rows are, until they are out of the store.
        removed = tombstones.removed_before(export.at)
        later = [
            tombstone
            for tombstone in tombstones.active
            if tombstone.at >= export.at or (export.subset is None and tombstone.key not in removed)
        ]
        if state is None or not later:
            continue
        manifest = made.get(export.subset or "")
        if manifest is None or not project.store.has(manifest.artifact):
            yield Exported(export, state)
            continue
        rows = pq.read_table(project.store.file(manifest, "subset.parquet"), columns=["id", "task"])
        forgotten = Tombstones(tuple(later)).forgotten
        if any(forgotten.covers(rows["id"], rows["task"]).to_pylist()):
            yield Exported(export, state)


def _newest(store: Store) -> list[Export]:
    """Return the exports, of several to one place the last one: it took the place of those before."""
    newest: dict[tuple[str, str], Export] = {}
    for record in records(store, LOG):
        try:
            export = Export.model_validate(record)
        except ValidationError as error:
            raise StoreError(f"a record of {store.root / LOG} is none of ours: restore it: {error}") from error
        newest[export.machine, export.path] = export
    return list(newest.values())


def _state(export: Export) -> State | None:
    """Return what became of an export; None where it is gone."""
    if export.machine != platform.node():
        return "on another machine"
    root = Path(export.path)
    files = {name: root / name for name in export.files if (root / name).is_file()}
    if not files:
        return None
    same = len(files) == len(export.files) and all(
        file_sha256(path) == export.files[name] for name, path in files.items()
    )
    return "as written" if same else "changed since"
