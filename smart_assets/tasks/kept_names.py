"""What kept columns may be called. Light to import, as the settings are."""

from collections.abc import Mapping, Sequence

from smart_assets.tasks import layouts
from smart_assets.tasks.reasons import MEDIA

OWN_NAMES = frozenset(
    {
        "id", "task", "template", "prompt", "response", "messages", "tools", "prompt_hash", "split", "cluster",
        "source", "content_version", "file", "line", "duplicate", "kept", "reason", "excerpt", "rank", "gain", "seed",
        "trained", "budget", "recipe",
    }
)  # fmt: skip
"""Columns of ours that kept columns stand beside: in SQL, exports and audits."""


def names_of(keep: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the columns that are kept by the names under which they are, in the order of the names."""
    columns = keep if isinstance(keep, Mapping) else {name: name for name in keep}
    return dict(sorted(columns.items()))


def require_usable(keep: Sequence[str] | Mapping[str, str]) -> None:
    """Check the names of kept columns.

    Raises:
        ValueError: Two are the same to SQL, one is a column of ours or one that a source is read by, or cannot be
            printed.
    """
    taken = OWN_NAMES | _names_that_are_read()
    seen: set[str] = set()
    for name in keep:
        folded = name.casefold()
        if not name.isprintable() or name != name.strip():
            raise ValueError(f"{name!r} cannot be the name of a kept column: give it another one, {_renamed(name)}")
        if folded in taken:
            raise ValueError(
                f"{name!r} is a column of its own in SQL and exports: keep it under another name, {_renamed(name)}"
            )
        if folded in seen:
            raise ValueError(f"{name!r} is kept twice, whatever its case: name it once, or {_renamed(name)}")
        seen.add(folded)


def _renamed(column: str) -> str:
    return f"`keep: {{NAME: {column!r}}}`"


def _names_that_are_read() -> frozenset[str]:
    """Return the names by which columns are recognized: an export that had one would be read as another row."""
    names = {
        *layouts.SYSTEMS,
        *layouts.TOOLS,
        *layouts.TEMPLATES,
        *layouts.TASKS,
        *layouts.BESIDE,
        *MEDIA,
        layouts.LIKED,
    }
    for layout in layouts.LAYOUTS:
        names |= {*layout.prompt, *layout.extra, *layout.second, *layout.responses, *layout.chats, *layout.needs}
        names |= {layout.history, layout.liked}
    return frozenset(name.casefold() for name in names if name)
