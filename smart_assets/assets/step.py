"""The one shape of every asset's plain-Python side: what a partition is made from, and the making of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from smart_assets.core.errors import SmartError
from smart_assets.core.progress import Log
from smart_assets.settings import Project
from smart_assets.store import Manifest, Store

SEED_FOLDERS = "seed-*"
"""The folders of an artifact that `seed_folder` names, as a pattern."""
_SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class AssetPartition:
    """One partition of one asset; `partition` is None for an asset without partitions."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a partition is made from. With a facet only that part of it counts towards being out of date."""

    source: AssetPartition
    facet: str | None = None
    optional: bool = False  # read where it is there, not waited for
    counts: bool = True  # False: looked up in, but what matters of it is in another input's version already

    def __str__(self) -> str:
        return str(self.source) if self.facet is None else f"{self.source}#{self.facet}"

    def version(self, manifest: Manifest) -> str:
        """Return the version that counts, of the input's current manifest."""
        return manifest.content_version if self.facet is None else manifest.facets.get(self.facet, "")


def parse_input(name: str) -> tuple[AssetPartition, str | None]:
    """Return the partition and the facet that a manifest's name of an input stands for."""
    source, _, facet = name.partition("#")
    asset, bracket, partition = source.removesuffix("]").partition("[")
    return AssetPartition(asset, partition if bracket else None), facet or None


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What a partition is to be made from: all that decides its content, and nothing else."""

    key: AssetPartition
    inputs: tuple[Input, ...]
    parameters: Mapping[str, Any]
    code_version: str
    outside: Mapping[str, str] = field(default_factory=dict[str, str])  # what is read outside the store -> its version
    problem: str | None = None  # why the outside cannot be read now


@dataclass(frozen=True, slots=True)
class Inputs:
    """The current manifests of a step's inputs, and their folders."""

    store: Store
    manifests: Mapping[AssetPartition, Manifest]

    def folder(self, asset: str, partition: str | None = None) -> Path:
        """Return the local folder of an input's artifact."""
        return self.store.artifact(self.manifest(asset, partition))

    def manifest(self, asset: str, partition: str | None = None) -> Manifest:
        """Return the manifest of an input."""
        return self.manifests[AssetPartition(asset, partition)]

    def find(self, asset: str, partition: str | None = None) -> Manifest | None:
        """Return the manifest of an optional input, or None."""
        return self.manifests.get(AssetPartition(asset, partition))


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a step is given by whoever runs it."""

    log: Log
    launch: Callable[[Sequence[str]], None]  # runs `python ARGS` as its own process; raises where it fails
    device: str  # "cpu" or "cuda:N"
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Where a step writes: the artifact itself, and what belongs to it but lies outside its data version."""

    folder: Path

    @property
    def content(self) -> Path:
        """The folder that becomes the artifact."""
        return self.folder / "content"

    @property
    def attached(self) -> Path:
        """The folder whose sub-folders become attachments."""
        return self.folder / "attached"

    def attachment(self, name: str) -> Path:
        """Return a new folder that becomes the attachment `name`."""
        folder = self.attached / name
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step says of what it wrote: figures for people, parts that others depend on alone, and what it cost."""

    summary: Mapping[str, Any]
    facets: Mapping[str, str] = field(default_factory=dict[str, str])
    cost: Mapping[str, Any] = field(default_factory=dict[str, Any])  # figures of the making, outside the data version
    recorded: Callable[[], None] = lambda: None  # called once the manifest is written
    refused: SmartError | None = None  # why nothing of it may be used: it is kept to be looked at, and never current
    outside: Mapping[str, str] | None = None  # what was read outside the store, where that is known better afterwards


class Step(Protocol):
    """A module of this package: one asset."""

    @property
    def NAME(self) -> str:  # noqa: N802  (a constant of the module)
        """The asset's key."""
        ...

    @property
    def CODE_VERSION(self) -> str:  # noqa: N802  (a constant of the module)
        """Raised with any change of code that changes content; everything made by the old code is then out of date."""
        ...

    def desired(self, project: Project, partition: str | None) -> DesiredState:
        """Return what the partition is to be made from."""
        ...

    def make(self, project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
        """Write the artifact's files into the empty folder `out.content`."""
        ...


def grid_key(budget: int, recipe: str) -> str:
    """Return the partition key of a budget and a recipe, in the order of Dagster's dimensions."""
    return f"{budget}|{recipe}"


def split_grid_key(partition: str | None) -> tuple[int, str]:
    """Budget and recipe of a partition key."""
    budget, _, recipe = (partition or "").partition("|")
    return int(budget), recipe


def seed_folder(seed: int) -> str:
    """Return the name of a seed in artifacts and manifests; nothing else writes it."""
    return f"seed-{seed}"


def seed_of_folder(name: str) -> int | None:
    """Return the seed that a name in artifacts and manifests stands for; None where it is no seed's."""
    match = _SEED.fullmatch(name)
    return int(match[1]) if match else None
