"""An empty store, what a reproduction starts from in it, and the making of everything else."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.core.errors import SmartError, StoreError
from smart_assets.core.progress import Log, Progress
from smart_assets.lineage.history import key_of
from smart_assets.planning.graph import batches, closure
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import file_sha256


@contextmanager
def empty_folder(keep: Path | None) -> Generator[Path]:
    """Return a folder for the empty store: a temporary one (below TMPDIR) that is removed at the end, or `keep`.

    Raises:
        SmartError: `keep` holds something already, or is no folder.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="smart-reproduce-") as folder:
            yield Path(folder).resolve()
        return
    keep = keep.expanduser().resolve()
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise SmartError(f"{keep} is there already: a reproduction starts from an empty store, so name a new folder")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


def link_in(store: Store, into: Store, manifests: tuple[Manifest, ...], log: Log) -> None:
    """Check the bytes of artifacts, and make them current in another store by links to their files.

    Raises:
        StoreError: a file is missing, or is not what was written; or rows of them were forgotten and are gone.
    """
    for manifest in manifests:
        _require_all_rows(store, manifest)
    artifacts = [artifact for manifest in manifests for artifact in manifest.artifacts]
    reading = _Reading(sum(file.size for artifact in artifacts for file in artifact.files), log)
    for artifact in artifacts:
        folder = _intact(store, artifact, reading)
        for file in artifact.files:
            link = into.artifact_folder(artifact.asset, artifact.version) / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder / file.path)
    for manifest in manifests:
        into.record(manifest)


def _require_all_rows(store: Store, manifest: Manifest) -> None:
    redaction = store.what_became_of(manifest.artifact)
    if redaction is not None:
        raise StoreError(
            f"what was made from {key_of(manifest)} {manifest.content_version[:12]} cannot be derived again: "
            f"{len(redaction.ids)} of its rows are forgotten, and were removed on {redaction.at:%Y-%m-%d}"
        )


class _Reading:
    def __init__(self, size: int, log: Log) -> None:
        self._size, self._read = max(size, 1), 0
        self._progress = Progress("checking stored rows and vectors", log, "MB")

    def add(self, size: int) -> None:
        """Take note of a file that was read."""
        self._read += size
        self._progress.at(self._read // 10**6, self._read / self._size)


def _intact(store: Store, artifact: Artifact, reading: _Reading) -> Path:
    artifact = store.what_is_kept(artifact)  # beside the rows: excerpts of refused ones may be forgotten
    folder = store.folder(artifact)
    for file in artifact.files:
        if file_sha256(folder / file.path) != file.sha256:
            raise StoreError(f"{folder / file.path} is not what was written: `smart verify` names all that is damaged")
        reading.add(file.size)
    return folder


def derive(
    project: Project, target: AssetPartition, given: frozenset[AssetPartition], run: RunContext
) -> dict[AssetPartition, Manifest]:
    """Make a partition and all that it is made from, inputs first, but for what is given.

    Raises:
        SmartError: whatever a step refuses.
    """
    keys = closure(project, frozenset({target}), given)
    made: dict[AssetPartition, Manifest] = {}
    for key in (key for batch in batches(project) for key in batch if key in keys):
        run.log(f"making {key}")
        made[key] = materialize(project, key, run).manifest
    return made
