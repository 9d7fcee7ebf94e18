"""Artifacts put into a store by hand, and a store that grows older than the test that made it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import json_version
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage, remove_garbage


def write_and_commit(store: Store, files: dict[str, bytes], asset: str = "raw_tasks") -> Artifact:
    with store.draft() as folder:
        content = folder / "content"
        for name, text in files.items():
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(text)
        content.mkdir(exist_ok=True)
        return store.commit(asset, content)


def manifest_of(artifact: Artifact, partition: str | None = "sample") -> Manifest:
    return Manifest(
        asset=artifact.asset,
        partition=partition,
        content_version=artifact.version,
        fingerprint=json_version({"inputs": {}, "outside": {}, "parameters": {}, "code": "1"}),
        inputs={},
        parameters={},
        code_version="1",
        files=artifact.files,
    )


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


def collect(store: Store, retention: Retention | None = None, pinned: frozenset[str] = frozenset()) -> list[str]:
    """Collect a store's garbage; gives what it was and why it went."""
    removed = remove_garbage(find_garbage(store, retention or Retention(newest=1, days=30), pinned))
    return [f"{item.what}: {item.why}" for item in removed]
