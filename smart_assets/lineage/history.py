"""Everything that the store remembers to have made, also of partitions that `smart.yaml` names no more."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smart_assets.lineage.graph import STEPS, partitions
from smart_assets.pipeline.step import AssetPartition
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.inventory import recorded

Presence = Literal["there", "collected", "missing", "damaged"]
"""What is left of an artifact: `collected` is one of the past that `smart gc` removed, `missing` one that should be
there."""


@dataclass(frozen=True, slots=True)
class Materialization:
    """A manifest and its place in the history."""

    manifest: Manifest
    newest: bool  # of its partition
    named: bool  # `smart.yaml` names the partition

    @property
    def key(self) -> AssetPartition:
        """The partition that was made."""
        return AssetPartition(self.manifest.asset, self.manifest.partition)

    @property
    def current(self) -> bool:
        """Whether it is the state of a partition that `smart.yaml` names; everything else is of the past."""
        return self.newest and self.named

    @property
    def made_at(self) -> str | None:
        """When it was made, in ISO 8601 and UTC."""
        return self.manifest.made.get("at")

    @property
    def run_id(self) -> str | None:
        """The Dagster run that made it."""
        return self.manifest.made.get("run_id")


@dataclass(frozen=True, slots=True)
class History:
    """All materializations of some assets, newest first in each partition."""

    made: tuple[Materialization, ...]
    unreadable: tuple[Path, ...]  # manifests that cannot be relied on

    def of(self, *assets: str) -> Iterator[Materialization]:
        """Those of some assets."""
        return (item for item in self.made if item.manifest.asset in assets)


def read_history(project: Project, assets: Collection[str] | None = None) -> History:
    """Read the manifests of some assets (None for all), each once.

    Raises:
        StoreError: the remote store cannot be reached.
    """
    named = {key for asset in STEPS for key in partitions(project, asset)}
    made: list[Materialization] = []
    unreadable: list[Path] = []
    for partition in recorded(project.store, assets):
        newest = True
        for item in partition:
            if item.manifest is None:
                unreadable.append(item.path)
                continue
            key = AssetPartition(item.manifest.asset, item.manifest.partition)
            made.append(Materialization(item.manifest, newest, key in named))
            newest = False
    return History(tuple(made), tuple(unreadable))


def presence(store: Store, artifact: Artifact, newest: bool) -> Presence:
    """What is left of an artifact, here or in the remote store.

    Args:
        store: the store; a snapshot where many are asked for.
        artifact: the artifact.
        newest: whether it is of the newest materialization of its partition, which `smart gc` never takes.
    """
    if store.has(artifact):
        return "there"
    if (store.remote or store.local).files(store.artifact_folder(artifact.asset, artifact.version)):
        return "damaged"
    return "missing" if newest else "collected"
