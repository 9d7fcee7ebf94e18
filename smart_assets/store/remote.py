"""The other end of a store on an fsspec URL: the same layout, reached by name."""

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import fsspec

from smart_assets.core.errors import StoreError
from smart_assets.store.places import Found

_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")  # as the file systems of fsspec call it


class Remote:
    """The files under an fsspec URL, asked for by the paths that they have in the local mirror `root`."""

    def __init__(self, url: str, root: Path) -> None:
        try:
            self._files: Any
            self._files, self._base = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"`store: {url}` cannot be opened: {error}") from error
        self._root = root
        self._made: set[str] = set()  # folders

    def _remote_path(self, path: Path) -> str:
        return f"{self._base}/{path.relative_to(self._root).as_posix()}"

    def _local_path(self, name: str) -> Path:
        return self._root / name.removeprefix(f"{self._base}/")

    def push(self, path: Path, source: Path | None = None) -> None:
        """Copy one file of the mirror, or `source` in its stead, to the remote."""
        remote_path = self._remote_path(path)
        with store_error(f"{remote_path} cannot be written in the remote store"):
            self._make_folder(remote_path)
            self._files.put_file(str(source or path), remote_path)

    def _make_folder(self, name: str) -> None:
        folder = name.rsplit("/", 1)[0]
        if folder not in self._made:  # an object store has none, and is asked for its bucket every time
            self._files.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    def pull(self, path: Path, into: Path) -> None:
        """Copy the remote's counterpart of `path` into the local file `into`."""
        into.parent.mkdir(parents=True, exist_ok=True)
        remote_path = self._remote_path(path)
        with store_error(f"{remote_path} cannot be read in the remote store"):
            try:
                self._files.get_file(remote_path, str(into))
            except FileNotFoundError as error:
                raise StoreError(
                    f"{remote_path} is not in the remote store any more: removed by `smart gc`, or lost"
                ) from error

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in the remote's counterpart of a folder; none where it is not there."""
        remote_path = self._remote_path(folder)
        with store_error(f"{remote_path} cannot be listed in the remote store"):
            self._files.invalidate_cache()
            try:
                return [name.rsplit("/", 1)[-1] for name in self._files.ls(remote_path, detail=False)]
            except FileNotFoundError:
                return []

    def files(self, folder: Path) -> dict[Path, Found]:
        """Return all files below a folder, or the one file; none where it is not there (1,000 files a request)."""
        remote_path = self._remote_path(folder)
        with store_error(f"{remote_path} cannot be listed in the remote store"):
            self._files.invalidate_cache()
            try:
                entries: Mapping[str, Mapping[str, Any]] = self._files.find(remote_path, detail=True)
            except FileNotFoundError:
                return {}
            return {
                self._local_path(name): Found(int(entry["size"]), self._modified(name, entry))
                for name, entry in entries.items()
            }

    def _modified(self, name: str, entry: Mapping[str, Any]) -> float:
        modified = recorded_time(entry)
        if isinstance(modified, str):
            modified = datetime.fromisoformat(modified)
        if modified is None:
            modified = self._files.modified(name)
        return float(modified) if isinstance(modified, int | float) else modified.timestamp()

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's bytes, which are all read.

        Raises:
            StoreError: it cannot be read.
        """
        digest = hashlib.sha256()
        remote_path = self._remote_path(path)
        with (
            store_error(f"{remote_path} cannot be read in the remote store"),
            self._files.open(remote_path, "rb") as stream,
        ):
            while block := stream.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()

    def move(self, path: Path, to: Path) -> None:
        """Move a file or folder within the remote store."""
        with store_error(f"{self._remote_path(path)} cannot be moved to {self._remote_path(to)} in the remote store"):
            for file in self.files(path):
                remote_path = self._remote_path(to / file.relative_to(path))
                self._make_folder(remote_path)
                self._files.mv(self._remote_path(file), remote_path)

    def remove(self, path: Path, modified: float | None = None) -> bool:
        """Remove a file or folder, unless a file of it was written again after `modified`; gives whether it is gone."""
        with store_error(f"{self._remote_path(path)} cannot be removed from the remote store"):
            if modified is not None and any(file.modified > modified for file in self.files(path).values()):
                return False
            self._files.rm(self._remote_path(path), recursive=True)
            return True


class ListedRemote(Remote):
    """A remote as it is at one moment: all manifests are listed at once, and artifacts once for each asset."""

    def __init__(self, remote: Remote) -> None:
        self._files, self._base, self._root, self._made = remote._files, remote._base, remote._root, remote._made
        self._all = cache(super().files)

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in the remote's counterpart of a folder."""
        return [path.name for path in self._all(self._top(folder)) if path.parent == folder]

    def files(self, folder: Path) -> dict[Path, Found]:
        """Return all files below a folder."""
        return {path: file for path, file in self._all(self._top(folder)).items() if folder in path.parents}

    def _top(self, folder: Path) -> Path:
        """Return `manifests` as a whole, `artifacts` by asset."""
        parts = folder.relative_to(self._root).parts
        return self._root.joinpath(*parts[: 1 if parts[0] == "manifests" else 2])


def recorded_time(entry: Mapping[str, Any]) -> Any:
    """Return when a file last changed, in the form of its file system: a time, text or seconds; None: not told."""
    return next((entry[key] for key in _TIMES if entry.get(key) is not None), None)


@contextmanager
def store_error(what: str) -> Generator[None]:
    """Turn whatever a file system raises into one sentence; each has errors of its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{what}: {error or type(error).__name__}") from error
