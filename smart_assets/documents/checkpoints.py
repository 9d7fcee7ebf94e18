"""A checkpoint as documents tell of it: the weights of one seed, and what was measured on them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from smart_assets.assets.model_records import CheckpointSummary, TrainingRecord, evaluation_records
from smart_assets.assets.step import seed_folder, split_grid_key
from smart_assets.promotion.log import Promoted, evaluation_of
from smart_assets.settings import Project
from smart_assets.store import ArtifactFile, Manifest


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The weights of one seed, and what was measured on them."""

    manifest: Manifest
    seed: int
    result: TrainingRecord
    architecture: str | None  # as the model's config.json names it; None for an adapter
    evaluation: Manifest | None  # of this very version
    means: Mapping[
        str, Mapping[str, Mapping[str, float]]
    ]  # benchmark -> all, seen, unseen -> metric -> mean over tasks
    metrics: tuple[Mapping[str, Any], ...]  # rows of `metrics.parquet`

    @property
    def name(self) -> str:
        """What the documents call the model: letters, digits, `-` and `_`."""
        budget, recipe = split_grid_key(self.manifest.partition)
        return f"{recipe}-{budget}-seed-{self.seed}"

    @property
    def weights(self) -> tuple[ArtifactFile, ...]:
        """The files of the model or the adapter, with their hashes as they were when they were written."""
        folders = tuple(f"{seed_folder(self.seed)}/{name}/" for name in ("model", "adapter"))
        return tuple(file for file in self.manifest.files if file.path.startswith(folders))


def read_checkpoints(project: Project, checkpoint: Manifest, seeds: tuple[int, ...]) -> list[CheckpointRecord]:
    """Return the weights of some seeds of a checkpoint.

    Raises:
        StoreError: its files are not in the store.
    """
    folder = project.store.artifact(checkpoint)
    return [_read_checkpoint(project, checkpoint, folder, seed) for seed in seeds]


def _read_checkpoint(project: Project, manifest: Manifest, folder: Path, seed: int) -> CheckpointRecord:
    budget, recipe = split_grid_key(manifest.partition)
    name = seed_folder(seed)
    model = Promoted(budget=budget, recipe=recipe, seed=seed, content_version=manifest.content_version)
    evaluation = evaluation_of(project, model)
    measured = evaluation_records(evaluation).get(seed) if evaluation is not None else None
    metrics: list[dict[str, Any]] = []
    if evaluation is not None and measured is not None:
        metrics = pq.read_table(project.store.artifact(evaluation) / name / "metrics.parquet").to_pylist()
    return CheckpointRecord(
        manifest=manifest,
        seed=seed,
        result=CheckpointSummary.read(manifest).seeds[seed],
        architecture=_architecture(folder / name / "model" / "config.json"),
        evaluation=evaluation,
        means=measured.macro_means if measured else {},
        metrics=tuple(metrics),
    )


def _architecture(config: Path) -> str | None:
    if not config.exists():
        return None
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [None]
    return named[0]
