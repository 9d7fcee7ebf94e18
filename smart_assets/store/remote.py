"""The other end of a store on an fsspec URL: the same layout, reached by name."""

from pathlib import Path
from typing import Any

import fsspec

from smart_assets.errors import StoreError


class Remote:
    """Copies files between the local mirror `root` and the same paths under an fsspec URL."""

    def __init__(self, url: str, root: Path) -> None:
        try:
            self._files: Any
            self._files, self._base = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"`store: {url}` cannot be opened: {error}") from error
        self._root = root

    def _there(self, path: Path) -> str:
        return f"{self._base}/{path.relative_to(self._root).as_posix()}"

    def push(self, path: Path) -> None:
        """Copy one file of the mirror to the remote."""
        there = self._there(path)
        try:
            self._files.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
            self._files.put_file(str(path), there)
        except OSError as error:
            raise StoreError(f"{there} cannot be written in the remote store: {error}") from error

    def pull(self, path: Path, into: Path) -> None:
        """Copy the remote's counterpart of `path` into the local file `into`."""
        into.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._files.get_file(self._there(path), str(into))
        except OSError as error:  # a missing file among them
            raise StoreError(f"{self._there(path)} cannot be read in the remote store: {error}") from error

    def names(self, folder: Path) -> list[str]:
        """The names of the files in the remote's counterpart of a folder; none where it is not there."""
        there = self._there(folder)
        self._files.invalidate_cache(there)
        try:
            return [name.rsplit("/", 1)[-1] for name in self._files.ls(there, detail=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{there} cannot be listed in the remote store: {error}") from error
