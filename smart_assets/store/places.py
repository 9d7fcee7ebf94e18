"""Where a store's files lie: its folder, and for a store on a URL the remote. Both are asked by paths of the folder."""

import os
import shutil
from collections.abc import Generator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smart_assets.core.files import move, set_aside
from smart_assets.core.locks import locked
from smart_assets.store.drafts import Drafts
from smart_assets.store.hashing import file_sha256

_IN_A_STORE = frozenset({"artifacts", "manifests"})


def is_store(folders: Set[str]) -> bool:
    """Return whether a folder that holds folders of these names is a store."""
    return folders >= _IN_A_STORE


@dataclass(frozen=True, slots=True)
class Found:
    """A file that lies in a place."""

    size: int  # bytes
    modified: float  # seconds since the epoch


class Place(Protocol):
    """One copy of a store."""

    def files(self, folder: Path) -> dict[Path, Found]:
        """Return all files below a folder, or the one file; none where it is not there."""
        ...

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's bytes.

        Raises:
            OSError, StoreError: it cannot be read.
        """
        ...

    def move(self, path: Path, to: Path) -> None:
        """Move a file or folder within the place."""
        ...

    def remove(self, path: Path, modified: float | None = None) -> bool:
        """Remove a file or folder, unless a file of it was written after `modified`; gives whether it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """The folder of a store, or the mirror of a remote one. What is removed leaves its place in one step."""

    root: Path
    drafts: Drafts

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold the store's lock: one process at a time names manifests, and moves artifacts in and away."""
        with locked(self.root / "lock"):
            yield

    def files(self, folder: Path) -> dict[Path, Found]:
        """Return all files below a folder, or the one file; none where it is not there."""
        files: dict[Path, Found] = {}
        below = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
        for path in below if folder.is_dir() else [folder]:
            with suppress(FileNotFoundError):  # never there, or removed since it was listed
                stat = path.stat(follow_symlinks=False)
                files[path] = Found(stat.st_size, stat.st_mtime)
        return files

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's bytes."""
        return file_sha256(path)

    def move(self, path: Path, to: Path) -> None:
        """Move a file or folder within the place."""
        with self.alone():
            if path.exists():
                move(path, to)

    def remove(self, path: Path, modified: float | None = None) -> bool:
        """Remove a file or folder, unless a file of it was written after `modified`; gives whether it is gone."""
        away = self.drafts.path()
        with self.alone():
            if modified is not None and any(file.modified > modified for file in self.files(path).values()):
                return False
            if path.exists():
                set_aside(path, away)
        if away.is_dir():
            shutil.rmtree(away, ignore_errors=True)
        else:
            away.unlink(missing_ok=True)
        return True
