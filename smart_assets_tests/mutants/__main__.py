"""Try a seeded sample of changes: `python -m smart_assets_tests.mutants --count 30 --seed 0 [ROOM ...]`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from smart_assets_tests.mutants.mutations import Mutation
from smart_assets_tests.mutants.rooms import PROJECT, ROOMS, concerned_tests, draw
from smart_assets_tests.mutants.trial import TIMED_OUT, Scratch, load_libraries


def main(arguments: Sequence[str]) -> int:
    """Print each change, what noticed it, and the share that was noticed; gives 1 where one was not."""
    parser = argparse.ArgumentParser("make mutants", description=__doc__)
    parser.add_argument("rooms", nargs="*", choices=[[], *ROOMS], help="all of them, where none is named")
    parser.add_argument("--count", type=int, default=30, help="how many changes are tried, spread over the rooms")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other changes")
    parser.add_argument("--list", action="store_true", help="print the changes, and try none")
    chosen = parser.parse_args(arguments)
    rooms = chosen.rooms or list(ROOMS)
    sample = draw(rooms, chosen.count, chosen.seed)
    if chosen.list:
        for room, mutation in sample:
            print(show(room, mutation))
        return 0
    load_libraries()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        return try_all(Scratch(PROJECT, Path(folder)), sample)


def show(room: str, mutation: Mutation) -> str:
    """One line that names the place and the change."""
    place = f"{mutation.path.relative_to(PROJECT / 'smart_assets')}:{mutation.line}"
    return f"{room:13} {place:34} {mutation.shown}"


def try_all(scratch: Scratch, sample: Sequence[tuple[str, Mutation]]) -> int:
    """Try the changes one after another, after the tests passed without any."""
    limits: dict[str, float] = {}
    for room in dict.fromkeys(room for room, _ in sample):
        trial = scratch.run(concerned_tests(room), 1800)
        if trial.noticed:
            print(f"The tests of {room} fail without a change: {trial.first_failure}\n{trial.output[-2000:]}")
            return 2
        limits[room] = 20 + 3 * trial.seconds
        print(f"{room}: its tests pass in {trial.seconds:.0f} s of computing", flush=True)
    survived = []
    for room, mutation in sample:
        trial = scratch.try_mutation(mutation, concerned_tests(room), limits[room])
        by = "no end" if trial.code == TIMED_OUT else trial.first_failure if trial.noticed else "SURVIVED"
        print(f"{show(room, mutation)}\n    {by} ({trial.seconds:.0f} s)", flush=True)
        if not trial.noticed:
            survived.append((room, mutation))
    caught = len(sample) - len(survived)
    print(f"{caught} of {len(sample)} changes noticed ({caught / max(1, len(sample)):.0%})")
    for room, mutation in survived:
        print(f"not noticed: {show(room, mutation)}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
