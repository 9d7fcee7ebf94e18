"""The chain of content versions from raw files to weights, each hash taken again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_assets.errors import StoreError
from smart_assets.lineage.manifests import Manifests
from smart_assets.lineage.plan import fingerprint_of
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import file_sha256
from smart_assets.tasks.sources import FolderSource


@dataclass(frozen=True, slots=True)
class Link:
    """One materialization in the chain."""

    asset: str
    partition: str | None
    content_version: str
    made_at: str  # ISO 8601, UTC
    code_version: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    run_id: str | None
    git_commit: str | None
    packages: Mapping[str, str]
    files: int
    bytes: int
    problems: tuple[str, ...]  # what of its files is no longer what was recorded; none: all hashes are right

    @property
    def verdict(self) -> str:
        """On its hashes, in a word."""
        return "differ" if self.problems else "right"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file, or a dataset's revision, that rows were read from."""

    source: str
    path: str
    sha256: str  # of a dataset: its commit
    state: str  # "as read", or what became of it


def walk(manifest: Manifest, manifests: Manifests) -> tuple[list[Manifest], list[str]]:
    """All that a manifest was made from, itself first; and the inputs that no manifest in the store explains."""
    found: dict[tuple[str, str | None, str], Manifest] = {}
    lost: list[str] = []
    left = [manifest]
    while left:
        one = left.pop()
        key = (one.asset, one.partition, one.content_version)
        if key in found:
            continue
        found[key] = one
        for name, version in one.inputs.items():
            earlier = manifests.named(name, version, str(one.made.get("at", "")))
            if earlier is None:
                lost.append(f"{name} in version {version[:12]}, which {_called(one)} was made from, has no manifest")
            else:
                left.append(earlier)
    return list(found.values()), lost


def link_of(store: Store, manifest: Manifest) -> Link:
    """A manifest as a link of the chain, with every file of it read and hashed."""
    artifacts = (manifest.artifact, *manifest.attachments.values())
    made = manifest.made
    return Link(
        asset=manifest.asset,
        partition=manifest.partition,
        content_version=manifest.content_version,
        made_at=str(made.get("at", "")),
        code_version=manifest.code_version,
        parameters=manifest.parameters,
        inputs=manifest.inputs,
        run_id=made.get("run_id"),
        git_commit=made.get("git_commit"),
        packages=made.get("packages", {}),
        files=sum(len(artifact.files) for artifact in artifacts),
        bytes=sum(file.size for artifact in artifacts for file in artifact.files),
        problems=(*_altered(manifest), *(problem for artifact in artifacts for problem in _problems(store, artifact))),
    )


def _altered(manifest: Manifest) -> Iterator[str]:
    """Whether a manifest's own words still give its fingerprint."""
    if manifest.fingerprint != fingerprint_of(manifest):
        yield (
            f"the manifest of {_called(manifest)} in version {manifest.content_version[:12]} was changed: its inputs, "
            "parameters or code version are not those of its fingerprint"
        )


def _problems(store: Store, artifact: Artifact) -> Iterator[str]:
    folder = store.artifact_folder(artifact.asset, artifact.version)
    try:
        store.folder(artifact)
    except StoreError as error:
        yield str(error)
        return
    for file in artifact.files:
        if file_sha256(folder / file.path) != file.sha256:
            yield f"{folder / file.path} is no longer what was recorded: its sha256 is another"
    expected = {file.path for file in artifact.files}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in expected:
            yield f"{path} does not belong to the artifact"


def raw_files(project: Project, manifest: Manifest) -> list[RawFile]:
    """What a materialization of `raw_tasks` read outside the store, and whether it is still there as it was."""
    source = str(manifest.partition)
    settings = project.settings.sources.get(source)
    folder = project.root / settings.path if isinstance(settings, FolderSource) else None
    return [RawFile(source, path, version, _state(folder, path, version)) for path, version in manifest.outside.items()]


def _state(folder: Path | None, path: str, version: str) -> str:
    if folder is None:
        return "a dataset's revision, or of a source that smart.yaml names no longer: not read again"
    place = folder / path if folder.is_dir() else folder
    if not place.is_file():
        return "not there any more"
    return "as read" if file_sha256(place) == version else "changed since"


def _called(manifest: Manifest) -> str:
    return manifest.asset if manifest.partition is None else f"{manifest.asset}[{manifest.partition}]"
