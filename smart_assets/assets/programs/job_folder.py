"""A folder that outlives a killed run: where a long job saves its steps, found again by the job's key."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smart_assets.core.locks import FileLock, try_lock


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of one job while this process works on it; `lock` is None for one that is not shared."""

    folder: Path
    lock: FileLock | None

    def leave(self) -> None:
        """Let go of it: whoever comes next finds what was saved."""
        if self.lock is not None:
            self.lock.release()

    def clear(self) -> None:
        """Remove it: what was made in it is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.lock is not None:
            with suppress(FileNotFoundError):
                Path(self.lock.lock_file).unlink()
        self.leave()


def workplace(root: Path, key: str, scratch: Path) -> Workplace:
    """Return the folder of a key under `root`; where another process is at work there, a new one in `scratch`.

    The kernel lets go of it when this process ends, however it ends.
    """
    lock = try_lock(root / f"{key}.lock")
    folder = scratch / f"job-{key[:12]}" if lock is None else root / key
    folder.mkdir(parents=True, exist_ok=True)
    return Workplace(folder, lock)
