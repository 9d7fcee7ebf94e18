"""Prompts as sets of word 3-shingles, each a 32-bit hash: what near-duplicate prompts have in common.

Case, punctuation and white space do not count. Marks do: they are vowels in many scripts.
"""

import unicodedata
import zlib

import numpy as np
from numpy.typing import NDArray

_WIDTH = 3
_MAX_WORDS = 1 << 20
# Odd 64-bit multipliers, one a place in the shingle; the upper half of the sum is the hash.
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def normalized(prompt: str) -> str:
    """Return the prompt casefolded, with one space for each run of anything but letters, digits and marks.

    A prompt of nothing else keeps its characters, so that not all of them are the same.
    """
    folded = prompt.casefold()
    return " ".join((folded.translate(_SPACED) if any(map(str.isalnum, folded)) else folded).split())


class Shingler:
    """Hashes shingles, remembering the hash of each word."""

    def __init__(self) -> None:
        self._words = _WordHashes()

    def hashes(self, prompt: str) -> NDArray[np.uint64]:
        """Return the 32-bit hashes of a prompt's shingles, repetitions included: (max(1, words - 2),).

        A prompt of fewer than three words is one shingle.
        """
        text = normalized(prompt)
        words = text.split(" ")
        if len(words) < _WIDTH:
            return np.array([zlib.crc32(text.encode())], dtype=np.uint64)
        if len(self._words) > _MAX_WORDS:
            self._words.clear()
        hashes = np.fromiter(map(self._words.__getitem__, words), np.uint64, len(words))
        return (
            hashes[:-2] * _MULTIPLIERS[0] + hashes[1:-1] * _MULTIPLIERS[1] + hashes[2:] * _MULTIPLIERS[2]
        ) >> np.uint64(32)


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = zlib.crc32(word.encode())
        return self[word]


class _SpacedCharacters(dict[int, str]):
    """A table for str.translate that fills itself; many times faster than a regular expression of all of Unicode."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = char if unicodedata.category(char)[0] in "LMN" else " "
        return self[code]


_SPACED = _SpacedCharacters()
