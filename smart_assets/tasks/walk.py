"""One walk through a folder: every file once, every folder once, whatever links lead to it, so that it ends."""

import heapq
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from smart_assets.core.errors import SourceError
from smart_assets.store.places import is_store
from smart_assets.tasks.file_names import DUPLICATE_LINK, HIDDEN, LINK_OUT, SPECIAL, parse_name
from smart_assets.tasks.source_kind import NotRead

_MOST_ENTRIES = 1_000_000  # a folder of task files has fewer; a system's own tree has more, or no end

_Inode = tuple[int, int]  # device and number


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a source, and the name it goes by everywhere."""

    path: str
    name: str  # relative to the folder; what cannot be printed is escaped, so that it can be stored and shown
    status: os.stat_result | None  # None where it cannot be examined

    @property
    def suffix(self) -> str:
        """The last ending in small letters, with its dot."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def changed_ns(self) -> int:
        """When it was last changed in any way, in nanoseconds since 1970; 0 where it cannot be examined."""
        return self.status.st_ctime_ns if self.status else 0


@dataclass(slots=True)
class Walk:
    """What lies below a folder. A link to a file or folder inside it is no second one; those that lead out are named.

    Links are followed when all else is known, by their names: so the same one of several is taken every time.
    """

    top: Path
    follow_links: bool  # those that lead out of the folder
    files: list[FoundFile] = field(default_factory=list[FoundFile])
    not_read: list[NotRead] = field(default_factory=list[NotRead])
    links_out: list[str] = field(default_factory=list[str])  # names of task files and folders outside, not followed
    folders_changed_ns: int = 0
    _links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # name and path
    _folders: set[_Inode] = field(default_factory=set[_Inode])
    _files: set[_Inode] = field(default_factory=set[_Inode])

    def run(self) -> None:
        """Walk.

        Raises:
            SourceError: A folder cannot be read, a store lies in it, or there is no end of entries.
        """
        self._walk(str(self.top), "")
        while self._links:
            self._follow(*heapq.heappop(self._links))

    def _walk(self, top: str, name: str) -> None:
        left = [(top, name)]
        while left:
            left += self._enter(*left.pop())

    def _enter(self, folder: str, prefix: str) -> list[tuple[str, str]]:
        """Take what lies in a folder; return the folders in it."""
        try:
            status = os.stat(folder)
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            raise refusal(folder, error) from error
        self.folders_changed_ns = max(self.folders_changed_ns, status.st_ctime_ns)
        if _inode(status) in self._folders:
            return []
        self._folders.add(_inode(status))
        self._require_an_end(len(inside))
        below = [self._take(entry, prefix + printable(entry.name)) for entry in inside]
        folders = [(entry.path, f"{name}/") for entry, name in zip(inside, below, strict=True) if name]
        if is_store({entry.name for entry, name in zip(inside, below, strict=True) if name}):
            raise SourceError(
                f"source folder {self.top}: {prefix or 'it'} is a store, whose files are no task files. Set `path` of "
                "the source to the folder of the task files, or `store:` to a folder outside it."
            )
        return folders

    def _take(self, entry: os.DirEntry[str], name: str) -> str:
        """Take one entry, and return its name if it is a folder to be entered."""
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # removed since its folder was read
                self.files.append(FoundFile(entry.path, name, None))
            return ""
        is_folder = stat.S_ISDIR(status.st_mode)
        if entry.name.startswith("."):
            self.not_read.append(NotRead(f"{name}/" if is_folder else name, HIDDEN))
        elif is_folder:
            return name
        elif stat.S_ISLNK(status.st_mode):
            heapq.heappush(self._links, (name, entry.path))
        else:
            self._add(FoundFile(entry.path, name, status), status)
        return ""

    def _add(self, file: FoundFile, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.not_read.append(NotRead(file.name, SPECIAL))
            return
        if status.st_nlink == 1 and _inode(status) in self._files:  # in a folder that a link leads to
            self.not_read.append(NotRead(file.name, DUPLICATE_LINK))
            return
        self._files.add(_inode(status))
        self.files.append(file)

    def _follow(self, name: str, path: str) -> None:
        try:
            status = os.stat(path)
        except OSError:
            self.files.append(FoundFile(path, name, None))  # it leads nowhere, or in a circle
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        shown = f"{name}/" if is_folder else name
        if _inode(status) in (self._folders if is_folder else self._files):
            self.not_read.append(NotRead(shown, DUPLICATE_LINK))
        elif not self.follow_links and self._leads_out(path):
            if is_folder or parse_name(name).format:
                self.links_out.append(shown)
            else:
                self.not_read.append(NotRead(name, LINK_OUT))
        elif is_folder:
            self._walk(path, shown)
        else:
            self._add(FoundFile(path, name, status), status)

    def _leads_out(self, path: str) -> bool:
        return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.top))

    def _require_an_end(self, entries: int) -> None:
        total = len(self.files) + len(self.not_read) + len(self._links) + len(self._folders) + entries
        if total > _MOST_ENTRIES:
            raise SourceError(
                f"source folder {self.top} holds more than {_MOST_ENTRIES:,} files and folders. Correct the path, or "
                "take out the link that leads to all of them."
            )


def refusal(folder: object, error: OSError) -> SourceError:
    """Return the error of a folder that the system does not let us read."""
    return SourceError(f"folder {folder} cannot be read: {error.strerror}. Grant access to it, or mount its disk.")


def printable(name: str) -> str:
    """Return a name with what cannot be printed escaped."""
    return name if name.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def _inode(status: os.stat_result) -> _Inode:
    return status.st_dev, status.st_ino
