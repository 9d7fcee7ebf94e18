"""Letting a store grow older than the test that made it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smart_assets.store import Store


def grow_older(store: Store, days: float) -> None:
    """As if everything in a store's folder had happened so many days earlier; a remote's manifests keep their time."""
    for path in [*store.root.rglob("*")]:
        if path.is_file():
            earlier = path.stat().st_mtime - days * 86_400
            os.utime(path, (earlier, earlier))
    for path in [] if store.remote else [*store.root.glob("manifests/*/*/*.json")]:
        path.rename(_earlier(path, days))


def _earlier(path: Path, days: float) -> Path:
    at = datetime.strptime(path.name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - timedelta(days=days)
    return path.with_name(f"{at:%Y%m%dT%H%M%S}{path.name[15:]}")
