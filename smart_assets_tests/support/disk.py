"""What reaches the disk in which order, as a loss of power sees it: every sync and every rename."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Disk:
    """The calls so far: `("sync", inode)` of a file or folder, and `("name", path)` of what was renamed to a path."""

    calls: list[tuple[str, int | str]] = field(default_factory=list)

    def require_durable(self, path: Path) -> None:
        """Check that all bytes of a file or folder were synced before it got its name, and the name after that."""
        named = max(place for place, call in enumerate(self.calls) if call == ("name", str(path)))
        for below in (path, *path.rglob("*")) if path.is_dir() else (path,):
            assert ("sync", below.stat().st_ino) in self.calls[:named], f"{below} got its name before its bytes"
        assert ("sync", path.parent.stat().st_ino) in self.calls[named:], f"the name of {path} may be lost"


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Note syncs and renames from now on."""
    disk = Disk()
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(descriptor: int) -> None:
        disk.calls.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def renamed(move: Any) -> Any:
        def named(old: Any, new: Any) -> None:
            disk.calls.append(("name", str(new)))
            move(old, new)

        return named

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed(rename))
    monkeypatch.setattr(os, "replace", renamed(replace))
    return disk
