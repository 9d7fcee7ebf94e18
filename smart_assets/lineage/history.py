"""Everything that the store remembers to have made, and what it was made from.

Partitions that `smart.yaml` names no more are in it, too.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition, parse_input
from smart_assets.core.errors import StoreError
from smart_assets.planning.graph import partitions
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.inventory import Recorded, recorded
from smart_assets.store.records import Circumstances

Presence = Literal["there", "collected", "missing", "damaged"]
"""What is left of an artifact: `collected` is one of the past that `smart gc` removed, `missing` one that should be
there."""


@dataclass(frozen=True, slots=True)
class Materialization:
    """A manifest and its place in the history."""

    manifest: Manifest
    newest: bool  # of its partition, of those that were not refused
    named: bool  # `smart.yaml` names the partition
    last: bool = False  # nothing of its partition was made or refused later

    @property
    def key(self) -> AssetPartition:
        """The partition that was made."""
        return key_of(self.manifest)

    @property
    def current(self) -> bool:
        """Whether it is the state of a partition that `smart.yaml` names; everything else is of the past."""
        return self.newest and self.named

    @property
    def last_refused(self) -> bool:
        """Whether it was refused, and nothing was made of its partition since: its rejected rows are those of now."""
        return self.last and self.named and self.manifest.refused is not None

    @property
    def made_at(self) -> str | None:
        """When it was made, in ISO 8601 and UTC."""
        return Circumstances.read(self.manifest).at

    @property
    def run_id(self) -> str | None:
        """The Dagster run that made it."""
        return Circumstances.read(self.manifest).run_id


@dataclass(frozen=True)
class History:
    """All materializations of some assets, newest first in each partition."""

    made: tuple[Materialization, ...]
    unreadable: tuple[Recorded, ...]  # manifests that cannot be relied on

    def of(self, *assets: str) -> Iterator[Materialization]:
        """Return those of some assets."""
        return (item for item in self.made if item.manifest.asset in assets)

    def manifests(self, asset: str) -> list[Manifest]:
        """Return the manifests of an asset."""
        return [item.manifest for item in self.of(asset)]

    def named(self, name: str, version: str, time: str = "") -> Manifest | None:
        """Return the newest manifest that an input's name and version mean; None where there is none.

        Args:
            name: of the input.
            version: of its content, or of its facet.
            at: when it was read, ISO 8601. The same content may have been made of one thing before and of another
                after; what was made later is no part of what read it.
        """
        source, facet = parse_input(name)
        manifests = self._named.get((source, facet or "", version), [])
        earlier = (manifest for manifest in manifests if not time or read_at(manifest) <= time)
        return next(earlier, manifests[-1] if manifests else None)

    def inputs(self, manifest: Manifest) -> Iterator[Manifest]:
        """Return what a manifest was made from, as far as there are manifests of it."""
        for name, version in manifest.inputs.items():
            made = self.named(name, version, read_at(manifest))
            if made is not None:
                yield made

    def input(self, manifest: Manifest, name: str) -> Manifest:
        """Return one of the inputs that a manifest was made from, by the name that it gives it.

        Raises:
            StoreError: no manifest of it is left, or it was never named.
        """
        version = manifest.inputs.get(name, "")
        made = self.named(name, version, read_at(manifest))
        if made is None:
            raise StoreError(
                f"{key_of(manifest)} was made from {name} {version[:12]}, which no manifest of the store names any more"
            )
        return made

    @cached_property
    def _named(self) -> dict[tuple[AssetPartition, str, str], list[Manifest]]:
        """(partition, facet or "", version that counts) -> its manifests, newest first."""
        manifests: dict[tuple[AssetPartition, str, str], list[Manifest]] = {}
        for item in self.made:
            for facet, version in [("", item.manifest.content_version), *item.manifest.facets.items()]:
                manifests.setdefault((item.key, facet, version), []).append(item.manifest)
        return manifests


def read_history(project: Project, assets: Collection[str] | None = None) -> History:
    """Read the manifests of some assets (None for all), each once.

    Raises:
        StoreError: the remote store cannot be reached.
    """
    named = frozenset(key for asset in catalog.names() for key in partitions(project, asset))
    return history_of(recorded(project.store, assets), named)


def history_of(histories: Sequence[Sequence[Recorded]], named: frozenset[AssetPartition] = frozenset()) -> History:
    """Return manifests that were read as a history.

    Args:
        histories: those of each partition, newest first, as `recorded` gives them.
        named: the partitions that `smart.yaml` names.
    """
    made: list[Materialization] = []
    unreadable: list[Recorded] = []
    for partition in histories:
        newest = True
        for place, item in enumerate(partition):
            if item.manifest is None:
                unreadable.append(item)
                continue
            state = newest and not item.refused
            made.append(Materialization(item.manifest, state, key_of(item.manifest) in named, last=place == 0))
            newest = newest and item.refused
    return History(tuple(made), tuple(unreadable))


def read_at(manifest: Manifest) -> str:
    """Return when a manifest's inputs were read, at the latest: ISO 8601, empty where that was not recorded."""
    return Circumstances.read(manifest).at or ""


def key_of(manifest: Manifest) -> AssetPartition:
    """Return the partition that a manifest is of."""
    return AssetPartition(manifest.asset, manifest.partition)


def stored_folder(store: Store, manifest: Manifest) -> Path | None:
    """Return the local folder of an artifact, whole or damaged; None where it is not in the store any more."""
    try:
        return store.artifact(manifest)
    except StoreError:
        folder = store.artifact_folder(manifest.asset, manifest.content_version)
        return folder if folder.exists() else None


def presence(store: Store, artifact: Artifact, newest: bool) -> Presence:
    """Return what is left of an artifact, here or in the remote store.

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
