"""A source of rows as documents name it: what it is, its licence, and the files or the commit the rows came from."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksParameters
from smart_assets.core.errors import StoreError
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import made_at
from smart_assets.tasks.source_kind import PublicDataset
from smart_assets.tasks.sources import recorded_source


@dataclass(frozen=True, slots=True)
class RowsOfFile:
    """A file of a source, and how many of the rows came from it."""

    path: str  # relative to the source; hostile
    sha256: str
    size: int  # bytes
    rows: int


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One source of a row set. Local folders are not named: their place tells of the machine, not of the rows."""

    name: str
    licence: str | None  # in the user's words; None where none was given
    version: str  # content version of its `raw_tasks`
    dataset: PublicDataset | None  # None where nobody else can fetch it
    where: str  # its rows lie, where no files are counted
    revision: str | None  # that was read, where it is known by one
    files: tuple[RowsOfFile, ...]  # that gave rows, sorted by path; none where rows are of no one file
    rows: int  # in the row set
    tasks: int  # in the row set
    read_at: str  # when the files were read last, ISO 8601

    @property
    def label(self) -> str:
        """How people name it: the public dataset, or the name in `smart.yaml`."""
        return self.dataset.name if self.dataset else self.name

    @property
    def url(self) -> str | None:
        """Where others find what was read; None where nobody else can fetch it."""
        return self.dataset and self.dataset.url


def read_source(project: Project, manifest: Manifest, rows: pa.Table) -> SourceRecord:
    """Return the source of some rows, from the manifest of its `raw_tasks`.

    The licence is the one that `smart.yaml` gives now: naming it later does not make the rows again.

    Raises:
        StoreError: the record of where the rows stood is not in the store.
    """
    name = str(manifest.partition)
    attachment = manifest.attachments.get(ORIGINS_FOLDER)
    if attachment is None:
        raise StoreError(f"the origins of raw_tasks[{name}] {manifest.content_version} were not recorded")
    folder = project.store.folder(attachment)
    recorded: dict[str, Any] = json.loads((folder / "files.json").read_text(encoding="utf-8"))
    settings = project.settings.sources.get(name)
    source = recorded_source(RawTasksParameters.read(manifest).source)
    origins = pq.read_table(folder / "origins.parquet")
    counts = Counter[str](origins.filter(pc.is_in(origins["id"], value_set=rows["id"]))["file"].to_pylist())
    return SourceRecord(
        name=name,
        licence=(settings and settings.license) or recorded["license"],
        version=manifest.content_version,
        dataset=source.public_dataset(recorded["revision"]),
        where=source.where,
        revision=recorded["revision"],
        files=tuple(
            RowsOfFile(file["path"], file["sha256"], file["bytes"], counts[file["path"]])
            for file in recorded["files"]
            if counts[file["path"]]
        ),
        rows=rows.num_rows,
        tasks=len(set(rows["task"].to_pylist())),
        read_at=made_at(manifest),
    )
