"""Training rows that are evaluation rows: the same prompt, or prompt and response together the same text.

Case and the width of white space do not count; punctuation does, since it may be all that tells two prompts apart.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.matches import Matches


class ExactTexts:
    """The evaluation rows by prompt, and by prompt and response."""

    def __init__(self, benchmarks: NDArray[np.int64]) -> None:
        """Take the number of the benchmark of each row to be added, `benchmarks` (e,)."""
        self._benchmarks = benchmarks
        # Of each text the first row of each benchmark.
        self._prompts: dict[str, dict[int, int]] = {}
        self._texts: dict[str, dict[int, int]] = {}
        self._next = 0

    def add(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """Take the next evaluation rows."""
        for prompt, text in _folded(prompts, responses):
            benchmark = int(self._benchmarks[self._next])
            self._prompts.setdefault(prompt, {}).setdefault(benchmark, self._next)
            self._texts.setdefault(text, {}).setdefault(benchmark, self._next)
            self._next += 1

    def matches(self, prompts: Sequence[str], responses: Sequence[str]) -> Matches:
        """Return the pairs of rows that are the same; of each benchmark the first row for either key."""
        pairs_found: list[tuple[int, int]] = []
        for row, (prompt, text) in enumerate(_folded(prompts, responses)):
            for places in (self._prompts.get(prompt), self._texts.get(text)):
                if places is not None:
                    pairs_found += [(row, place) for place in places.values()]
        pairs = np.array(pairs_found, np.int64).reshape(-1, 2)
        return Matches(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)))


def _folded(prompts: Sequence[str], responses: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the prompt, and prompt and response, of each row as they are compared."""
    for prompt, response in zip(prompts, responses, strict=True):
        words = prompt.casefold().split()
        yield " ".join(words), " ".join([*words, *response.casefold().split()])
