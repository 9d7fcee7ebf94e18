"""What the documents are written from: a subset, the sources of its rows, a checkpoint's weights and its evaluation.

All of it is read through the manifests, so that a document of an older subset tells of the files of that time, and an
error says which of them are gone.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.lineage.promotion import CHECKPOINT, Promoted, evaluation_of
from smart_assets.lineage.standards.sources import SourceRecord, read_source
from smart_assets.pipeline.finetuned_checkpoint import rows_of_seed
from smart_assets.pipeline.rows import read_rows, rows_in_order
from smart_assets.pipeline.step import AssetPartition, Inputs, split_grid_key
from smart_assets.settings import Project
from smart_assets.store import ArtifactFile, Manifest

SUBSET = "selected_subset"
COLUMNS = ["prompt", "response", "task", "template", "id", "source", "rank", "gain"]


@dataclass(frozen=True, slots=True)
class SubsetRecord:
    """One row set of a subset."""

    manifest: Manifest
    seed: int | None  # whose row set; None where all seeds have the same
    rows: pa.Table  # COLUMNS in mixture order, and `messages` where there are chats
    sources: tuple[SourceRecord, ...]  # those that gave rows, sorted by name

    @property
    def budget(self) -> int:
        """Rows, of all tasks together."""
        return split_grid_key(self.manifest.partition)[0]

    @property
    def recipe(self) -> str:
        """The recipe's name in `smart.yaml`."""
        return split_grid_key(self.manifest.partition)[1]

    @property
    def name(self) -> str:
        """What the documents call the subset: letters, digits, `-` and `_`."""
        return f"{self.recipe}-{self.budget}" + ("" if self.seed is None else f"-seed-{self.seed}")

    @property
    def tasks(self) -> dict[str, int]:
        """Rows of each task, the largest first."""
        counts = Counter[str](self.rows["task"].to_pylist())
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The weights of one seed, and what was measured on them."""

    manifest: Manifest
    seed: int
    result: Mapping[str, Any]  # `result.json` of the fine-tune
    architecture: str | None  # as the model's config.json names it; None for an adapter
    evaluation: Manifest | None  # of this very version
    means: Mapping[
        str, Mapping[str, Mapping[str, float]]
    ]  # benchmark -> all, seen, unseen -> metric -> mean over tasks
    metrics: tuple[Mapping[str, Any], ...]  # rows of `metrics.parquet`

    @property
    def weights(self) -> tuple[ArtifactFile, ...]:
        """The files of the model or the adapter, with their hashes as they were when they were written."""
        folders = (f"seed-{self.seed}/model/", f"seed-{self.seed}/adapter/")
        return tuple(file for file in self.manifest.files if file.path.startswith(folders))


def current_subset(project: Project, partition: str, seed: int | None) -> SubsetRecord:
    """The newest version of a subset.

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
    """The version of a subset that a checkpoint was trained on.

    Raises:
        StoreError: no manifest names that version any more, or its files or those of its rows are not in the store.
        SmartError: there is no row set of that seed.
    """
    key = AssetPartition(SUBSET, checkpoint.partition)
    version = checkpoint.inputs[str(key)]
    manifest = project.store.find(key.asset, key.partition, version)
    if manifest is None:
        raise StoreError(f"no manifest of {key} names {version}, on which the checkpoint was trained: restore it")
    return read_subset(project, manifest, seed)


def read_subset(project: Project, manifest: Manifest, seed: int | None) -> SubsetRecord:
    """A version of a subset, with its rows' texts and the sources these came from.

    Args:
        seed: whose row set, where rows are random; None for the first.

    Raises:
        SmartError: there is no row set of that seed, or its files or those of its rows are not in the store.
    """
    subset = pq.read_table(project.store.artifact(manifest) / "subset.parquet")
    own_seed = _seed_of(subset, seed)
    chosen = subset if own_seed is None else rows_of_seed(subset, own_seed)
    names = sorted(set(chosen["source"].to_pylist()))
    manifests = {AssetPartition("raw_tasks", name): _raw_tasks(project, manifest, name) for name in names}
    texts = read_rows(Inputs(project.store, manifests), names, chosen["id"])
    rows = rows_in_order(texts, chosen["id"].to_pylist())
    rows = rows.append_column("rank", chosen["rank"]).append_column("gain", chosen["gain"])
    chats = rows["messages"].null_count < rows.num_rows
    return SubsetRecord(
        manifest=manifest,
        seed=own_seed,
        rows=rows.select([*COLUMNS, "messages"] if chats else COLUMNS),
        sources=tuple(
            read_source(project, found, rows.filter(pc.equal(rows["source"], str(key.partition))))
            for key, found in manifests.items()
        ),
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
    """The rows of a source as the subset was selected from them."""
    key = AssetPartition("raw_tasks", source)
    version = subset.inputs[str(key)]
    found = project.store.find(key.asset, key.partition, version)
    if found is None:
        raise StoreError(
            f"no manifest of {key} names {version}, from which {subset.asset}[{subset.partition}] was made"
        )
    return found


def read_checkpoints(project: Project, checkpoint: Manifest, seeds: tuple[int, ...]) -> list[CheckpointRecord]:
    """The weights of some seeds of a checkpoint.

    Raises:
        StoreError: its files are not in the store.
    """
    folder = project.store.artifact(checkpoint)
    return [_read_checkpoint(project, checkpoint, folder, seed) for seed in seeds]


def checkpoint_seeds(checkpoint: Manifest) -> tuple[int, ...]:
    """The seeds that a checkpoint was trained for."""
    return tuple(int(seed) for seed in checkpoint.summary["seeds"])


def _read_checkpoint(project: Project, manifest: Manifest, folder: Path, seed: int) -> CheckpointRecord:
    budget, recipe = split_grid_key(manifest.partition)
    model = Promoted(budget=budget, recipe=recipe, seed=seed, content_version=manifest.content_version)
    evaluation = evaluation_of(project, model)
    means: dict[str, Any] = {}
    metrics: list[dict[str, Any]] = []
    if evaluation is not None and f"seed-{seed}" in evaluation.summary:
        means = evaluation.summary[f"seed-{seed}"]["macro_means"]
        metrics = pq.read_table(project.store.artifact(evaluation) / f"seed-{seed}" / "metrics.parquet").to_pylist()
    return CheckpointRecord(
        manifest=manifest,
        seed=seed,
        result=manifest.summary["seeds"][str(seed)],
        architecture=_architecture(folder / f"seed-{seed}" / "model" / "config.json"),
        evaluation=evaluation,
        means=means,
        metrics=tuple(metrics),
    )


def _architecture(config: Path) -> str | None:
    import json

    if not config.exists():
        return None
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [None]
    return named[0]


def newest_checkpoint(project: Project, partition: str) -> Manifest | None:
    """The newest checkpoint of a budget and recipe, or None where none was trained."""
    return project.store.current(CHECKPOINT, partition)
