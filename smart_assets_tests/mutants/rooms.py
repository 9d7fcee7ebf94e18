"""The rooms where a wrong result harms most, and the tests that should notice: the room's own first."""

import random
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from smart_assets_tests.mutants.mutations import Mutation, find_mutations

PROJECT = Path(__file__).parents[2]

ROOMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tombstones": (
        ("tasks/tombstones.py", "tasks/forgotten.py"),
        ("tasks/test_tombstones.py", "forgetting/test_exports.py"),
    ),
    "forgetting": (("forgetting",), ("forgetting/test_exports.py", "forgetting/test_one_artifact.py", "forgetting")),
    "redaction": (
        ("forgetting/redact.py", "store/redaction.py", "forgetting/removal.py"),
        ("forgetting/test_one_artifact.py", "forgetting/test_redactions.py", "forgetting/test_removal.py"),
    ),
    "store": (
        ("store",),
        ("store/test_redacted.py", "store/test_places.py", "store/test_store.py", "store/test_log.py", "upkeep"),
    ),
    "gc": (("upkeep/gc.py",), ("upkeep/test_gc.py",)),
    "verify": (("upkeep/verify.py",), ("upkeep/test_verify.py", "forgetting/test_redactions.py")),
    "promotion": (("promotion",), ("promotion",)),
    "contamination": (("contamination",), ("settings/test_defaults.py", "contamination")),
    "plan": (("planning/plan.py",), ("planning/test_plan_words.py", "planning/test_plan.py")),
    "planning": (("planning",), ("planning", "tasks/test_incremental_plan.py")),
}
"""The product's files of each room, and the tests, those first that notice most in the least time."""


def draw(rooms: Sequence[str], count: int, seed: int) -> list[tuple[str, Mutation]]:
    """Changes of the rooms in turn, so that a small room has as many as a large one; none twice."""
    draws = random.Random(seed)
    shuffled = []
    for room in rooms:
        found = [(room, mutation) for path in product_files(room) for mutation in find_mutations(path)]
        draws.shuffle(found)
        shuffled.append(found)
    in_turn = [pair for turn in zip_longest(*shuffled) for pair in turn if pair is not None]
    return list({mutation: (room, mutation) for room, mutation in reversed(in_turn)}.values())[::-1][:count]


def product_files(room: str) -> list[Path]:
    """The files of a room that are changed."""
    places = [PROJECT / "smart_assets" / place for place in ROOMS[room][0]]
    return [path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]


def concerned_tests(room: str) -> list[str]:
    """The tests that should notice a change of a room."""
    return [f"smart_assets_tests/{place}" for place in ROOMS[room][1]]
