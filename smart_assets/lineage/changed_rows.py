"""What changed, in rows: the words behind a stale partition, and the rows that a source will have."""

from collections.abc import Callable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.errors import SmartError
from smart_assets.pipeline.raw_tasks import preview
from smart_assets.pipeline.step import AssetPartition, Input, Wanted
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.changes import COLUMNS, RowChanges, changes_between, in_words

# Where the rows of an artifact are listed.
_ROWS = {"raw_tasks": "instances.parquet", "prompt_embeddings": "rows.parquet"}


class ChangedRows:
    """Reads the store, and the files that changed, each at most once."""

    def __init__(self, project: Project, current: Callable[[AssetPartition], Manifest | None]) -> None:
        self._project = project
        self._current = current
        # Each is asked for by several partitions of a plan.
        self.preview = cache(self._preview)
        self.rows_of = cache(self._rows_of)
        self.between = cache(self._between)

    def outside(self, wanted: Wanted) -> tuple[str, ...]:
        """What the changed files change in the rows; nothing where only reading the whole source would tell."""
        changes = self.preview(wanted.key.partition) if wanted.key.asset == "raw_tasks" else None
        return () if changes is None else self._words(wanted.key.partition, changes)

    def rows_kept(self, wanted: Wanted) -> bool:
        """Whether the files outside changed and still give the same rows."""
        changes = self.preview(wanted.key.partition) if wanted.key.asset == "raw_tasks" else None
        return changes is not None and not changes.added.num_rows and not changes.removed.num_rows

    def input(self, item: Input, before: str, now: Manifest) -> tuple[str, ...]:
        """Which rows of an input came and went; nothing where its earlier artifact is not there any more."""
        asset, partition = item.source.asset, item.source.partition
        if asset in _ROWS and item.facet is None:
            changes = self.between(asset, partition, before, now.content_version)
            return () if changes is None else self._words(partition, changes)
        if asset == "selected_subset":
            replaced = self.replaced(item.source, before, now)
            return () if replaced is None else (f"{replaced[0]:,} of {replaced[1]:,} rows of its subset changed",)
        return ()

    def replaced(self, subset: AssetPartition, before: str, now: Manifest) -> tuple[int, int] | None:
        """How many rows of a subset are others than in its version `before`, and how many it has, row sets of all
        seeds together. None where the earlier artifact is not there any more."""
        rows = [self._read(subset.asset, subset.partition, v, "subset.parquet") for v in (before, now.content_version)]
        if rows[0] is None or rows[1] is None:
            return None
        old, new = ({(row["id"], row["seed"]) for row in t.select(["id", "seed"]).to_pylist()} for t in rows if t)
        return max(len(new - old), len(old - new)), max(len(new), len(old))

    def rows_now(self, source: str | None) -> pa.Table | None:
        """The rows (id, task, template, prompt_hash) that a source will have; None where that cannot be told yet."""
        manifest = self._current(AssetPartition("raw_tasks", source))
        rows = manifest and self.rows_of("raw_tasks", source, manifest.content_version)
        changes = self.preview(source)
        if rows is None or changes is None:
            return None
        kept = rows.filter(pc.invert(pc.is_in(rows["id"], changes.removed["id"].combine_chunks())))
        return pa.concat_tables([kept.cast(changes.added.schema), changes.added])

    def _preview(self, source: str | None) -> RowChanges | None:
        manifest = self._current(AssetPartition("raw_tasks", source))
        try:
            return manifest and preview(self._project, source, manifest)
        except SmartError:
            return None  # the plan itself says what is wrong with the source

    def _rows_of(self, asset: str, partition: str | None, version: str) -> pa.Table | None:
        return self._read(asset, partition, version, _ROWS[asset], COLUMNS)

    def _between(self, asset: str, partition: str | None, before: str, after: str) -> RowChanges | None:
        old, new = (self.rows_of(asset, partition, version) for version in (before, after))
        return None if old is None or new is None else changes_between(old, new)

    def _read(
        self, asset: str, partition: str | None, version: str, file: str, columns: list[str] | None = None
    ) -> pa.Table | None:
        store = self._project.store
        try:
            manifest = store.find(asset, partition, version)
            return manifest and pq.read_table(store.artifact(manifest) / file, columns=columns)
        except (SmartError, OSError, pa.ArrowException):
            return None

    def _words(self, source: str | None, changes: RowChanges) -> tuple[str, ...]:
        words = in_words(changes) or ("the rows are the same",)
        return tuple(f"source `{source}`: {line}" for line in words)
