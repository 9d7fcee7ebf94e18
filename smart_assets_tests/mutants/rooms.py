"""The rooms where a wrong result harms most, and the tests that should notice: the room's own first."""

import random
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from smart_assets_tests.mutants.mutations import Mutation, find_mutations

PROJECT = Path(__file__).parents[2]

ROOMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tombstones": (
        ("tasks/tombstones.py",),
        ("forgetting/test_decisions.py", "forgetting/test_removal.py"),
    ),
    "forgetting": (("forgetting",), ("forgetting",)),
    "redaction": (
        ("forgetting/redact.py", "store/redaction.py", "forgetting/removal.py"),
        ("forgetting/test_redactions.py", "forgetting/test_removal.py", "upkeep/test_verify.py"),
    ),
    "store": (("store",), ("store", "upkeep", "forgetting/test_redactions.py")),
    "gc": (("upkeep/gc.py",), ("upkeep/test_gc.py", "forgetting/test_removal.py")),
    "verify": (("upkeep/verify.py",), ("upkeep/test_verify.py", "forgetting/test_redactions.py")),
    "promotion": (("promotion",), ("promotion",)),
    "contamination": (("contamination",), ("contamination", "assets/test_evaluation_overlap.py")),
    "planning": (("planning",), ("planning", "tasks/test_incremental_plan.py")),
}


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
