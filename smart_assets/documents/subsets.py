"""A subset as documents tell of it: one row set, with its texts and the sources of its rows.

All of it is read through the manifests, so that a document of an older subset tells of the files of that time, and an
error says which of them are gone.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks, selected_subset
from smart_assets.assets.reading.kept import kept_of_rows
from smart_assets.assets.reading.rows import read_rows, rows_in_order
from smart_assets.assets.step import AssetPartition, Inputs, split_grid_key
from smart_assets.core.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.documents.sources import SourceRecord, read_source
from smart_assets.lineage.trained_rows import rows_given, subset_version
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.kept import columns_of
from smart_assets.tasks.tombstones import read_tombstones

SUBSET = selected_subset.NAME
COLUMNS = ["prompt", "response", "task", "template", "id", "source", "rank", "gain"]
_OWN = frozenset({*COLUMNS, "messages"})


@dataclass(frozen=True, slots=True)
class SubsetRecord:
    """One row set of a subset."""

    manifest: Manifest
    seed: int | None  # whose row set; None where all seeds have the same
    rows: pa.Table  # COLUMNS in mixture order, `messages` where there are chats, and kept columns
    sources: tuple[SourceRecord, ...]  # those that gave rows, sorted by name
    forgotten: int = 0  # rows of the subset that are forgotten since, and so are not in `rows`

    @property
    def budget(self) -> int:
        """Rows, of all tasks together."""
        return split_grid_key(self.manifest.partition)[0]

    @property
    def recipe(self) -> str:
        """The recipe's name in `smart.yaml`."""
        return split_grid_key(self.manifest.partition)[1]

    @property
    def kept(self) -> tuple[str, ...]:
        """The kept columns."""
        return kept_columns(self.rows)

    @property
    def name(self) -> str:
        """What the documents call the subset: letters, digits, `-` and `_`."""
        return f"{self.recipe}-{self.budget}" + ("" if self.seed is None else f"-seed-{self.seed}")

    @property
    def tasks(self) -> dict[str, int]:
        """Rows of each task, the largest first."""
        counts = Counter[str](self.rows["task"].to_pylist())
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def kept_columns(rows: pa.Table) -> tuple[str, ...]:
    """Return the names of the kept columns of `SubsetRecord.rows`."""
    return tuple(name for name in rows.column_names if name not in _OWN)


def current_subset(project: Project, partition: str, seed: int | None) -> SubsetRecord:
    """Return the newest version of a subset.

    Raises:
        UpstreamMissingError: it was never made.
        SmartError: there is no row set of that seed, or its files or those of its rows are not in the store.
    """
    manifest = project.store.current(SUBSET, partition)
    if manifest is None:
        key = AssetPartition(SUBSET, partition)
        raise UpstreamMissingError(f"{key} was never made: run `smart run --select '{key}'` first")
    return read_subset(project, manifest, seed)


def trained_subset(project: Project, checkpoint: Manifest, seed: int | None) -> SubsetRecord:
    """Return the version of a subset that a checkpoint was trained on.

    Raises:
        StoreError: no manifest names that version any more, or its files or those of its rows are not in the store.
        SmartError: there is no row set of that seed.
    """
    key = AssetPartition(SUBSET, checkpoint.partition)
    version = subset_version(checkpoint)
    if version is None:
        name = f"{checkpoint.asset}[{checkpoint.partition}] {checkpoint.content_version[:12]}"
        raise StoreError(f"the manifest of {name} names no version of {key}, on which it was trained: restore it")
    manifest = project.store.find(key.asset, key.partition, version)
    if manifest is None:
        raise StoreError(f"no manifest of {key} names {version}, on which the checkpoint was trained: restore it")
    return read_subset(project, manifest, seed)


def read_subset(project: Project, manifest: Manifest, seed: int | None) -> SubsetRecord:
    """Return a version of a subset, with its rows' texts and the sources these came from; forgotten rows are left out.

    Args:
        seed: whose row set, where rows are random; None for the first.

    Raises:
        SmartError: there is no row set of that seed, or its files or those of its rows are not in the store.
    """
    subset = pq.read_table(project.store.artifact(manifest) / "subset.parquet")
    own_seed = _seed_of(subset, seed)
    chosen = rows_given(subset, own_seed)
    to_forget = read_tombstones(project.store).forgotten
    kept = chosen.filter(pc.invert(to_forget.covers(chosen["id"], chosen["task"]))) if to_forget else chosen
    forgotten, chosen = chosen.num_rows - kept.num_rows, kept
    if not chosen.num_rows:
        raise SmartError(f"all {forgotten} rows of {manifest.asset}[{manifest.partition}] are forgotten")
    names = sorted(set(chosen["source"].to_pylist()))
    manifests = {AssetPartition(raw_tasks.NAME, name): _raw_tasks(project, manifest, name) for name in names}
    texts = read_rows(Inputs(project.store, manifests), names, chosen["id"])
    rows = rows_in_order(texts, chosen["id"].to_pylist())
    rows = rows.append_column("rank", chosen["rank"]).append_column("gain", chosen["gain"])
    chats = rows["messages"].null_count < rows.num_rows
    kept = columns_of(kept_of_rows(project.store, manifests.values(), rows["id"]).to_pylist())
    listed = rows.select([*COLUMNS, "messages"] if chats else COLUMNS)
    for name in kept.column_names:
        listed = listed.append_column(name, kept[name])
    return SubsetRecord(
        manifest=manifest,
        seed=own_seed,
        rows=listed,
        sources=tuple(
            read_source(project, source, rows.filter(pc.equal(rows["source"], str(key.partition))))
            for key, source in manifests.items()
        ),
        forgotten=forgotten,
    )


def _seed_of(subset: pa.Table, seed: int | None) -> int | None:
    seeds: list[int] = [value for value in pc.unique(subset["seed"]).to_pylist() if value is not None]
    if not seeds:
        return None
    wanted = seeds[0] if seed is None else seed
    if wanted not in seeds:
        raise SmartError(f"there is no row set of seed {wanted}; `finetune.seeds` gives {seeds}")
    return wanted


def _raw_tasks(project: Project, subset: Manifest, source: str) -> Manifest:
    """Return the rows of a source as the subset was selected from them."""
    key = AssetPartition(raw_tasks.NAME, source)
    version = subset.inputs[str(key)]
    manifest = project.store.find(key.asset, key.partition, version)
    if manifest is None:
        raise StoreError(
            f"no manifest of {key} names {version}, from which {subset.asset}[{subset.partition}] was made"
        )
    return manifest
