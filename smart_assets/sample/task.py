"""What a task of the bundled sample is, and how its instances are drawn.

A real task collection repeats itself: here and there the same row twice, more often nearly the same one. The sample
does so on purpose, so that rejecting and finding duplicates has something to show.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

ROWS_A_DUPLICATE = 70
ROWS_A_NEAR_DUPLICATE = 40


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row of a task: what is asked, the only correct answer, and the short name of the phrasing."""

    template: str
    prompt: str
    response: str


@dataclass(frozen=True, slots=True)
class SampleTask:
    """A task by rule: `write` yields instances, distinct or not, until at least `size` distinct prompts have come."""

    name: str
    size: int  # rows in all, duplicates included
    write: Callable[[random.Random], Iterator[SampleRow]]

    def draw(self, seed: int) -> tuple[SampleRow, ...]:
        """Return all `size` rows in file order, the same for the same seed whatever the other tasks do.

        One row in 70 is an exact duplicate of another, one in 40 differs from another by a word or a mark.
        """
        rng = random.Random(f"{seed}/{self.name}")  # noqa: S311 (a text seed is hashed by SHA-512: alike everywhere)
        duplicates, near_duplicates = self.size // ROWS_A_DUPLICATE, self.size // ROWS_A_NEAR_DUPLICATE
        originals = tuple(islice(_distinct(self.write(rng)), self.size - duplicates - near_duplicates))
        near = [_nearly(instance, rng) for instance in rng.sample(originals, near_duplicates)]
        instances = [*originals, *rng.sample(originals, duplicates), *near]
        rng.shuffle(instances)
        return tuple(instances)


def phrased(rng: random.Random, response: str, *phrasings: tuple[str, str]) -> SampleRow:
    """Return the row that asks for `response` in one of the `(template, prompt)` phrasings."""
    template, prompt = rng.choice(phrasings)
    return SampleRow(template, prompt, response)


def _distinct(instances: Iterator[SampleRow]) -> Iterator[SampleRow]:
    seen: set[str] = set()
    for instance in instances:
        if instance.prompt not in seen:
            seen.add(instance.prompt)
            yield instance


def _nearly(instance: SampleRow, rng: random.Random) -> SampleRow:
    """Return the same question with its last mark left out or one word put before it."""
    return replace(instance, prompt=rng.choice((instance.prompt[:-1], f"Next: {instance.prompt}")))
