"""Which word n-grams of the evaluation texts stand in other texts: an index of the small side for the large one.

Most n-grams of a training row stand in no evaluation text. A table of bits turns them away before they are looked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.arrays import among, ranges
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.tasks.word_shingles import normalized

_FEWEST_BITS, _MOST_BITS = 16, 26
_MOST_LOOKUPS = 1 << 22  # at a time
_SPARSE = 4  # bits of the table that an n-gram more or less has: one in sixteen strangers passes


@dataclass(frozen=True, slots=True)
class Postings:
    """For each n-gram the evaluation texts that it stands in."""

    starts: NDArray[np.int64]  # (g + 1,)
    texts: NDArray[np.int64]  # (p,), of n-gram i those from starts[i] to starts[i + 1], rising
    asked: NDArray[np.bool_]  # (p,) whether it stands in the text's prompt; all do where a prompt has no n-gram

    def ngrams(self) -> NDArray[np.int64]:
        """Return the n-gram of each of `texts` (p,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def only(self, kept: NDArray[np.bool_]) -> "Postings":
        """Return the postings that are kept, by place (p,)."""
        counts = np.bincount(self.ngrams()[kept], minlength=len(self.starts) - 1)
        return Postings(np.concatenate([[0], np.cumsum(counts)]), self.texts[kept], self.asked[kept])


@dataclass(frozen=True, slots=True)
class TextNgrams:
    """For each evaluation text some of its n-grams."""

    starts: NDArray[np.int64]  # (e + 1,)
    ngrams: NDArray[np.int64]  # (p,), of text i those from starts[i] to starts[i + 1], rising
    places: NDArray[np.int64]  # (p,) among the postings

    @classmethod
    def of(cls, postings: Postings, kept: NDArray[np.bool_], count: int) -> Self:
        """Return those of the postings that are kept (p,), of `count` texts."""
        places = np.argsort(postings.texts, kind="stable")
        places = places[kept[places]]
        starts = np.searchsorted(postings.texts[places], np.arange(count + 1))
        return cls(starts, postings.ngrams()[places], places)

    def sizes(self) -> NDArray[np.int64]:
        """Return how many each text has, (e,)."""
        return np.diff(self.starts)

    def texts(self) -> NDArray[np.int64]:
        """Return the text of each of `ngrams` (p,)."""
        return np.repeat(np.arange(len(self.starts) - 1), self.sizes())

    def shared(
        self, pair_rows: NDArray[np.int64], texts: NDArray[np.int64], rows: NDArray[np.int64], ngrams: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Count how many of them some rows hold.

        Args:
            pair_rows: (m,) the row of each pair.
            texts: (m,) its evaluation text.
            rows: (h,) rising.
            ngrams: (h,) that each row holds; of a row rising.

        Returns:
            (m,) of each pair.
        """
        # A row and an n-gram as one number, row * width + n-gram: rising, as rows rise and n-grams rise in a row.
        width = int(max(self.ngrams.max(initial=0), ngrams.max(initial=0))) + 1
        held, times = rows * width + ngrams, self.sizes()[texts]
        shared = np.zeros(len(pair_rows), np.int64)
        # All n-grams of a pair's text are looked up; pairs are taken together up to _MOST_LOOKUPS of them.
        part = np.cumsum(times) // _MOST_LOOKUPS
        for chunk in np.split(np.arange(len(pair_rows)), np.flatnonzero(np.diff(part)) + 1):
            pair = np.repeat(chunk, times[chunk])
            asked = self.ngrams[ranges(self.starts[texts[chunk]], times[chunk])]
            shared += np.bincount(pair[among(pair_rows[pair] * width + asked, held)], minlength=len(pair_rows))
        return shared


@dataclass(frozen=True, slots=True)
class NgramIndex:
    """The distinct n-grams of the evaluation texts."""

    hasher: NgramHasher
    ngrams: NDArray[np.uint64]  # (g,) hashes, rising
    postings: Postings
    passes: NDArray[np.bool_]  # (2 ** bits,), by the upper bits of a hash

    @classmethod
    def of(cls, hasher: NgramHasher, batches: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Self:
        """Index the evaluation texts, numbered from 0 through all batches, each with the prompt that it begins with."""
        hashes, texts, prompts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
        start = 0
        for batch, begins in batches:
            hashed, text = hasher.hashes(batch)
            hashes.append(hashed)
            # Texts are numbered from 0 in a batch: `start` is how many came before it.
            texts.append(text + start)
            prompts.append(_in_prompt(text, begins, hasher.width))
            start += len(batch)
        every, text, prompt = np.concatenate(hashes), np.concatenate(texts), np.concatenate(prompts)
        # By n-gram, then text; of one n-gram in one text the place in the prompt comes first, and is the one kept.
        order = np.lexsort((~prompt, text, every))
        every, text, prompt = every[order], text[order], prompt[order]
        again = (every[1:] == every[:-1]) & (text[1:] == text[:-1])
        first = np.concatenate([np.ones(min(1, len(every)), np.bool_), ~again])
        text, prompt = text[first], prompt[first]
        ngrams, starts = np.unique(every[first], return_index=True)
        bits = min(_MOST_BITS, max(_FEWEST_BITS, len(ngrams).bit_length() + _SPARSE))
        passes = np.zeros(1 << bits, np.bool_)
        passes[_upper(ngrams, bits)] = True
        asked = prompt | (np.bincount(text[prompt], minlength=start) == 0)[text]
        return cls(hasher, ngrams, Postings(np.append(starts, len(text)), text, asked), passes)

    def hits(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return of each text the n-grams that stand in an evaluation text too, each once.

        Returns:
            Texts (h,), rising, and places in `ngrams` (h,).
        """
        hashes, text = self.hasher.hashes(texts)
        maybe = self.passes[_upper(hashes, len(self.passes).bit_length() - 1)]
        hashes, text = hashes[maybe], text[maybe]
        places = np.searchsorted(self.ngrams, hashes)
        is_indexed = places < len(self.ngrams)
        is_indexed[is_indexed] = self.ngrams[places[is_indexed]] == hashes[is_indexed]
        # Text and n-gram as one number, which `unique` sorts and makes single, and `divmod` takes apart again.
        width = max(1, len(self.ngrams))
        return np.divmod(np.unique(text[is_indexed] * width + places[is_indexed]), width)


def _upper(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return hashes >> np.uint64(64 - bits)


def _in_prompt(texts: NDArray[np.int64], prompts: Sequence[str], width: int) -> NDArray[np.bool_]:
    """Return which n-grams (m,), in the order of their text, end before the prompt that the text begins with."""
    words = np.fromiter((len(normalized(prompt).split()) for prompt in prompts), np.int64, len(prompts))
    # A text's n-grams follow one another, so the distance from its first one is the number of an n-gram's first word.
    place = np.arange(len(texts)) - np.searchsorted(texts, texts)
    return place + width <= words[texts]
