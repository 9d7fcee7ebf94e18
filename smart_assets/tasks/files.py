"""The files of a folder: which there are, and what is in them by hash.

Hashing is by far the most of it, so hashes are remembered in a file between processes, by what the system says of each
file (device, inode, size and times). The time of the last change of an inode cannot be set by hand.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import cast

from smart_assets.core.errors import SourceError
from smart_assets.core.files import written
from smart_assets.tasks.source_kind import NotRead, SourceFile
from smart_assets.tasks.walk import FoundFile, Walk, refusal

_SETTLED_NS = 2_000_000_000
_SMALL = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """All that one walk through a folder finds."""

    files: list[FoundFile]  # sorted by name
    not_read: list[NotRead]  # hidden ones, links and the like
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
        raise refusal(folder, error) from error


def list_folder(folder: Path, follow_links: bool = True) -> Listing:
    """Return all files below a folder, hidden ones (starting with a dot) left out.

    A link to a file or folder inside it is no second one. Those that lead out of it are only taken if `follow_links`.

    Raises:
        SourceError: The folder is missing, not a folder, or cannot be read, two names look the same, a store lies in
            it, or links lead out that may not.
    """
    status = find_folder(folder)
    if status is None:
        raise SourceError(f"folder {folder} does not exist. Create it, or correct the path in the settings.")
    if not stat.S_ISDIR(status.st_mode):
        raise SourceError(f"folder {folder} is a file. Set the path in the settings to the folder that holds it.")
    walk = Walk(folder, follow_links)
    walk.run()
    if walk.links_out:
        raise SourceError(
            f"source folder {folder}: {first_names(walk.links_out)} lead{'s' * (len(walk.links_out) == 1)} out of it. "
            "Set `follow_links: true` if what lies there belongs to the source, or remove the link."
        )
    files = sorted(walk.files, key=lambda file: file.name)
    for first, other in pairwise(files):
        if first.name == other.name:
            raise SourceError(
                f"folder {folder} holds two files whose names look like {first.name}. Rename one of them."
            )
    return Listing(files, walk.not_read, walk.folders_changed_ns)


def list_all(folder: Path, follow_links: bool) -> Listing:
    """Return all files below a source's folder, none of which may be a link that leads nowhere.

    Such a link may be a folder of files, on a disk that is not mounted.

    Raises:
        SourceError: As `list_folder`; or a file cannot be examined.
    """
    listing = list_folder(folder, follow_links)
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
