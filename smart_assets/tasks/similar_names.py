"""Names that people cannot tell apart: the same letters in other bytes, or with marks that are not seen."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that look the same, each in order; none where all can be told apart."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[_as_seen(name)].add(name)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def in_words(names: tuple[str, ...]) -> str:
    """Say that task names look the same, with the letters that tell them apart spelled out."""
    spelled = " and ".join(ascii(name) for name in names)
    return f"the tasks {spelled} look the same and are kept apart: rename one if they are meant to be one"


def _as_seen(name: str) -> str:
    seen = unicodedata.normalize("NFKC", name)
    return " ".join("".join(letter for letter in seen if unicodedata.category(letter) != "Cf").split())
