"""The chain of content versions from raw files to weights, each hash taken again."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import History, key_of, read_at
from smart_assets.planning.plan import fingerprint_of
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import file_sha256
from smart_assets.store.records import Circumstances


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
    problems: tuple[str, ...]  # what is no longer what was recorded
    redacted: int  # rows that were forgotten since and taken out of its files
    hashed: bool  # whether its files were read and hashed for this audit

    @property
    def verdict(self) -> str:
        """On its hashes, in a word or three."""
        if self.problems:
            return "differ"
        if not self.hashed:
            return "not taken again"
        return "redacted" if self.redacted else "right"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file, or a dataset's revision, that rows were read from."""

    source: str
    path: str
    sha256: str  # of a dataset: its commit
    state: str  # "as read", or what became of it


def walk(manifest: Manifest, history: History) -> tuple[list[Manifest], list[str]]:
    """Return all that a manifest was made from, the nearest first.

    Besides, the inputs that no manifest in the store explains.

    Content that was read in two states, such as rows before and after their lines moved, is named as the nearest read
    it.
    """
    explained: dict[tuple[str, str | None, str], Manifest] = {}
    lost: list[str] = []
    left = deque([manifest])
    while left:
        reached = left.popleft()
        key = (reached.asset, reached.partition, reached.content_version)
        if key in explained:
            continue
        explained[key] = reached
        for name, version in reached.inputs.items():
            earlier = history.named(name, version, read_at(reached))
            if earlier is None:
                lost.append(f"{name} in version {version[:12]}, which {key_of(reached)} was made from, has no manifest")
            else:
                left.append(earlier)
    return list(explained.values()), lost


def link_of(store: Store, manifest: Manifest, hashed: bool = True) -> Link:
    """Return a manifest as a link of the chain, with every file of it read and hashed, or by its own words alone."""
    artifacts = manifest.artifacts
    redactions = [redaction for artifact in artifacts if (redaction := store.what_became_of(artifact)) is not None]
    files = [problem for artifact in artifacts for problem in _problems(store, artifact)] if hashed else []
    made = Circumstances.read(manifest)
    return Link(
        asset=manifest.asset,
        partition=manifest.partition,
        content_version=manifest.content_version,
        made_at=made.at or "",
        code_version=manifest.code_version,
        parameters=manifest.parameters,
        inputs=manifest.inputs,
        run_id=made.run_id,
        git_commit=made.git_commit,
        packages=made.packages,
        files=sum(len(artifact.files) for artifact in artifacts),
        bytes=sum(file.size for artifact in artifacts for file in artifact.files),
        problems=(*_altered(store, manifest), *files),
        redacted=len({id_ for redaction in redactions for id_ in redaction.ids}),
        hashed=hashed,
    )


def _altered(store: Store, manifest: Manifest) -> Iterator[str]:
    """Whether a manifest's own words still give its fingerprint."""
    if manifest.fingerprint != fingerprint_of(manifest):
        paths = store.manifests_in(store.manifest_folder(manifest.asset, manifest.partition))
        path = next((candidate for candidate in paths if candidate.stem.endswith(f"-{manifest.content_version}")), None)
        yield (
            f"the manifest of {key_of(manifest)} in version {manifest.content_version[:12]} was changed ({path}): "
            "its inputs, parameters or code version are not those of its fingerprint"
        )


def _problems(store: Store, artifact: Artifact) -> Iterator[str]:
    redaction = store.what_became_of(artifact)
    if redaction is not None:
        if redaction.replaced_by is not None:
            yield from _problems(store, redaction.replaced_by)
        return
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


def raw_files(project: Project, manifest: Manifest, hashed: bool = True) -> list[RawFile]:
    """Return what a materialization of `raw_tasks` read outside the store, and whether it is still there as it was."""
    source = str(manifest.partition)
    if not hashed:
        return [RawFile(source, path, version, "not looked at again") for path, version in manifest.outside.items()]
    settings = project.settings.sources.get(source)
    return [
        RawFile(source, path, version, _state(settings and settings.local_file(project.root, path), version))
        for path, version in manifest.outside.items()
    ]


def _state(file: Path | None, version: str) -> str:
    if file is None:
        return "a dataset's revision, or of a source that smart.yaml names no longer: not read again"
    if not file.is_file():
        return "not there any more"
    return "as read" if file_sha256(file) == version else "changed since"
