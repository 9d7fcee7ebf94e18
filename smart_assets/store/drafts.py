"""Drafts: where something is written before it is renamed in, and what a killed process left there."""

import platform
import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from smart_assets.core.locks import is_locked, lock_open_file

DAY = 86_400.0
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Drafts:
    """The folder of drafts. Beside each draft lies a lock, which the kernel frees when the draft's process ends."""

    folder: Path

    def path(self, suffix: str = "") -> Path:
        """Return a new name in the folder of drafts."""
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    @contextmanager
    def open(self) -> Generator[Path]:
        """Return a new empty folder; what is still in it at the end is removed."""
        folder = self.path()
        lock = folder.with_suffix(_LOCK)
        with lock.open("x", encoding="utf-8") as stream:
            stream.write(platform.node())
            stream.flush()
            lock_open_file(stream.fileno())
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def started_first(self) -> float | None:
        """Return when the oldest draft began whose process may still live, in seconds since the epoch.

        None without any.
        """
        starts = [_modified(lock) for lock in self.folder.glob(f"*{_LOCK}") if _may_live(lock)]
        return min(starts, default=None)

    def leftovers(self, age: float = DAY) -> list[Path]:
        """Return what processes that are no more left here over `age` seconds ago."""
        locks = list(self.folder.glob(f"*{_LOCK}"))
        abandoned: list[Path] = []
        for lock in locks:
            if not _may_live(lock) and time.time() - _modified(lock) > age:
                abandoned += [path for path in (lock.with_suffix(""), lock) if path.exists()]
        drafts = {path for lock in locks for path in (lock, lock.with_suffix(""))}
        # Moved here to be removed, or a single file on its way: renaming sets the time of the last status change.
        others = [path for path in self.folder.iterdir() if path not in drafts]
        return abandoned + [path for path in others if time.time() - _status_changed(path) > age]


def _may_live(lock: Path) -> bool:
    """Whether the process of a draft may still work on it; another machine's locks do not show everywhere."""
    try:
        with lock.open("r", encoding="utf-8") as stream:
            if is_locked(stream.fileno()):
                return True
            on_this_machine = stream.read() == platform.node()
    except FileNotFoundError:
        return False
    except OSError:  # a file system without locks: by age
        on_this_machine = False
    return not on_this_machine and time.time() - _modified(lock) < 7 * DAY


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _status_changed(path: Path) -> float:
    try:
        return path.lstat().st_ctime
    except FileNotFoundError:
        return time.time()
