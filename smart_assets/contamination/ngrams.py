"""Word n-grams of many texts at once, each as one 64-bit hash.

Words are those of near-duplicate prompts: casefolded, of letters, digits and marks. Two different n-grams have the same
hash once in 2^64; nothing else tells the result from comparing the words themselves.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.tasks.word_shingles import normalized

_MOST_WORDS = 1 << 20  # remembered at a time


class NgramHasher:
    """Hashes n-grams, remembering the hash of each word."""

    def __init__(self, width: int) -> None:
        """Take the number of words of an n-gram, `width`."""
        self.width = width
        self._words = _WordHashes()
        # Odd, so that no bit of a word's hash is lost; of no pattern, so that the places of words count.
        factors = (_hash(f"place {place}") | 1 for place in range(width))
        self._factors = np.fromiter(factors, np.uint64, width)

    def hashes(self, texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the hashes of all n-grams of all texts, in order and with repetitions (m,), and the text of each (m,).

        A text of fewer words than an n-gram has none.
        """
        if len(self._words) > _MOST_WORDS:
            self._words.clear()
        spaced = [normalized(text) for text in texts]
        lengths = np.fromiter((text.count(" ") + 1 for text in spaced), np.int64, len(spaced))
        total = int(lengths.sum())
        words = " ".join(spaced).split(" ")
        each = np.fromiter(map(self._words.__getitem__, words), np.uint64, total)
        if total < self.width:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        hashes = np.zeros(total - self.width + 1, np.uint64)
        for place, factor in enumerate(self._factors):
            hashes += each[place : place + len(hashes)] * factor
        text = np.repeat(np.arange(len(texts)), lengths)
        whole = text[: len(hashes)] == text[self.width - 1 :]  # none that reaches into the next text
        return hashes[whole], text[: len(hashes)][whole]


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = _hash(word)
        return self[word]


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
