"""Folders on fsspec URLs that are read: their files by name, each with what the store says of its state, fetched once.

A state is what changes whenever content does: an ETag, a hash, a generation, or else the time of the last change. It
names the file's copy on this machine, so that nothing is fetched twice and nothing stale is read.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smart_assets.core.errors import StoreError
from smart_assets.core.files import written
from smart_assets.store.remote import recorded_time, store_error

_LOCAL = "file://"
_HASHES = ("ETag", "etag", "md5Hash", "md5", "content_md5", "checksum", "generation", "VersionId", "blob_id")
_AT_ONCE = 8  # files that are fetched
_KEPT = 86_400  # seconds that a copy stays which no file has any more: another process may read it


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file below a URL."""

    name: str  # relative to the URL
    size: int  # bytes
    state: str  # "" where the store says nothing by which a change would show
    modified: datetime | None


def is_url(text: str) -> bool:
    """Return whether a path in the settings is a URL, and not one of this machine's files."""
    return "://" in text and not text.startswith(_LOCAL)


def without_scheme(text: str) -> str:
    """Return a path of this machine's files that may be written as a URL."""
    return text.removeprefix(_LOCAL)


def checked_url(text: str) -> str:
    """Return a path or URL, which manifests will record.

    Raises:
        ValueError: It holds credentials, or is several in one.
    """
    if is_url(text):
        parts = urlsplit(text)
        if parts.password or parts.query or parts.fragment or "::" in text:
            raise ValueError(
                "a URL may hold no password, query, fragment or `::`, since manifests record it: credentials belong in "
                "the environment or in the configuration of fsspec"
            )
    return text


class UrlFolder:
    """A folder on an fsspec URL.

    Raises:
        StoreError: Its file system cannot be opened.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        try:
            self._files: Any
            self._files, base = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise StoreError(f"{url} cannot be opened: {error}. Install the package of its file system.") from error
        self._base = base.rstrip("/")

    def files(self) -> list[UrlFile]:
        """Return all files below the URL, by name.

        Raises:
            StoreError: It is not there, is a file, or cannot be listed.
        """
        with store_error(f"{self.url} cannot be listed"):
            self._files.invalidate_cache()
            entries: Mapping[str, Mapping[str, Any]] = self._files.find(self._base, detail=True)
        if not entries or set(entries) == {self._base}:
            kind = "a file" if entries else "not there, or empty"
            raise StoreError(f"{self.url} is {kind}. Name the folder that holds the files.")
        names = {name.removeprefix(f"{self._base}/"): entry for name, entry in entries.items()}
        return [_url_file(name, names[name]) for name in sorted(names) if not name.endswith("/")]

    def fetched(self, files: Sequence[UrlFile], cache: Path) -> list[Path]:
        """Return copies of some files on this machine, fetched where they are not there in this state.

        Raises:
            StoreError: A file cannot be read.
        """
        cache.mkdir(parents=True, exist_ok=True)
        paths = [cache / self._copy_of(file) for file in files]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._fetch_once, files, paths))
        _remove_old(cache, frozenset(paths))
        return paths

    def fetch(self, file: UrlFile, into: Path) -> None:
        """Copy a file into a local one.

        Raises:
            StoreError: It cannot be read.
        """
        with store_error(f"{self.url}: {file.name} cannot be read"):
            self._files.get_file(f"{self._base}/{file.name}", str(into))

    def _fetch_once(self, file: UrlFile, path: Path) -> None:
        if not file.state or not path.exists() or path.stat().st_size != file.size:
            with written(path) as draft:
                self.fetch(file, draft)

    def _copy_of(self, file: UrlFile) -> str:
        return hashlib.sha256("\0".join([self.url, file.name, file.state]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of files on this machine. Without a cache they go when this does."""

    paths: tuple[Path, ...]
    _held: object = None


def copies_of(folder: UrlFolder, files: Sequence[UrlFile], cache: Path | None) -> Copies:
    """Return copies of some files, in a cache or for now.

    Raises:
        StoreError: A file cannot be read.
    """
    if cache is not None:
        return Copies(tuple(folder.fetched(files, cache)))
    held = tempfile.TemporaryDirectory(prefix="smart-files-")  # lasts as long as somebody holds it
    return Copies(tuple(folder.fetched(files, Path(held.name))), held)


def _url_file(name: str, entry: Mapping[str, Any]) -> UrlFile:
    size = int(entry.get("size") or 0)
    hashes = {key: str(entry[key]) for key in _HASHES if entry.get(key) is not None}
    modified = recorded_time(entry)
    state = hashes or ({"modified": str(modified)} if modified is not None else {})
    return UrlFile(name, size, json.dumps([size, state], sort_keys=True) if state else "", _moment(modified))


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _remove_old(cache: Path, used: frozenset[Path]) -> None:
    for path in cache.iterdir():
        with suppress(OSError):
            if path not in used and path.is_file() and path.stat().st_mtime < time.time() - _KEPT:
                path.unlink()
