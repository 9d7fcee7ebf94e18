"""The circumstances of a making, as its manifest recorded them: when, by what software, with which parameters."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances, made_at

NOT_RECORDED = "not recorded"


def moment(manifest: Manifest) -> str:
    """When it was made, in ISO 8601 with its zone, to the millisecond."""
    return datetime.fromisoformat(made_at(manifest)).isoformat(timespec="milliseconds")


def started(manifest: Manifest) -> str:
    """When the making began, likewise."""
    seconds = Circumstances.read(manifest).seconds
    if seconds is None:
        return NOT_RECORDED
    return (datetime.fromisoformat(made_at(manifest)) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def packages(manifest: Manifest) -> dict[str, str]:
    """The packages that took part, with their versions, sorted by name."""
    return dict(sorted(Circumstances.read(manifest).packages.items()))


def software_version(manifest: Manifest) -> str:
    """The version of SMART Assets that made it."""
    return packages(manifest).get("smart-assets", NOT_RECORDED)


def flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as names with dots and values as JSON, in the order of their names."""
    for name, value in sorted(parameters.items()):
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
