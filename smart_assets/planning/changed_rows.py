"""What changed, in rows: the words behind a stale partition, and the rows that a source will have."""

from collections.abc import Callable
from functools import cache, cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import finetuned_checkpoint, prompt_embeddings, raw_tasks, selected_subset
from smart_assets.assets.raw_tasks import preview
from smart_assets.assets.step import AssetPartition, DesiredState, Input
from smart_assets.core.errors import SmartError
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.changes import COLUMNS, RowChanges, changes_between, in_words
from smart_assets.tasks.forgotten import Forgotten
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.tasks.tombstones import read_tombstones

# Where the rows of an artifact are listed.
_ROWS = {raw_tasks.NAME: INSTANCES_FILE, prompt_embeddings.NAME: prompt_embeddings.ROWS_FILE}


class ChangedRows:
    """Reads the store, and the files that changed, each at most once."""

    def __init__(self, project: Project, current: Callable[[AssetPartition], Manifest | None]) -> None:
        self._project = project
        self._current = current
        self._store = project.store.snapshot()
        self._failures: dict[str | None, str] = {}  # why a source cannot be read, where its preview showed it
        # Each is asked for by several partitions of a plan.
        self.preview = cache(self._preview)
        self.rows_of = cache(self._rows_of)
        self.between = cache(self._between)

    def outside(self, desired: DesiredState) -> tuple[str, ...]:
        """Return what the changed files change in the rows; nothing where only reading the whole source would tell."""
        source = desired.key.partition
        changes = self.preview(source) if desired.key.asset == raw_tasks.NAME else None
        if desired.key.asset == raw_tasks.NAME and source in self._failures:
            return (f"source `{source}`: reading it will fail: {self._failures[source]}",)
        return () if changes is None else self._words(source, changes, "the rows are the same")

    def rows_kept(self, desired: DesiredState) -> bool:
        """Return whether the files outside changed and still give the same rows."""
        changes = self.preview(desired.key.partition) if desired.key.asset == raw_tasks.NAME else None
        return changes is not None and not changes.added.num_rows and not changes.removed.num_rows

    def input(self, item: Input, before: str, now: Manifest) -> tuple[str, ...]:
        """Return which rows of an input came and went; nothing where its earlier artifact is not there any more."""
        asset, partition = item.source.asset, item.source.partition
        if asset in _ROWS and item.facet is None:
            changes = self.between(asset, partition, before, now.content_version)
            same = "vectors" if asset == prompt_embeddings.NAME else "sides"
            return () if changes is None else self._words(partition, changes, f"other {same} of the same rows")
        if (asset, item.facet) == (raw_tasks.NAME, "validation"):
            return (f"source `{partition}`: the held-out rows changed",)
        if asset == selected_subset.NAME:
            replaced = self.replaced(item.source, before, now)
            return () if replaced is None else (f"{replaced[0]:,} of {replaced[1]:,} rows of its subset changed",)
        return ()

    def forgotten(self, manifest: Manifest) -> tuple[str, ...]:
        """Return whether a subset, or the rows that a checkpoint was trained on, are to be forgotten in part."""
        key = AssetPartition(selected_subset.NAME, manifest.partition)
        version = manifest.content_version if manifest.asset == key.asset else manifest.inputs.get(str(key))
        if manifest.asset not in (key.asset, finetuned_checkpoint.NAME) or version is None:
            return ()
        forgotten_rows = self._tombstones
        if not forgotten_rows:
            return ()
        rows = self._read(key.asset, key.partition, version, "subset.parquet", ["id", "task"])
        if rows is None:
            return ()
        count = pc.count_distinct(rows.filter(forgotten_rows.covers(rows["id"], rows["task"]))["id"]).as_py()
        verb = "holds" if manifest.asset == key.asset else "was trained on"
        return (f"{verb} {count:,} forgotten row{'s' * (count != 1)}",) if count else ()

    def replaced(self, subset: AssetPartition, before: str, now: Manifest) -> tuple[int, int] | None:
        """Return how many rows of a subset are others than in its version `before`, and how many it has.

        Row sets of all seeds count together. None where the earlier artifact is not there any more.
        """
        old, new = (self._subset_rows(subset, version) for version in (before, now.content_version))
        if old is None or new is None:
            return None
        return max(len(new - old), len(old - new)), max(len(new), len(old))

    @cached_property
    def _tombstones(self) -> Forgotten:
        return read_tombstones(self._store).forgotten

    def _subset_rows(self, subset: AssetPartition, version: str) -> set[tuple[str, int | None]] | None:
        rows = self._read(subset.asset, subset.partition, version, "subset.parquet", ["id", "seed"])
        return rows and {(row["id"], row["seed"]) for row in rows.to_pylist()}

    def rows_now(self, source: str | None, read: bool) -> pa.Table | None:
        """Return the rows (id, task, template, prompt_hash) that a source will have.

        None where that cannot be told yet.

        Args:
            source: its name.
            read: whether it was read already as it is now.
        """
        manifest = self._current(AssetPartition(raw_tasks.NAME, source))
        rows = manifest and self.rows_of(raw_tasks.NAME, source, manifest.content_version)
        if read:
            return rows
        changes = self.preview(source)
        if rows is None or changes is None:
            return None
        kept = rows.filter(pc.invert(pc.is_in(rows["id"], changes.removed["id"].combine_chunks())))
        return pa.concat_tables([kept.cast(changes.added.schema), changes.added])

    def _preview(self, source: str | None) -> RowChanges | None:
        manifest = self._current(AssetPartition(raw_tasks.NAME, source))
        try:
            return manifest and preview(self._project, source, manifest)
        except SmartError as error:
            self._failures[source] = str(error)
            return None

    def _rows_of(self, asset: str, partition: str | None, version: str) -> pa.Table | None:
        return self._read(asset, partition, version, _ROWS[asset], COLUMNS)

    def _between(self, asset: str, partition: str | None, before: str, after: str) -> RowChanges | None:
        old, new = (self.rows_of(asset, partition, version) for version in (before, after))
        return None if old is None or new is None else changes_between(old, new)

    def _read(
        self, asset: str, partition: str | None, version: str, file: str, columns: list[str] | None = None
    ) -> pa.Table | None:
        store = self._store
        try:
            manifest = store.find(asset, partition, version)
            return manifest and pq.read_table(store.file(manifest, file), columns=columns)
        except (SmartError, OSError, pa.ArrowException):
            return None

    def _words(self, source: str | None, changes: RowChanges, same: str) -> tuple[str, ...]:
        return tuple(f"source `{source}`: {line}" for line in in_words(changes) or (same,))
