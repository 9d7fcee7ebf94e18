"""Training rows that share word n-grams with evaluation rows, those that are common to a template left out of account.

An n-gram is common to a template where it stands in more than a share of the rows of its (task, template) group, and in
`LEAST_COMMON` rows or more. It then counts neither in the training rows nor in the evaluation rows of that group. What
is left of an evaluation row is what it alone, or few like it, say: its telling n-grams. The score is the share of them
that the training row holds.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex, Postings

LEAST_COMMON = 3  # rows; two rows of a small group that share a text are no template
_MOST_PENDING = 1 << 22
_MOST_PAIRS = 1 << 22


class NgramSearch:
    """Takes all rows once, in order, then says which of them hold text of which evaluation rows."""

    def __init__(self, index: NgramIndex, scratch: Path) -> None:
        """What stands in evaluation rows of the rows that were taken is kept in the folder `scratch`."""
        self._index, self._scratch = index, scratch
        self._starts = [0]
        self._groups: list[NDArray[np.int64]] = []
        self._counts = _Counts()

    def add(self, texts: Sequence[str], groups: NDArray[np.int64]) -> None:
        """Take rows: their texts, and the number (n,) of the (task, template) group of each."""
        rows, ngrams = self._index.hits(texts)
        np.save(self._chunk(len(self._groups)), np.stack([rows, ngrams]), allow_pickle=False)
        self._groups.append(groups)
        self._starts.append(self._starts[-1] + len(texts))
        self._counts.add(self._keys(groups[rows], ngrams))

    def matches(
        self, evaluation_groups: NDArray[np.int64], template_share: float, share: float, searched: NDArray[np.bool_]
    ) -> Matches:
        """Pairs whose score is `share` or more; there is none without a telling n-gram in common.

        Args:
            evaluation_groups: (e,) the group of each evaluation row.
            template_share: beyond this share of a group's rows an n-gram is common to its template.
            share: in [0, 1].
            searched: (n,) of the rows taken those that are training rows; the others only tell what is common.
        """
        common = self._common_keys(evaluation_groups, template_share)
        postings = self._index.postings
        telling = ~_among(self._keys(evaluation_groups[postings.texts], postings.ngrams()), common)
        postings = postings.only(telling)
        sizes = np.bincount(postings.texts, minlength=len(evaluation_groups))
        parts: list[Matches] = []
        for chunk in range(len(self._groups)):
            rows, ngrams = self._telling_hits(chunk, common, searched)
            for pairs, shared in _shared(rows, ngrams, postings, max(1, len(evaluation_groups))):
                row, evaluation = np.divmod(pairs, max(1, len(evaluation_groups)))
                scores = shared / sizes[evaluation]
                kept = scores >= share
                parts.append(Matches(row[kept], evaluation[kept], scores[kept]))
        return Matches.joined(parts)

    def _common_keys(self, evaluation_groups: NDArray[np.int64], template_share: float) -> NDArray[np.int64]:
        """The n-grams that are common to a group, as keys, rising."""
        groups = np.concatenate([np.empty(0, np.int64), *self._groups])
        sizes = np.bincount(groups, minlength=int(evaluation_groups.max(initial=0)) + 1)
        keys, counts = self._counts.total()
        of_group = sizes[keys // max(1, len(self._index.ngrams))]
        return keys[(counts >= LEAST_COMMON) & (counts > template_share * of_group)]

    def _telling_hits(
        self, chunk: int, common: NDArray[np.int64], searched: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Training rows of a chunk, counted through all chunks, and their n-grams not common to their group."""
        rows, ngrams = np.load(self._chunk(chunk), allow_pickle=False)
        start = self._starts[chunk]
        kept = searched[rows + start] & ~_among(self._keys(self._groups[chunk][rows], ngrams), common)
        return rows[kept] + start, ngrams[kept]

    def _keys(self, groups: NDArray[np.int64], ngrams: NDArray[np.int64]) -> NDArray[np.int64]:
        return groups * max(1, len(self._index.ngrams)) + ngrams

    def _chunk(self, number: int) -> Path:
        return self._scratch / f"hits-{number:06d}.npy"


class _Counts:
    """How often each key came, in memory for the distinct ones."""

    def __init__(self) -> None:
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._pending: list[NDArray[np.int64]] = []

    def add(self, keys: NDArray[np.int64]) -> None:
        self._pending.append(keys)
        if sum(map(len, self._pending)) > _MOST_PENDING:
            self.total()

    def total(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The keys, rising, and how often each came."""
        new, counts = np.unique(np.concatenate([np.empty(0, np.int64), *self._pending]), return_counts=True)
        self._pending = []
        keys, place = np.unique(np.concatenate([self._keys, new]), return_inverse=True)
        every = np.concatenate([self._counts, counts])
        self._keys, self._counts = keys, np.bincount(place, every, len(keys)).astype(np.int64)
        return self._keys, self._counts


def _among(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    at = np.searchsorted(ordered, keys)
    found = at < len(ordered)
    found[found] = ordered[at[found]] == keys[found]
    return found


def _shared(
    rows: NDArray[np.int64], ngrams: NDArray[np.int64], postings: Postings, width: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of a row and an evaluation row as `row * width + evaluation row`, and how many n-grams they share."""
    counts = postings.starts[ngrams + 1] - postings.starts[ngrams]
    for part in _parts(rows, counts):
        times = counts[part]
        before = np.repeat(np.cumsum(times) - times, times)
        at = np.repeat(postings.starts[ngrams[part]], times) + np.arange(int(times.sum())) - before
        yield np.unique(np.repeat(rows[part], times) * width + postings.texts[at], return_counts=True)


def _parts(rows: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of some _MOST_PAIRS counts each that end between rows: the pairs of a row are counted together."""
    part = np.cumsum(counts) // _MOST_PAIRS
    ends = np.searchsorted(rows, rows[np.flatnonzero(part[1:] != part[:-1]) + 1])
    bounds = np.unique([0, *ends.tolist(), len(rows)])
    for start, stop in pairwise(bounds.tolist()):
        yield slice(start, stop)
