"""The circumstances of a making, as its manifest recorded them: when, by what software, with which parameters."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from smart_assets.store import Manifest


def moment(manifest: Manifest) -> str:
    """When it was made, in ISO 8601 with its zone, to the millisecond."""
    return datetime.fromisoformat(manifest.made["at"]).isoformat(timespec="milliseconds")


def started(manifest: Manifest) -> str:
    """When the making began, likewise."""
    spent = timedelta(seconds=float(manifest.made["seconds"]))
    return (datetime.fromisoformat(manifest.made["at"]) - spent).isoformat(timespec="milliseconds")


def packages(manifest: Manifest) -> dict[str, str]:
    """The packages that took part, with their versions, sorted by name."""
    found: dict[str, Any] = manifest.made.get("packages", {})
    return {name: str(found[name]) for name in sorted(found)}


def software_version(manifest: Manifest) -> str:
    """The version of SMART Assets that made it."""
    return packages(manifest).get("smart-assets", "not recorded")


def flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as names with dots and values as JSON, in the order of their names."""
    for name, value in sorted(parameters.items()):
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
