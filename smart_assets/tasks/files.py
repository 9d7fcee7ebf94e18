"""The files of a folder: which there are, and what is in them by hash."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from smart_assets.errors import SourceError
from smart_assets.tasks.collection import SourceFile

_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a source, and the name it goes by everywhere."""

    path: Path
    name: str  # relative to the folder; what cannot be printed is escaped, so that it can be stored and shown

    @property
    def stem(self) -> str:
        """The name without folders and ending: the task, where no column names it."""
        return PurePosixPath(self.name).stem

    def hashed(self) -> SourceFile:
        """Return the file's hash and size as of now; an unreadable file has neither."""
        try:
            stat = self.path.stat()
            return SourceFile(self.name, _sha256(self.path, stat), stat.st_size)
        except OSError:
            return SourceFile(self.name, "", 0)


def find_files(folder: Path) -> list[FoundFile]:
    """Return all files below a folder by name, linked ones too, hidden ones (starting with a dot) left out.

    Raises:
        SourceError: The folder is missing, not a folder, or cannot be read.
    """
    if not folder.exists():
        raise SourceError(f"folder {folder} does not exist. Create it, or correct the path in the settings.")
    if not folder.is_dir():
        raise SourceError(f"folder {folder} is a file. Set the path in the settings to the folder that holds it.")
    return sorted(_walk(folder), key=lambda file: file.name)


def folder_state(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its name, "" for one that cannot be read.

    Raises:
        SourceError: As `find_files`.
    """
    return {file.path: file.sha256 for file in (found.hashed() for found in find_files(folder))}


def _walk(folder: Path) -> Iterator[FoundFile]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"folder {error.filename} cannot be read: {error.strerror}. Grant access to it.") from error

    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                path = Path(parent, name)
                yield FoundFile(path, _printable(path.relative_to(folder).as_posix()))


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


def _sha256(path: Path, stat: os.stat_result) -> str:
    """Return the SHA-256 of a file, remembered for as long as nothing touches it.

    A file changed a moment ago could change again within the clock's grain, its stamp the same, so it is not.
    """
    changed = max(stat.st_mtime_ns, stat.st_ctime_ns)
    stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    settled = time.time_ns() - changed > _SETTLED_NS
    return _remembered_hash(path, stamp) if settled else _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1 << 16)
def _remembered_hash(path: Path, stamp: tuple[int, ...]) -> str:  # noqa: ARG001 - the stamp is part of the key
    return _hash(path)
