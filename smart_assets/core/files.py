"""Files that are there whole or not at all, through a kill and through a loss of power.

What is written lies beside its place first. Its bytes are on the disk before it is renamed in, and the rename is on the
disk before anything that relies on it is written.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from smart_assets.core.errors import SmartError

_CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP)


@contextmanager
def written(path: Path) -> Generator[Path]:
    """Give a place for a file or folder that takes the place of `path` when the block ends well.

    The place has the same name, in a hidden folder beside `path`; the block makes the file or folder itself.

    Raises:
        OSError: it cannot be written, or `path` is a folder with something in it.
    """
    with _beside(path) as draft:
        yield draft
        rename_in(draft, path)


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Give a new folder that becomes `path` when the block ends well and is removed otherwise.

    Where another process made `path` in the meantime, that one stays: name folders so that equal names mean equal
    content, or so that nobody else writes them.
    """
    with _beside(path) as draft:
        draft.mkdir()
        yield draft
        try:
            rename_in(draft, path)
        except OSError:
            if not path.exists():
                raise


def write_beside(out: Path, write: Callable[[Path], None]) -> None:
    """Write a file or a folder that a user named.

    Raises:
        SmartError: `out` is a folder with something in it, or it cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise SmartError(f"{out} is a folder with files in it: name a new one")
    try:
        with written(out) as draft:
            write(draft)
    except OSError as error:
        raise SmartError(f"{out} cannot be written: {error.strerror}") from error


def rename_in(draft: Path, path: Path) -> None:
    """Bring a draft's bytes to the disk, then rename it to `path`; what is there already is replaced if it is a file.

    Raises:
        OSError: it cannot be done, or `path` is a folder with something in it.
    """
    sync(draft)
    move(draft, path)


def sync(path: Path) -> None:
    """Bring the bytes of a file to the disk, or those of all files in a folder and their names."""
    if path.is_dir():
        for parent, _, names in os.walk(path, topdown=False):
            for name in names:
                _sync_file(Path(parent) / name)
            _sync_folder(Path(parent))
    else:
        _sync_file(path)


def move(path: Path, to: Path) -> None:
    """Rename a file or folder whose bytes are on the disk; folders above `to` are made."""
    make_folder(to.parent)
    os.replace(path, to)
    _sync_folder(to.parent)


def set_aside(path: Path, to: Path) -> None:
    """Rename a file or folder that is to be removed; after a loss of power it may be back."""
    os.replace(path, to)


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are not there, on the disk too."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


@contextmanager
def _beside(path: Path) -> Generator[Path]:
    hidden = path.with_name(f".{uuid.uuid4().hex}")
    try:
        make_folder(path.parent)
        hidden.mkdir()
        yield hidden / path.name
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _sync_file(path: Path) -> None:
    if not path.is_symlink():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    with suppress(FileNotFoundError):  # another process may remove what it no longer needs
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:  # some network file systems sync files alone
            if error.errno not in _CANNOT_SYNC_FOLDERS:
                raise
        finally:
            os.close(descriptor)
