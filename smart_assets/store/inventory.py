"""What lies in a store: every manifest, whether it can be read or not, and every artifact that they name."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from smart_assets.core.errors import StoreError
from smart_assets.store.hashing import content_version
from smart_assets.store.manifest import REFUSED, Artifact, Manifest
from smart_assets.store.redaction import FOLDER, Redaction
from smart_assets.store.store import Store

Name = tuple[str, str]
"""An artifact's folder under `artifacts/` and its version."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A manifest's file. Its name gives the time and the content version."""

    path: Path
    at: datetime
    manifest: Manifest | None  # None where it cannot be relied on
    problem: str = ""

    @property
    def refused(self) -> bool:
        """Whether its artifact was refused: it was never the partition's state."""
        return self.path.stem.endswith(REFUSED)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifact and its attachments."""
        return self.manifest.artifacts if self.manifest else ()


def recorded(store: Store, assets: Collection[str] | None = None) -> list[list[Recorded]]:
    """Return the manifests of every partition that was ever made, newest first.

    Partitions are in the order of their paths.

    Args:
        store: the store.
        assets: those whose manifests are read; None for all.

    Raises:
        StoreError: the remote store cannot be reached. A manifest that cannot be read is no error, but a problem.
    """
    snapshot = store.snapshot()
    folders = [folder for folder in snapshot.manifest_folders() if assets is None or folder.parent.name in assets]
    return [[_recorded(snapshot, path) for path in snapshot.manifests_in(folder)] for folder in folders]


def redacted(store: Store) -> dict[Name, Redaction]:
    """Return the artifacts that forgotten rows were taken out of, and what became of each.

    Raises:
        StoreError: a record of it cannot be read, or the remote store cannot be reached.
    """
    root = store.root / FOLDER
    logs = {path.parent for path in (store.remote or store.local).files(root) if path.suffix == ".json"}
    names = sorted((log.parent.name, log.name) for log in logs)
    return {name: redaction for name in names if (redaction := store.redaction(*name)) is not None}


def kept_of(redactions: Iterable[Redaction]) -> dict[Name, Artifact]:
    """Return what is kept of artifacts that forgotten rows were taken out of."""
    return {
        name_of(redaction.replaced_by): redaction.replaced_by
        for redaction in redactions
        if redaction.replaced_by is not None
    }


def name_of(artifact: Artifact) -> Name:
    """Return what an artifact is told by."""
    return artifact.asset, artifact.version


def _recorded(store: Store, path: Path) -> Recorded:
    stamp, _, version = path.stem.removesuffix(REFUSED).partition("-")
    try:
        time = datetime.strptime(stamp[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return Recorded(path, datetime.now(UTC), None, "its name is not that of a manifest: a time and a version")
    store.fetch(path)  # a remote that cannot be reached says nothing of the manifest
    try:
        manifest = store.read(path)
    except StoreError as error:
        cause = error.__cause__
        why = cause.errors()[0]["msg"] if isinstance(cause, ValidationError) else cause
        return Recorded(path, time, None, f"it cannot be read ({why})")
    problem = _altered(manifest, version)
    if not problem and store.manifest_folder(manifest.asset, manifest.partition) != path.parent:
        problem = f"it is of {manifest.asset}[{manifest.partition or ''}], whose folder is another"
    return Recorded(path, time, None if problem else manifest, problem)


def _altered(manifest: Manifest, version: str) -> str:
    """Return why a manifest does not say what it said when it was written; empty where nothing shows."""
    if manifest.content_version != version:
        return f"it names the version {manifest.content_version}, and its file's name {version}"
    for artifact in manifest.artifacts:
        if content_version({file.path: file.sha256 for file in artifact.files}) != artifact.version:
            return f"its list of files is not that of version {artifact.version} of {artifact.asset}"
    return ""
