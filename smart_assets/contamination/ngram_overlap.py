"""Training rows that share word n-grams with evaluation rows, those that are common to a template left out of account.

What an evaluation row says beyond what is common to its own (task, template) group are its telling n-grams; its score
is the share of them that a training row holds. A training row is found where it holds

- `share` of those that are common to neither's group, in whatever part of it;
- `share` of them, and half of the words, of the evaluation row or of its prompt, however many rows of a group hold
  them, unless nearly all of the training row's group do: a text that was copied often is no template;
- the whole evaluation prompt, whatever is common to whom.

Half an evaluation row in nearly all rows of a training group may be a template or a copy, and so may half of one whose
own training rows say it where the evaluation rows of its group do not. Nothing here tells which.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.arrays import among, ranges
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex, Postings, TextNgrams
from smart_assets.contamination.templates import WHOLE_SHARE, Counts, EvaluationGroups
from smart_assets.contamination.whole_prompts import WholePrompts

TEMPLATE_SHARE = 0.5  # of an evaluation prompt's n-grams; where less is left, likeness may be the template's alone
LEAST_WORDS = 0.5  # of an evaluation row, where many rows of a training group hold them
_MOST_PENDING = 1 << 22
_MOST_PAIRS = 1 << 22


@dataclass(frozen=True, slots=True)
class NgramFindings:
    """What n-grams tell, and what they cannot tell."""

    overlapping: Matches
    undecided: Matches  # half an evaluation row that may be a template; no pair of `overlapping`
    ngrams: NDArray[np.int64]  # (e,) distinct n-grams of each evaluation row
    telling: NDArray[np.int64]  # (e,) how many of them are not common to its own group


class NgramSearch:
    """Takes all rows once, in order, then says which of them hold text of which evaluation rows."""

    def __init__(self, index: NgramIndex, scratch: Path) -> None:
        """Keep what stands in evaluation rows, of all rows that are taken, in the folder `scratch`."""
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

    def findings(
        self, groups: EvaluationGroups, template_share: float, share: float, searched: NDArray[np.bool_]
    ) -> NgramFindings:
        """Return the pairs that are found, and those that are left undecided.

        Args:
            groups: of the evaluation rows, all of which were taken, too.
            template_share: beyond this share of a group's rows an n-gram is common to its template.
            share: in [0, 1]; there is no pair without a telling n-gram in common, or the whole prompt.
            searched: (n,) of the rows taken those that are training rows; the others only tell what is common.
        """
        every, shares = self._counted(groups), groups.shares(template_share)
        asked = self._counts_of_evaluation(groups, ~groups.again).common(shares)
        common, nearly_all = every.common(template_share), every.common(max(template_share, WHOLE_SHARE))
        own, postings, count = self._own(groups), self._index.postings, len(groups.of)
        keys = self._keys(groups.of[postings.texts], postings.ngrams())
        left, rare = (~among(keys, own.common(beyond)) for beyond in (shares, template_share))
        mixed = among(keys, own.common(groups.mixed_shares(template_share)))
        telling = _TellingNgrams.of(postings, left, rare, mixed, count)
        prompts = WholePrompts(postings, count, among(keys, asked))
        rule = _Rule(share, self._index.hasher.width, telling)
        unsure = ~(left | among(keys, asked) | among(keys, own.common(np.maximum(shares, WHOLE_SHARE))))
        doubted = _Rule(share, rule.width, _TellingNgrams.doubted(postings, left, unsure, count))
        overlapping, undecided = list[Matches](), list[Matches]()
        for rows, ngrams, row_groups in self._chunks(searched):
            overlapping.append(prompts.held_by(rows, ngrams))
            keys = self._keys(row_groups, ngrams)
            spread = among(keys, common).astype(np.int64) + among(keys, nearly_all)
            for pairs in _shared(rows, ngrams, spread, telling):
                overlapping.append(rule.found(pairs))
                undecided.append(rule.alike(pairs))
            undecided += [doubted.alike(pairs) for pairs in _shared(rows, ngrams, spread, doubted.telling)]
        sure = Matches.joined(overlapping)
        return NgramFindings(
            sure,
            Matches.joined(undecided).without(sure),
            np.bincount(postings.texts, minlength=count),
            telling.sizes[0],
        )

    def by_template(self, pairs: Matches, groups: EvaluationGroups, template_share: float) -> NDArray[np.bool_]:
        """Return which pairs of prompts (m,), alike by another rule, have but a template in common by their n-grams.

        So it is where more than half of what the evaluation prompt says is its template, and the training row holds
        nothing of the rest.
        """
        postings = self._index.postings
        template = self._own(groups).common(groups.shares(template_share))
        left = postings.asked & ~among(self._keys(groups.of[postings.texts], postings.ngrams()), template)
        telling = TextNgrams.of(postings, left, len(groups.of))
        every = _sizes(postings, len(groups.of))[1]
        judged = ((telling.sizes() > 0) & (telling.sizes() < TEMPLATE_SHARE * every))[pairs.evaluation]
        by_template = np.zeros(len(pairs.rows), np.bool_)
        for chunk, start in enumerate(self._starts[:-1]):
            in_chunk = np.flatnonzero(judged & (pairs.rows >= start) & (pairs.rows < self._starts[chunk + 1]))
            if len(in_chunk):
                rows, ngrams = np.load(self._chunk(chunk), allow_pickle=False)
                asked = pairs.rows[in_chunk], pairs.evaluation[in_chunk]
                by_template[in_chunk] = telling.shared(*asked, rows + start, ngrams) == 0
        return by_template

    def _own(self, groups: EvaluationGroups) -> Counts:
        """Count in how many rows n-grams stand, where evaluation rows of one group and prompt count once."""
        return self._counted(groups).less(self._counts_of_evaluation(groups, groups.again))

    def _counted(self, groups: EvaluationGroups) -> Counts:
        keys, rows = self._counts.total()
        every = np.concatenate([np.empty(0, np.int64), *self._groups])
        return Counts(keys, rows, np.bincount(every, minlength=len(groups.named)), max(1, len(self._index.ngrams)))

    def _counts_of_evaluation(self, groups: EvaluationGroups, which: NDArray[np.bool_]) -> Counts:
        """Count the same of some evaluation rows (e,) alone."""
        postings = self._index.postings.only(which[self._index.postings.texts])
        keys, rows = np.unique(self._keys(groups.of[postings.texts], postings.ngrams()), return_counts=True)
        sizes = np.bincount(groups.of[which], minlength=len(groups.named))
        return Counts(keys, rows, sizes, max(1, len(self._index.ngrams)))

    def _chunks(
        self, searched: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield training rows, counted through all chunks, their n-grams and their groups."""
        for chunk, groups in enumerate(self._groups):
            rows, ngrams = np.load(self._chunk(chunk), allow_pickle=False)
            # Rows are numbered from 0 in a chunk, and through all chunks from the chunk's start.
            kept = searched[rows + self._starts[chunk]]
            rows, ngrams = rows[kept], ngrams[kept]
            yield rows + self._starts[chunk], ngrams, groups[rows]

    def _keys(self, groups: NDArray[np.int64], ngrams: NDArray[np.int64]) -> NDArray[np.int64]:
        return groups * max(1, len(self._index.ngrams)) + ngrams

    def _chunk(self, number: int) -> Path:
        return self._scratch / f"hits-{number:06d}.npy"


@dataclass(frozen=True, slots=True)
class _TellingNgrams:
    """The n-grams of evaluation rows that are not their own template's."""

    postings: Postings
    rare: NDArray[np.bool_]  # (p,) which of them are not even common to a part of their group
    alone: Postings  # those that count where the n-gram is common to the training row's group
    alone_rare: NDArray[np.bool_]
    sizes: NDArray[np.int64]  # (2, e) how many each evaluation row has, and how many its prompt
    rare_sizes: NDArray[np.int64]  # (e,)
    entire: NDArray[np.bool_]  # (2, e) whether these are all n-grams of it

    @classmethod
    def of(
        cls, postings: Postings, left: NDArray[np.bool_], rare: NDArray[np.bool_], mixed: NDArray[np.bool_], count: int
    ) -> Self:
        """Take of all postings (p,) those that are no template's, rare, or maybe of one of several; `count` rows."""
        telling = postings.only(left)
        sizes = _sizes(telling, count)
        return cls(
            telling,
            rare[left],
            postings.only(left & ~mixed),
            rare[left & ~mixed],
            sizes,
            np.bincount(postings.texts[left & rare], minlength=count),
            sizes == _sizes(postings, count),
        )

    @classmethod
    def doubted(cls, postings: Postings, left: NDArray[np.bool_], unsure: NDArray[np.bool_], count: int) -> Self:
        """Take those of rows that may hold less of a template than is taken for one (p,), these n-grams too."""
        some = np.zeros(count, np.bool_)
        some[postings.texts[unsure]] = True
        kept = (left | unsure) & some[postings.texts]
        return cls.of(postings, kept, np.zeros_like(kept), np.zeros_like(kept), count)

    def places(
        self, ngrams: NDArray[np.int64], common: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the evaluation rows of each n-gram (h,) begin, and how many there are."""
        each = [(part.starts[ngrams], np.diff(part.starts)[ngrams]) for part in (self.postings, self.alone)]
        (first, counts), (first_alone, counts_alone) = each
        return np.where(common, first_alone + len(self.rare), first), np.where(common, counts_alone, counts)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of a training row and an evaluation row (m,), and how many telling n-grams they share."""

    rows: NDArray[np.int64]
    evaluation: NDArray[np.int64]
    rare: NDArray[np.int64]  # common to neither's group
    spread: NDArray[np.int64]  # (2, m) in not nearly all rows of the training row's group; of text, and of prompt alone
    every: NDArray[np.int64]  # (2, m)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How much of an evaluation row is too much."""

    share: float
    width: int  # words of an n-gram
    telling: _TellingNgrams

    def found(self, pairs: _Pairs) -> Matches:
        """Return the pairs that are found, with their scores."""
        few = self._share(pairs.rare, self.telling.rare_sizes[pairs.evaluation])
        scores = np.maximum(few, self._half(pairs, pairs.spread))
        return Matches(pairs.rows, pairs.evaluation, scores).only(scores > 0)

    def alike(self, pairs: _Pairs) -> Matches:
        """Return the pairs of half an evaluation row, however many rows of the training group hold it."""
        scores = self._half(pairs, pairs.every)
        return Matches(pairs.rows, pairs.evaluation, scores).only(scores > 0)

    def _share(self, shared: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return which share of n-grams it is, where that is enough; else 0."""
        scores = shared / np.maximum(1, sizes)
        return scores * (scores >= self.share)

    def _half(self, pairs: _Pairs, shared: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the same where it is half of the words, too, of the text or of the prompt (2, m)."""
        sizes = self.telling.sizes[:, pairs.evaluation]
        more = self.width - 1  # n-grams in a row are as many words, and these more, which the last one ends with
        words = sizes + more * self.telling.entire[:, pairs.evaluation]  # else the last ones end in the template
        half = shared + more >= LEAST_WORDS * words
        # Of a text that has few n-grams beside its template's, a few are no passage: so many words twice, or half.
        half &= (shared >= more) | (shared >= LEAST_WORDS * sizes) | self.telling.entire[:, pairs.evaluation]
        return (self._share(shared, sizes) * half).max(axis=0)


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
        """Return the keys, rising, and how often each came."""
        new, counts = np.unique(np.concatenate([np.empty(0, np.int64), *self._pending]), return_counts=True)
        self._pending = []
        keys, place = np.unique(np.concatenate([self._keys, new]), return_inverse=True)
        every = np.concatenate([self._counts, counts])
        self._keys, self._counts = keys, np.bincount(place, every, len(keys)).astype(np.int64)
        return self._keys, self._counts


def _sizes(postings: Postings, count: int) -> NDArray[np.int64]:
    """Return how many n-grams each evaluation row has, and how many its prompt, (2, count)."""
    return np.stack([np.bincount(texts, minlength=count) for texts in (postings.texts, postings.texts[postings.asked])])


def _shared(
    rows: NDArray[np.int64], ngrams: NDArray[np.int64], spread: NDArray[np.int64], telling: _TellingNgrams
) -> Iterator[_Pairs]:
    """Count the n-grams that rows share with evaluation rows.

    Args:
        rows: (h,) rising.
        ngrams: (h,) that each row holds.
        spread: (h,) 0, 1 where the n-gram is common to the row's group, 2 where it is in nearly all its rows.
        telling: of the evaluation rows.
    """
    width = max(1, len(telling.rare_sizes))
    both = telling.postings, telling.alone
    texts, asked = (np.concatenate([getattr(part, name) for part in both]) for name in ("texts", "asked"))
    rare = np.concatenate([telling.rare, telling.alone_rare])
    # The postings of `alone` lie behind those of `postings`; `places` counts their starts from there.
    starts, counts = telling.places(ngrams, spread > 0)
    for part in _parts(rows, counts):
        times = counts[part]
        place = ranges(starts[part], times)
        # One number for the row, the evaluation row, and which of six the n-gram is: 2 * level + whether of the prompt.
        # The level is 0 where it is common to neither's group, 1 to one, 2 in nearly all rows of the training group.
        pair = np.repeat(rows[part], times) * width + texts[place]
        level = np.maximum(np.repeat(spread[part], times), ~rare[place]) * 2 + asked[place]
        keys, shared = np.unique(pair * 6 + level, return_counts=True)
        pairs, pair_of = np.unique(keys // 6, return_inverse=True)
        each = np.zeros((6, len(pairs)), np.int64)
        each[keys % 6, pair_of] = shared
        # Each level counts those below it, too: "not in nearly all rows" holds also of what is common to neither group.
        each = np.cumsum(each.reshape(3, 2, len(pairs)), axis=0)
        row, evaluation = np.divmod(pairs, width)
        text_and_prompt = np.stack([each.sum(axis=1), each[:, 1]], axis=1)
        yield _Pairs(row, evaluation, text_and_prompt[0, 0], text_and_prompt[1], text_and_prompt[2])


def _parts(rows: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of some _MOST_PAIRS counts each. They end between rows: the pairs of a row are counted together."""
    part = np.cumsum(counts) // _MOST_PAIRS
    ends = np.searchsorted(rows, rows[np.flatnonzero(part[1:] != part[:-1]) + 1])
    bounds = np.unique([0, *ends.tolist(), len(rows)])
    for start, stop in pairwise(bounds.tolist()):
        yield slice(start, stop)
