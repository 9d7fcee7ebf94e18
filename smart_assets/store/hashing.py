"""Content hashes: of one file, of an artifact's files, and of JSON values."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION_LENGTH = 32  # hex digits: 128 bits of sha256, short enough for the UI


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_version(value: Any) -> str:
    """Return a version of any JSON value: 32 hex digits, the same for equal values whatever their keys' order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_LENGTH]


def content_version(files: Mapping[str, str]) -> str:
    """Return the version of an artifact from its files: relative path -> sha256.

    Names and bytes count, times do not.
    """
    return json_version(dict(files))
