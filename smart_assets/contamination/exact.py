"""Training rows that are evaluation rows: the same prompt, or prompt and response together the same text.

Case and the width of white space do not count; punctuation does, since it may be all that tells two prompts apart.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.matches import Matches


class ExactTexts:
    """The evaluation rows by prompt, and by prompt and response."""

    def __init__(self, benchmarks: NDArray[np.int64]) -> None:
        """`benchmarks` (e,) is the benchmark's number of each row to be added."""
        self._benchmarks = benchmarks
        self._places: dict[bytes, dict[int, int]] = {}  # the first row of each benchmark
        self._next = 0

    def add(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """Take the next evaluation rows."""
        for prompt, response in zip(prompts, responses, strict=True):
            benchmark = int(self._benchmarks[self._next])
            for key in _keys(prompt, response):
                self._places.setdefault(key, {}).setdefault(benchmark, self._next)
            self._next += 1

    def matches(self, prompts: Sequence[str], responses: Sequence[str]) -> Matches:
        """The pairs of rows that are the same; of each benchmark the first row for either key."""
        found = [
            (row, place)
            for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
            for key in _keys(prompt, response)
            for place in self._places.get(key, {}).values()
        ]
        pairs = np.array(found, np.int64).reshape(-1, 2)
        return Matches(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)))


def _keys(prompt: str, response: str) -> Iterable[bytes]:
    return _digest(f"prompt {_folded(prompt)}"), _digest(f"text {_folded(f'{prompt} {response}')}")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
