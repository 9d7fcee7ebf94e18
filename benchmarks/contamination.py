"""How often evaluation text is found that was copied, and text that was not: `python -m benchmarks.contamination`.

By simulation with the project's own search and default settings: texts of words drawn by Zipf's law, tasks of 20 rows,
a 60-word prompt (or a half of it) planted in k rows of one task or of several; rows of a shared template; unrelated
rows. Prints misses and false alarms in percent of rows, and the rows that are left undecided.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smart_assets.contamination.ngram_index import NgramIndex
from smart_assets.contamination.ngram_overlap import NgramSearch
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.contamination.settings import Contamination
from smart_assets.contamination.templates import EvaluationGroups

ROWS, TASKS = 20, 6
RULE = Contamination()


@dataclass
class Simulated:
    """Rows as they are written, and what is true of them."""

    random: np.random.Generator
    rows: list[tuple[str, int]]
    evaluation: list[tuple[str, int]]
    planted: set[int]

    def text(self, words: int) -> str:
        """Return words by Zipf's law, so that short runs meet by chance."""
        return " ".join(f"w{number}" for number in self.random.zipf(1.3, words).clip(max=20_000))


def _plain(random: np.random.Generator, evaluated: int, template: int = 0) -> Simulated:
    """Return tasks of 20 rows and evaluation rows of another task; with a template of so many words, all share it."""
    made = Simulated(random, [], [], set())
    shared = made.text(template)
    made.rows = [(f"{shared} {made.text(40)}", at // ROWS) for at in range(ROWS * TASKS)]
    made.evaluation = [(f"{shared} {made.text(60)}", TASKS) for _ in range(evaluated)]
    return made


def _planted(random: np.random.Generator, evaluated: int, times: int, half: bool, tasks: int) -> Simulated:
    made = _plain(random, evaluated)
    words = made.evaluation[0][0].split()
    start = int(random.integers(0, 31)) if half else 0
    copied = " ".join(words[start : start + 30] if half else words)
    for place in random.choice(ROWS * tasks, times, replace=False).tolist():
        made.rows[place] = (f"{made.text(12)} {copied} {made.text(12)}", made.rows[place][1])
        made.planted.add(place)
    return made


def judge(made: Simulated) -> tuple[set[int], set[int]]:
    """Return the rows that are found, and those that are undecided."""
    with tempfile.TemporaryDirectory() as scratch:
        asked = [text for text, _ in made.evaluation]
        search = NgramSearch(NgramIndex.of(NgramHasher(RULE.ngram), [(asked, asked)]), Path(scratch))
        every = [*made.rows, *made.evaluation]
        search.add([text for text, _ in every], np.array([group for _, group in every]))
        of = np.array([group for _, group in made.evaluation])
        groups = EvaluationGroups(of, np.zeros(len(of), np.bool_), np.zeros(TASKS + 1, np.bool_))
        trained = np.arange(len(every)) < len(made.rows)
        findings = search.findings(groups, RULE.template_share, RULE.share, trained)
    found = set(findings.found.rows.tolist())
    return found, set(findings.undecided.rows.tolist()) - found


def rates(draw: Callable[[np.random.Generator], Simulated], repeats: int) -> tuple[float, float, float]:
    """Return misses among planted rows, false alarms among the others, and undecided among all, in percent."""
    missed = planted = alarms = others = undecided = 0
    for repeat in range(repeats):
        made = draw(np.random.default_rng(repeat))
        found, left = judge(made)
        missed, planted = missed + len(made.planted - found), planted + len(made.planted)
        alarms, others = alarms + len(found - made.planted), others + len(made.rows) - len(made.planted)
        undecided += len(left)
    return 100 * missed / max(1, planted), 100 * alarms / max(1, others), 100 * undecided / (planted + others)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    repeats: int = parser.parse_args().repeats
    print("| rows | evaluation rows of the task | misses, % | false alarms, % | undecided, % |\n|---|---|---|---|---|")
    for evaluated in (1, 2, 20):
        cases: dict[str, Callable[[np.random.Generator], Simulated]] = {
            "unrelated": lambda random, n=evaluated: _plain(random, n),
            "of one template of 30 words": lambda random, n=evaluated: _plain(random, n, 30),
            "of one template of 200 words": lambda random, n=evaluated: _plain(random, n, 200),
        }
        for half in (False, True):
            for tasks in (1, 4):
                for times in (1, 2, 3, 4, 6, 12, 18, 20):
                    name = f"{'half' if half else 'whole'} in {times} of {ROWS * tasks} rows of {tasks} tasks"
                    cases[name] = lambda random, n=evaluated, k=times, h=half, t=tasks: _planted(random, n, k, h, t)
        for name, draw in cases.items():
            print(
                f"| {name} | {evaluated} | {' | '.join(f'{rate:.1f}' for rate in rates(draw, repeats))} |", flush=True
            )


if __name__ == "__main__":
    main()
