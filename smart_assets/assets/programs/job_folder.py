"""A folder that outlives a killed run: where a long job saves its steps, found again by the job's key."""

import fcntl
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of one job while this process works on it; `lock` is None for one that is not shared."""

    folder: Path
    lock: IO[str] | None

    def leave(self) -> None:
        """Let go of it: whoever comes next finds what was saved."""
        if self.lock is not None:
            self.lock.close()

    def clear(self) -> None:
        """Remove it: what was made in it is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.lock is not None:
            with suppress(FileNotFoundError):
                Path(self.lock.name).unlink()
        self.leave()


def workplace(root: Path, key: str, scratch: Path) -> Workplace:
    """The folder of a key under `root`; where another process is at work there, a new one in `scratch`.

    The kernel lets go of it when this process ends, however it ends.
    """
    lock = (root / f"{key}.lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        folder, held = scratch / f"job-{key[:12]}", None
    else:
        folder, held = root / key, lock
    folder.mkdir(parents=True, exist_ok=True)
    return Workplace(folder, held)
