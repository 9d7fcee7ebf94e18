"""Files that are there whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from smart_assets.core.errors import SmartError


def write_beside(out: Path, write: Callable[[Path], None]) -> None:
    """Write a file or a folder beside its place and rename it in, so that it is there whole or not at all.

    Raises:
        SmartError: `out` is a folder with something in it, or it cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise SmartError(f"{out} is a folder with files in it: name a new one")
    beside = out.with_name(f".{uuid.uuid4().hex}")
    try:
        beside.mkdir(parents=True)
        write(beside / out.name)
        os.replace(beside / out.name, out)
    except OSError as error:
        raise SmartError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
