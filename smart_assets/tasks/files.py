"""The files of a folder: which there are, and what is in them by hash.

Hashing is by far the most of it, so hashes are remembered in a file between processes, by what the system says of each
file (device, inode, size and times). The time of the last change of an inode cannot be set by hand.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import cast

from smart_assets.core.errors import SourceError
from smart_assets.core.files import written
from smart_assets.tasks.source_kind import SourceFile

_SETTLED_NS = 2_000_000_000
_SMALL = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a source, and the name it goes by everywhere."""

    path: str
    name: str  # relative to the folder; what cannot be printed is escaped, so that it can be stored and shown
    status: os.stat_result | None  # None where it cannot be examined

    @property
    def stem(self) -> str:
        """The name without folders and ending: the task, where no column names it."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending in small letters, with its dot."""
        return os.path.splitext(self.name)[1].lower()

    @property
    def changed_ns(self) -> int:
        """When it was last changed in any way, in nanoseconds since 1970; 0 where it cannot be examined."""
        return self.status.st_ctime_ns if self.status else 0


@dataclass(frozen=True, slots=True)
class Listing:
    """All that one walk through a folder finds."""

    files: list[FoundFile]  # sorted by name
    folders_changed_ns: int  # when a folder last changed: a file came, went, or was given another name

    def last_change(self, files: Sequence[FoundFile]) -> datetime:
        """Return when one of some files, or a folder, last changed in any way."""
        newest = max([self.folders_changed_ns, *(file.changed_ns for file in files)])
        return datetime.fromtimestamp(newest / 1e9, UTC)


def find_folder(folder: Path) -> os.stat_result | None:
    """Return the status of a folder, or of what else goes by its name; None where there is nothing.

    Raises:
        SourceError: It cannot be told, as where its disk does not answer.
    """
    try:
        return os.stat(folder)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no file can have such a name
        return None
    except OSError as error:
        raise _refusal(folder, error) from error


def list_folder(folder: Path) -> Listing:
    """Return all files below a folder, linked ones too, hidden ones (starting with a dot) left out.

    Raises:
        SourceError: The folder is missing, not a folder, or cannot be read, or two names look the same.
    """
    status = find_folder(folder)
    if status is None:
        raise SourceError(f"folder {folder} does not exist. Create it, or correct the path in the settings.")
    if not stat.S_ISDIR(status.st_mode):
        raise SourceError(f"folder {folder} is a file. Set the path in the settings to the folder that holds it.")
    files: list[FoundFile] = []
    changed = 0
    for below, entries in _walk(str(folder)):
        changed = max(changed, below.st_ctime_ns)
        files += entries
    files.sort(key=lambda file: file.name)
    for first, other in pairwise(files):
        if first.name == other.name:
            raise SourceError(
                f"folder {folder} holds two files whose names look like {first.name}. Rename one of them."
            )
    return Listing(files, changed)


def list_all(folder: Path) -> Listing:
    """Return all files below a folder, none of which may be a link that leads nowhere: it may be a folder of files.

    Raises:
        SourceError: As `list_folder`; or a file cannot be examined.
    """
    listing = list_folder(folder)
    if lost := [file.name for file in listing.files if file.status is None]:
        raise SourceError(
            f"source folder {folder}: {first_names(lost)} cannot be examined. Mount its disk, or remove the link."
        )
    return listing


def first_names(names: Sequence[str]) -> str:
    """Return some names as one text, of many only the first three."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def hashed(files: Sequence[FoundFile], memory: Path | None = None) -> tuple[SourceFile, ...]:
    """Return the hash and size of each file, in their order; an unreadable one has neither.

    Args:
        files: As `list_folder` found them.
        memory: A file of hashes by stamp, read and brought up to date; what is wrong with it only costs time.
    """
    known = _recall(memory) if memory else {}
    settled: dict[str, str] = {}
    result: list[SourceFile] = []
    for file in files:
        stamp = _stamp(file.status) if file.status else ""
        sha256 = known.get(stamp) or _hash(file)
        result.append(SourceFile(file.name, sha256, file.status.st_size if file.status and sha256 else 0))
        # A file changed a moment ago could change again within the clock's grain, its stamp the same.
        if sha256 and abs(time.time_ns() - file.changed_ns) > _SETTLED_NS:
            settled[stamp] = sha256
    if memory and settled != known:
        _remember(memory, settled)
    return tuple(result)


def is_as_found(file: FoundFile) -> bool:
    """Return whether nothing touched a file since it was found."""
    try:
        return file.status is not None and _stamp(os.stat(file.path)) == _stamp(file.status)
    except OSError:
        return False


def folder_state(folder: Path, memory: Path | None = None) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its name, "" for one that cannot be read.

    Raises:
        SourceError: As `list_folder`.
    """
    return {file.path: file.sha256 for file in hashed(list_folder(folder).files, memory)}


def _walk(top: str) -> Iterator[tuple[os.stat_result, list[FoundFile]]]:
    """Yield the status and the files of each folder; one that links to a folder it lies in is not entered again."""
    left: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(top, "", frozenset())]
    while left:
        folder, prefix, above = left.pop()
        try:
            status = os.stat(folder)
            with os.scandir(folder) as entries:
                found = [(entry, _status(entry)) for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise _refusal(folder, error) from error
        inside = above | {(status.st_dev, status.st_ino)}
        files: list[FoundFile] = []
        for entry, status_of_entry in found:
            if status_of_entry is not None and stat.S_ISDIR(status_of_entry.st_mode):
                if (status_of_entry.st_dev, status_of_entry.st_ino) not in inside:
                    left.append((entry.path, f"{prefix}{entry.name}/", inside))
            elif not _is_gone(entry) if status_of_entry is None else stat.S_ISREG(status_of_entry.st_mode):
                files.append(FoundFile(entry.path, _printable(prefix + entry.name), status_of_entry))
        yield status, files


def _refusal(folder: object, error: OSError) -> SourceError:
    return SourceError(f"folder {folder} cannot be read: {error.strerror}. Grant access to it, or mount its disk.")


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _is_gone(entry: os.DirEntry[str]) -> bool:
    """Return whether a file was removed since its folder was read; a link that leads nowhere is still there."""
    try:
        os.lstat(entry.path)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _printable(name: str) -> str:
    return name if name.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _hash(file: FoundFile) -> str:
    try:
        with open(file.path, "rb") as stream:
            if file.status is not None and file.status.st_size < _SMALL:
                return hashlib.sha256(stream.read()).hexdigest()
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _recall(memory: Path) -> dict[str, str]:
    try:
        content = json.loads(memory.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    known = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    return {stamp: sha256 for stamp, sha256 in known.items() if isinstance(sha256, str)}


def _remember(memory: Path, hashes: dict[str, str]) -> None:
    with suppress(OSError), written(memory) as draft:  # a full disk is no reason not to tell the state
        draft.write_text(json.dumps(hashes), encoding="utf-8")
