"""Locks between processes, on files. The kernel frees them when their holder ends, however it ends."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

_POLL_SECONDS = 0.01  # a store's lock is held for milliseconds


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Let one process at a time go on, on this machine and on those that mount its file system with locks."""
    with path.open("a") as stream:
        lock_open_file(stream.fileno())
        yield


def lock_open_file(descriptor: int) -> None:
    """Lock an open file until it is closed; where a file system has no locks, processes are not kept apart."""
    with suppress(OSError):
        lock_descriptor(descriptor, poll_interval=_POLL_SECONDS)


def is_locked(descriptor: int) -> bool:
    """Return whether another holds the lock of an open file; where none does, it is locked until it is closed.

    Raises:
        OSError: the file system has no locks.
    """
    return not lock_descriptor(descriptor, blocking=False)


def try_lock(path: Path) -> FileLock | None:
    """Return the lock of a file, held until it is released, or None where another process holds it.

    Raises:
        OSError: the file cannot be opened, or its file system has no locks.
    """
    # A lock that a file's existence stands for would outlive its holder's kill. Any thread may release this one.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock
