"""Which artifacts still hold something of forgotten rows, and what can be kept of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import catalog, raw_tasks
from smart_assets.assets.declaration import FromTexts, Table
from smart_assets.assets.step import parse_input
from smart_assets.core.errors import StoreError
from smart_assets.core.metrics import HELD_OUT
from smart_assets.lineage.history import History
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.inventory import Name, name_of
from smart_assets.tasks.forgotten import Forgotten
from smart_assets.tasks.read_result import INSTANCES_FILE

Kept = Literal["the other rows", "nothing"]


@dataclass(frozen=True, slots=True)
class AffectedArtifact:
    """An artifact that holds something of forgotten rows."""

    artifact: Artifact  # as manifests name it
    ids: tuple[str, ...]
    kept: Kept
    current: bool  # it is the state of a partition that `smart.yaml` names


class ForgottenScan:
    """Looks through what is still there of all artifacts."""

    def __init__(self, store: Store, history: History, forgotten: Forgotten) -> None:
        self._store, self._history, self._forgotten = store, history, forgotten
        self._seen: dict[tuple[Name, str], tuple[str, ...]] = {}

    def find(self) -> list[AffectedArtifact]:
        """Return all artifacts that hold something, each once."""
        affected: dict[Name, AffectedArtifact] = {}
        for item in self._history.made:
            for artifact, look, kept in self._looks(item.manifest):
                name = name_of(artifact)
                if name not in affected and self._store.has(artifact):
                    ids = self._look(artifact, look)
                    if ids:
                        affected[name] = AffectedArtifact(artifact, ids, kept, name in self._current)
        return list(affected.values())

    @cached_property
    def _current(self) -> frozenset[Name]:
        return frozenset(
            name_of(artifact) for item in self._history.made if item.current for artifact in item.manifest.artifacts
        )

    def _looks(self, manifest: Manifest) -> Iterator[tuple[Artifact, Callable[[Path], tuple[str, ...]], Kept]]:
        """Yield what of a materialization may hold rows, how that shows, and what can be kept of it."""
        asset = catalog.find(manifest.asset)
        if asset is None:
            raise StoreError(
                f"the store has manifests of the asset `{manifest.asset}`, which this version does not know: whether "
                "it holds forgotten rows cannot be told, and nothing is removed; use the version that made it"
            )
        if (source := asset.from_texts) is not None:
            yield manifest.artifact, lambda _: self._from_texts(manifest, source), "nothing"
        elif tables := asset.with_texts(None):
            yield manifest.artifact, partial(self._with_texts, tables), "the other rows"
        for name, attachment in manifest.attachments.items():
            if tables := asset.with_texts(name):
                yield attachment, partial(self._with_texts, tables), "the other rows"

    def _look(self, artifact: Artifact, look: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return look(self._store.folder(artifact))
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{artifact.asset} {artifact.version[:12]} cannot be read ({error}), so that it cannot be told whether "
                "it holds forgotten rows: `smart verify --repair` moves it away"
            ) from error

    def _with_texts(self, tables: Sequence[Table], folder: Path) -> tuple[str, ...]:
        """Return the forgotten rows whose texts stand in tables of a folder."""
        ids: set[str] = set()
        for table in tables:
            for path in sorted(folder.glob(table.path)):
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        ids.update(self._in_row_group(table, file, group))
        return tuple(sorted(ids))

    def _in_row_group(self, table: Table, file: pq.ParquetFile, group: int) -> Iterator[str]:
        names = file.schema_arrow.names
        rows = file.read_row_group(
            group, columns=[name for name in (*table.ids_from, "task", "benchmark") if name in names]
        )
        row_ids = table.ids(rows)
        covered = self._forgotten.covers(row_ids, _tasks(rows))
        if not pc.any(covered).as_py():
            return
        texts = file.read_row_group(group, columns=[name for name in table.blanks if name in names])
        held = pa.array(np.zeros(texts.num_rows, np.bool_))
        for name in texts.column_names:
            blank, column = table.blanks[name], texts[name].combine_chunks()
            differs = pc.is_valid(column) if blank is None else pc.fill_null(pc.not_equal(column, blank), True)
            held = pc.or_(held, differs)
        yield from row_ids.filter(pc.and_(covered, held)).to_pylist()

    def _from_texts(self, manifest: Manifest, source: FromTexts) -> tuple[str, ...]:
        """Return the forgotten rows of those that something was computed from.

        As the tombstones' own ids where these are gone: a report quotes prompts, an index holds vectors, and scores
        the means of tasks, some of one row. None of them says of which rows.
        """
        if source.rows == "listed":
            path = self._store.folder(manifest.artifact) / source.listed_in
            return self._ids(pq.read_table(path, columns=["id", "task"]))
        ids: set[str] = set()
        for rows in self._raw(manifest):
            if rows is None:
                ids |= self._forgotten.ids
                continue
            ids.update(self._once(rows.artifact, self._training if source.rows == "training" else self._rows))
            origins = rows.attachments.get(raw_tasks.ORIGINS_FOLDER)
            if source.refused_rows and origins is not None:
                redaction = self._store.what_became_of(origins)
                ids.update(self._once(origins, self._refused), redaction.ids if redaction else ())
        return tuple(sorted(ids))

    def _refused(self, folder: Path) -> tuple[str, ...]:
        return self._with_texts(catalog.asset(raw_tasks.NAME).with_texts(raw_tasks.ORIGINS_FOLDER), folder)

    def _once(self, artifact: Artifact, look: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
        key = (name_of(artifact), look.__name__)
        if key not in self._seen:
            is_there = self._store.has(artifact)
            self._seen[key] = self._look(artifact, look) if is_there else tuple(sorted(self._forgotten.ids))
        return self._seen[key]

    def _rows(self, folder: Path) -> tuple[str, ...]:
        return self._ids(pq.read_table(folder / INSTANCES_FILE, columns=["id", "task"]))

    def _training(self, folder: Path) -> tuple[str, ...]:
        rows = pq.read_table(folder / INSTANCES_FILE, columns=["id", "task", "split"])
        return self._ids(rows.filter(pc.equal(rows["split"], "train")))

    def _raw(self, manifest: Manifest) -> Iterator[Manifest | None]:
        """Yield the rows at the beginning of what something was made from, None for those that no manifest explains.

        Which of several manifests of the same content counts does not matter, so the newest does: its files are there.
        """
        for name, version in manifest.inputs.items():
            asset = parse_input(name)[0].asset
            made = self._history.named(name, version)
            if asset == raw_tasks.NAME or (made is None and _of_each_row(asset)):
                yield made
            elif made is not None and _of_each_row(asset):
                yield from self._raw(made)

    def _ids(self, rows: pa.Table) -> tuple[str, ...]:
        forgotten = self._forgotten.covers(rows["id"], rows["task"])
        return tuple(sorted(set(rows.filter(forgotten)["id"].to_pylist())))


def _of_each_row(name: str) -> bool:
    """Return whether an asset has something for each row of a source that is computed from its texts."""
    asset = catalog.find(name)
    return asset is not None and asset.from_texts is not None and asset.partitioned_by == "source"


def _tasks(rows: pa.Table) -> pa.Array:
    """Return the task of each row, null where it is of a collection: its tasks are others, whatever their names."""
    nothing = pa.nulls(rows.num_rows, pa.string())
    if "task" not in rows.column_names:
        return nothing
    tasks = rows["task"].combine_chunks()
    return (
        pc.if_else(pc.equal(rows["benchmark"], HELD_OUT), tasks, nothing) if "benchmark" in rows.column_names else tasks
    )
