"""Artifacts and manifests under one root: a folder, or any fsspec URL mirrored into a folder.

An artifact is drafted in a folder beside its final place and renamed in, so it is there whole or not at all. Its
manifest is written after it. A kill between the two leaves the last good state current: a manifest is what makes an
artifact current, and nothing is ever overwritten. A remote store keeps the same layout: a local mirror holds what was
read or written, and an artifact is pushed before its manifest.
"""

import os
import shutil
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from smart_assets.errors import StoreError
from smart_assets.store.hashing import content_version, file_sha256, json_version
from smart_assets.store.manifest import Artifact, ArtifactFile, Manifest
from smart_assets.store.remote import Remote


class Store:
    """The one place where everything that was made lies.

    Args:
        url: a folder (relative ones lie under `base`) or an fsspec URL such as `s3://bucket/prefix`.
        base: the folder of `smart.yaml`.

    Raises:
        StoreError: the root cannot be created or written.
    """

    def __init__(self, url: str, base: Path) -> None:
        remote = "://" in url and not url.startswith("file://")
        self.url = url
        self.root = (base / (f".smart-mirror/{json_version(url)}" if remote else url.removeprefix("file://"))).resolve()
        self._remote = Remote(url, self.root) if remote else None
        self._drafts = self.root / "drafts"
        try:
            self._drafts.mkdir(parents=True, exist_ok=True)
            probe = self._drafts / uuid.uuid4().hex
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}): give the folder to this user, "
                "or set another `store:` in smart.yaml"
            ) from error

    def cache_folder(self, name: str) -> Path:
        """A local folder for what can be made again: converted models, vectors on their way into an artifact."""
        folder = self.root / "cache" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def draft(self) -> Generator[Path]:
        """A new empty folder inside the store; what is still in it at the end is removed."""
        folder = self._drafts / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, asset: str, folder: Path) -> Artifact:
        """Make a drafted folder an artifact. The folder is moved away; equal content is stored once.

        Raises:
            StoreError: the folder is empty, or it cannot be renamed in.
        """
        files = tuple(_files_of(folder))
        for file in files:
            _sync(folder / file.path)  # a manifest must not outlive the files it names
        if not files:
            raise StoreError(f"nothing was written for {asset}: an artifact needs at least one file")
        version = content_version({file.path: file.sha256 for file in files})
        target = self._artifact(asset, version)
        if target.exists() and tuple(_files_of(target)) != files:
            self._move_away(target)  # damaged since it was made: the new one takes its place
        _rename_in(folder, target)
        if self._remote is not None:
            for file in files:
                self._remote.push(target / file.path)
        return Artifact(asset=asset, version=version, files=files)

    def folder(self, artifact: Artifact) -> Path:
        """The local folder of an artifact, fetched from the remote store where it is not here yet.

        Raises:
            StoreError: a file of it is missing.
        """
        target = self._artifact(artifact.asset, artifact.version)
        damaged = _first_damaged(target, artifact)
        if damaged is not None and self._remote is not None:
            with self.draft() as fresh:
                for file in artifact.files:
                    self._remote.pull(target / file.path, fresh / file.path)
                if target.exists():
                    self._move_away(target)
                _rename_in(fresh, target)
            damaged = _first_damaged(target, artifact)
        if damaged is not None:
            raise StoreError(
                f"{target / damaged} is missing or cut short though a manifest names it: "
                f"materialize {artifact.asset} again"
            )
        return target

    def is_whole(self, manifest: Manifest) -> bool:
        """Whether all files of a manifest are there with their sizes, or can still be fetched from the remote store."""
        for artifact in (manifest.artifact, *manifest.attachments.values()):
            folder = self._artifact(artifact.asset, artifact.version)
            fetchable = self._remote is not None and not folder.exists()
            if not fetchable and _first_damaged(folder, artifact) is not None:
                return False
        return True

    def _move_away(self, folder: Path) -> None:
        folder.rename(self._drafts / uuid.uuid4().hex)

    def artifact(self, manifest: Manifest) -> Path:
        """The local folder of a manifest's artifact."""
        return self.folder(manifest.artifact)

    def record(self, manifest: Manifest) -> Path:
        """Append a manifest; from now on it is its partition's current state."""
        folder = self._manifest_folder(manifest.asset, manifest.partition)
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        newest = max((path.name for path in self._manifest_paths(manifest.asset, manifest.partition)), default="")
        if newest >= now:  # a clock that went back must not make the new manifest an old one
            now = newest.split("-")[0] + "~"
        path = folder / f"{now}-{manifest.content_version}.json"
        draft = self._drafts / f"{uuid.uuid4().hex}.json"
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(manifest.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(path)
        if self._remote is not None:
            self._remote.push(path)
        return path

    def history(self, asset: str, partition: str | None) -> list[Manifest]:
        """All manifests of a partition, newest first.

        Raises:
            StoreError: a manifest cannot be read.
        """
        return [_read_manifest(path) for path in self._manifest_paths(asset, partition)]

    def current(self, asset: str, partition: str | None) -> Manifest | None:
        """The newest manifest of a partition, or None before its first materialization."""
        paths = self._manifest_paths(asset, partition)
        return _read_manifest(paths[0]) if paths else None

    def _manifest_paths(self, asset: str, partition: str | None) -> list[Path]:
        folder = self._manifest_folder(asset, partition)
        if self._remote is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name in self._remote.names(folder):
                if not (folder / name).exists():
                    draft = self._drafts / f"{uuid.uuid4().hex}.json"
                    self._remote.pull(folder / name, draft)
                    draft.rename(folder / name)
        return sorted(folder.glob("*.json"), key=lambda path: path.name, reverse=True)

    def _artifact(self, asset: str, version: str) -> Path:
        return self.root / "artifacts" / asset / version

    def _manifest_folder(self, asset: str, partition: str | None) -> Path:
        return self.root / "manifests" / asset / ("_" if partition is None else quote(partition, safe=""))


def _rename_in(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        folder.rename(target)
    except OSError as error:
        if not target.exists():  # another run may have renamed the same content in between
            raise StoreError(f"{target} cannot be written: {error.strerror}") from error


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _first_damaged(folder: Path, artifact: Artifact) -> str | None:
    """The first file that is missing or of another size than when it was written."""
    for file in artifact.files:
        path = folder / file.path
        if not path.exists() or path.stat().st_size != file.size:
            return file.path
    return None


def _files_of(folder: Path) -> Iterator[ArtifactFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield ArtifactFile(
                path=path.relative_to(folder).as_posix(), sha256=file_sha256(path), size=path.stat().st_size
            )


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(
            f"the manifest {path} cannot be read: move it away, and the partition falls back to the one before\n{error}"
        ) from error
