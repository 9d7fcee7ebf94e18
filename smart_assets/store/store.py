"""Artifacts and manifests under one root: a folder, or any fsspec URL mirrored into a folder.

An artifact is drafted in a folder beside its final place and renamed in, so it is there whole or not at all. Its
manifest is written after it. A kill between the two leaves the last good state current: a manifest is what makes an
artifact current, and nothing is ever overwritten. A remote store keeps the same layout: a local mirror holds what was
read or written, and an artifact is pushed before its manifest. What manifests there are the remote alone says.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import ValidationError

from smart_assets.core.errors import StoreError
from smart_assets.core.files import make_folder, move, rename_in, set_aside, sync
from smart_assets.store.drafts import Drafts
from smart_assets.store.hashing import content_version, file_sha256, json_version
from smart_assets.store.log import records
from smart_assets.store.manifest import REFUSED, Artifact, ArtifactFile, Manifest
from smart_assets.store.places import LocalPlace
from smart_assets.store.redaction import Redaction, log_of
from smart_assets.store.remote import ListedRemote, Remote
from smart_assets.store.url_folder import is_url, without_scheme

_STAMP = "%Y%m%dT%H%M%S.%fZ"  # of a manifest's name: in the order of time, to the microsecond


class Store:
    """The one place where everything that was made lies.

    Args:
        url: a folder (relative ones lie under `base`) or an fsspec URL such as `s3://bucket/prefix`.
        base: the folder of `smart.yaml`.

    Raises:
        StoreError: the root cannot be created or written.
    """

    def __init__(self, url: str, base: Path) -> None:
        remote = is_url(url)
        self.url = url
        self.root = (base / (f".smart-mirror/{json_version(url)}" if remote else without_scheme(url))).resolve()
        self._remote = Remote(url, self.root) if remote else None
        self.drafts = Drafts(self.root / "drafts")
        self.local = LocalPlace(self.root, self.drafts)
        try:
            self.drafts.folder.mkdir(parents=True, exist_ok=True)
            probe = self.drafts.path()
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}): give the folder to this user, "
                "or set another `store:` in smart.yaml"
            ) from error

    @property
    def remote(self) -> Remote | None:
        """The remote that the folder mirrors, for a store on a URL."""
        return self._remote

    def snapshot(self) -> Self:
        """Return this store as it is now, for reading only: a remote is listed once, not for every question."""
        twin = copy.copy(self)
        twin._remote = self._remote and ListedRemote(self._remote)
        return twin

    def cache_folder(self, name: str) -> Path:
        """Return a local folder for what can be made again: converted models, vectors on their way into an artifact."""
        folder = self.root / "cache" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def draft(self) -> AbstractContextManager[Path]:
        """Return a new empty folder inside the store; what is still in it at the end is removed."""
        return self.drafts.open()

    def commit(self, asset: str, folder: Path) -> Artifact:
        """Make a drafted folder an artifact. The folder is moved away; equal content is stored once.

        Raises:
            StoreError: the folder is empty, or it cannot be renamed in.
        """
        files = tuple(_files_of(folder))
        sync(folder)  # a manifest must not outlive the files it names
        if not files:
            raise StoreError(f"nothing was written for {asset}: an artifact needs at least one file")
        version = content_version({file.path: file.sha256 for file in files})
        target = self.artifact_folder(asset, version)
        with self.local.alone():
            damaged = target.exists() and tuple(_files_of(target)) != files
            away = self.drafts.path()
            if damaged:
                set_aside(target, away)
            _move_in(folder, target)
            # An artifact is as old as its newest file; a long step's may be days old, those of equal content years.
            os.utime(target / files[0].path)
        if damaged:
            self.local.remove(away)
        if self._remote is not None:
            for file in files:
                self._remote.push(target / file.path)
        return Artifact(asset=asset, version=version, files=files)

    def folder(self, artifact: Artifact) -> Path:
        """Return the local folder of an artifact, fetched from the remote store where it is not here yet.

        Of an artifact that forgotten rows were taken out of, it is the folder of what is kept of it.

        Raises:
            StoreError: a file of it is missing.
        """
        target = self.artifact_folder(artifact.asset, artifact.version)
        damaged = _first_damaged(target, artifact)
        redaction = None if damaged is None else self.what_became_of(artifact)
        if redaction is not None:
            if redaction.replaced_by is not None:
                return self.folder(redaction.replaced_by)
            raise StoreError(
                f"{target} was removed on {redaction.at:%Y-%m-%d}, since {len(redaction.ids)} rows in it are forgotten"
            )
        if damaged is not None and self._remote is not None:
            with self.draft() as fresh:
                for file in artifact.files:
                    self._remote.pull(target / file.path, fresh / file.path)
                sync(fresh)
                with self.local.alone():
                    if target.exists() and _first_damaged(target, artifact) is not None:
                        set_aside(target, self.drafts.path())
                    _move_in(fresh, target)
            damaged = _first_damaged(target, artifact)
        if damaged is not None and not target.exists():
            raise StoreError(
                f"{target} is not in the store any more: removed by `smart gc`, or lost; `smart run` makes what is "
                f"wanted of {artifact.asset} again"
            )
        if damaged is not None:
            raise StoreError(
                f"{target / damaged} is missing or cut short though a manifest names it: "
                f"materialize {artifact.asset} again"
            )
        return target

    def is_whole(self, manifest: Manifest) -> bool:
        """Whether all files of a manifest are there with their sizes, or can still be fetched from the remote store."""
        return all(self.has(artifact) for artifact in manifest.artifacts)

    def has(self, artifact: Artifact) -> bool:
        """Whether all files of an artifact are there with their sizes, or can still be fetched."""
        folder = self.artifact_folder(artifact.asset, artifact.version)
        if _first_damaged(folder, artifact) is None:
            return True
        remote_files = self._remote.files(folder) if self._remote is not None else {}
        sizes = {path.relative_to(folder).as_posix(): file.size for path, file in remote_files.items()}
        if all(sizes.get(file.path) == file.size for file in artifact.files):
            return True
        redaction = None if sizes else self.what_became_of(artifact)
        return redaction is not None and redaction.replaced_by is not None and self.has(redaction.replaced_by)

    def what_is_kept(self, artifact: Artifact) -> Artifact:
        """Return the artifact itself, or what is kept of it where forgotten rows were taken out of it.

        Raises:
            StoreError: the record of it cannot be read.
        """
        redaction = self.what_became_of(artifact)
        return artifact if redaction is None or redaction.replaced_by is None else redaction.replaced_by

    def what_became_of(self, artifact: Artifact) -> Redaction | None:
        """Return the redaction of an artifact that does not lie here any more; None where there was none.

        Raises:
            StoreError: its record cannot be read.
        """
        exists = self.artifact_folder(artifact.asset, artifact.version).exists()
        return None if exists else self.redaction(artifact.asset, artifact.version)

    def redaction(self, asset: str, version: str) -> Redaction | None:
        """Return what became of an artifact that forgotten rows were taken out of; None where nothing was.

        Raises:
            StoreError: its record cannot be read.
        """
        entries = records(self, log_of(asset, version))
        try:
            return Redaction.model_validate(entries[-1]) if entries else None
        except ValidationError as error:
            raise StoreError(f"the record of {log_of(asset, version)} is none of ours: restore it: {error}") from error

    def artifact(self, manifest: Manifest) -> Path:
        """Return the local folder of a manifest's artifact."""
        return self.folder(manifest.artifact)

    def file(self, manifest: Manifest, name: str) -> Path:
        """Return one file of a manifest's artifact, in the mirror of a remote store where it is not here yet.

        Raises:
            StoreError: it is missing.
        """
        path = self.artifact_folder(manifest.asset, manifest.content_version) / name
        if path.exists() or self._remote is None:
            return path if path.exists() else self.artifact(manifest) / name
        if self.redaction(manifest.asset, manifest.content_version) is not None:
            return self.artifact(manifest) / name
        single = self.cache_folder("files") / f"{manifest.content_version}-{name}"
        if not single.exists():
            draft = self.drafts.path()
            self._remote.pull(path, draft)
            rename_in(draft, single)
        return single

    def record(self, manifest: Manifest) -> Path:
        """Append a manifest; from now on it is its partition's current state, unless its artifact is refused."""
        folder = self.manifest_folder(manifest.asset, manifest.partition)
        make_folder(folder)
        draft = self.drafts.path(".json")
        try:
            draft.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
            sync(draft)
            with self.local.alone():
                now = datetime.now(UTC).strftime(_STAMP)
                newest = max(self._manifest_names(folder), default="")
                if newest >= now:  # a clock that went back must not make the new manifest an old one
                    now = _a_moment_later(newest)
                path = folder / f"{now}-{manifest.content_version}{REFUSED if manifest.refused else ''}.json"
                if self._remote is not None:
                    self._remote.push(path, draft)
                move(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def history(self, asset: str, partition: str | None, newest: int | None = None) -> list[Manifest]:
        """Return the manifests of a partition, newest first: all of them, or the first `newest`.

        Raises:
            StoreError: a manifest cannot be read.
        """
        return [self.read(path) for path in self._manifest_paths(asset, partition)[:newest]]

    def current(self, asset: str, partition: str | None) -> Manifest | None:
        """Return the newest manifest of a partition, or None before its first materialization."""
        paths = self._manifest_paths(asset, partition)
        return self.read(paths[0]) if paths else None

    def last_refused(self, asset: str, partition: str | None) -> Manifest | None:
        """Return what was refused of a partition after all else that was made of it; None where that was not."""
        paths = self.manifests_in(self.manifest_folder(asset, partition))[:1]
        return next((self.read(path) for path in paths if path.stem.endswith(REFUSED)), None)

    def find(self, asset: str, partition: str | None, version: str) -> Manifest | None:
        """Return the newest manifest of a partition that names a content version."""
        paths = self._manifest_paths(asset, partition)
        return next((self.read(path) for path in paths if path.stem.endswith(f"-{version}")), None)

    def manifest_folders(self) -> list[Path]:
        """Return the folders of all partitions that were ever made, whether or not `smart.yaml` still names them."""
        root = self.root / "manifests"
        if self._remote is not None:
            return sorted({path.parent for path in self._remote.files(root)})
        return sorted(path for path in root.glob("*/*") if path.is_dir())

    def manifests_in(self, folder: Path) -> list[Path]:
        """Return the manifests of a partition's folder, newest first; `read` fetches those that are not here yet."""
        return [folder / name for name in sorted(self._manifest_names(folder), reverse=True)]

    def read(self, path: Path) -> Manifest:
        """Return a manifest from its file, fetched from the remote store where it is not here yet.

        Raises:
            StoreError: it cannot be fetched or read.
        """
        self.fetch(path)
        return _read_manifest(path)

    def fetch(self, path: Path) -> None:
        """Fetch a manifest from the remote store where it is not here yet.

        Raises:
            StoreError: it cannot be fetched.
        """
        if self._remote is not None and not path.exists():
            draft = self.drafts.path(".json")
            self._remote.pull(path, draft)
            rename_in(draft, path)

    def _manifest_paths(self, asset: str, partition: str | None) -> list[Path]:
        """Return the manifests that are or were the partition's state, newest first."""
        paths = self.manifests_in(self.manifest_folder(asset, partition))
        return [path for path in paths if not path.stem.endswith(REFUSED)]

    def _manifest_names(self, folder: Path) -> list[str]:
        if self._remote is not None:
            return [name for name in self._remote.names(folder) if name.endswith(".json")]
        return [path.name for path in folder.glob("*.json")]

    def artifact_folder(self, asset: str, version: str) -> Path:
        """Return where an artifact lies, or would."""
        return self.root / "artifacts" / asset / version

    def manifest_folder(self, asset: str, partition: str | None) -> Path:
        """Return where the manifests of a partition lie."""
        return self.root / "manifests" / asset / ("_" if partition is None else quote(partition, safe=""))


def _a_moment_later(name: str) -> str:
    return (datetime.strptime(name[:23], _STAMP) + timedelta(microseconds=1)).strftime(_STAMP)


def _move_in(folder: Path, target: Path) -> None:
    try:
        if not target.exists():
            move(folder, target)
    except OSError as error:
        if not target.exists():  # without locks, another run may have renamed the same content in between
            raise StoreError(f"{target} cannot be written: {error.strerror}") from error


def _first_damaged(folder: Path, artifact: Artifact) -> str | None:
    """Return the first file that is missing or of another size than when it was written."""
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
            f"the manifest {path} cannot be read: `smart verify --repair` moves it away, and the partition falls back "
            f"to the one before\n{error}"
        ) from error
