"""Append-only logs of JSON records in the store: what people or rules decided, which nothing can make again.

A record is a file of its own, `<log>/<time>-<id>.json`, written beside and renamed in. Its name gives its place: two
machines may append at once, and a clock that went back does not put a new record before an old one.
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from smart_assets.core.errors import StoreError
from smart_assets.core.files import make_folder, move, rename_in, sync
from smart_assets.store.drafts import Drafts
from smart_assets.store.places import LocalPlace
from smart_assets.store.remote import Remote


class LogStore(Protocol):
    """What a log needs of a store."""

    root: Path
    drafts: Drafts
    local: LocalPlace

    @property
    def remote(self) -> Remote | None:
        """What the folder mirrors, for a store on a URL."""
        ...


def append(store: LogStore, log: str, record: Mapping[str, Any]) -> Path:
    """Append a record to the log of a name, which is a folder's path in the store.

    Raises:
        StoreError: it cannot be written, here or in the remote store.
    """
    folder = store.root / log
    try:
        make_folder(folder)
        with store.drafts.open() as drafts:
            draft = drafts / "record.json"
            with draft.open("w", encoding="utf-8") as stream:
                json.dump(record, stream, indent=1, ensure_ascii=False, allow_nan=False)
            sync(draft)
            with store.local.alone():
                path = folder / f"{_time_after(_names(store, log))}-{uuid.uuid4().hex[:12]}.json"
                if store.remote is not None:
                    store.remote.push(path, draft)
                move(draft, path)
    except OSError as error:
        raise StoreError(f"a record cannot be written in {folder}: {error.strerror}") from error
    return path


def records(store: LogStore, log: str) -> list[dict[str, Any]]:
    """Return all records of a log, oldest first; none where nothing was appended.

    Raises:
        StoreError: a record cannot be read.
    """
    paths = [store.root / log / name for name in sorted(_names(store, log))]
    if store.remote is not None:
        for path in paths:
            if not path.exists():
                with store.drafts.open() as drafts:
                    store.remote.pull(path, drafts / path.name)
                    rename_in(drafts / path.name, path)
    return [_read(path) for path in paths]


def now() -> datetime:
    """Return when something is decided or done, in UTC, to the second: what records say of it."""
    return datetime.now(UTC).replace(microsecond=0)


def _names(store: LogStore, log: str) -> list[str]:
    folder = store.root / log
    if store.remote is None:
        return [path.name for path in folder.glob("*.json")]
    return [name for name in store.remote.names(folder) if name.endswith(".json")]


def _time_after(names: Iterable[str]) -> str:
    """Return the time now, or what sorts after the newest name when that is not yet past."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    newest = max(names, default="")
    return newest.split("-")[0] + "~" if newest >= time else time  # "~" sorts after all that a time is written with


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the record {path} cannot be read: restore it, or move it away to undo it: {error}"
        ) from error
    if not isinstance(record, dict):
        raise StoreError(f"the record {path} is no JSON object: restore it, or move it away to undo it")
    return record
