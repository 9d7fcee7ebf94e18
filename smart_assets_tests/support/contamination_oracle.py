"""The rule of n-gram overlap written to be read, and what the product finds by it."""

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import astuple, dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np

from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex
from smart_assets.contamination.ngram_overlap import NgramFindings, NgramSearch
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.contamination.templates import LEAST_COMMON, WHOLE_SHARE, EvaluationGroups
from smart_assets.tasks.word_shingles import normalized

Pairs = set[tuple[int, int, float]]
Gram = tuple[str, ...]
Row = tuple[str, str, int]  # prompt, response, group


@cache
def ngrams(text: str, width: int) -> frozenset[Gram]:
    words = normalized(text).split(" ")
    return frozenset(tuple(words[at : at + width]) for at in range(len(words) - width + 1))


@dataclass(frozen=True)
class NaiveRule:
    """The rule as its documentation has it, n-gram by n-gram and pair by pair."""

    rows: Sequence[Row]
    evaluation: Sequence[Row]
    width: int
    template_share: float
    share: float
    named: Collection[int]  # groups

    @cached_property
    def once(self) -> list[Row]:
        """The evaluation rows, those of one group and prompt once."""
        found = {(group, prompt): (prompt, response, group) for prompt, response, group in reversed(self.evaluation)}
        return list(reversed(found.values()))

    def common(self, rows: Sequence[Row], gram: Gram, group: int, share: float) -> bool:
        held = [gram in ngrams(f"{prompt} {response}", self.width) for prompt, response, of in rows if of == group]
        return sum(held) >= LEAST_COMMON and sum(held) > share * len(held)

    def pairs(self) -> tuple[Pairs, Pairs]:
        """Those that are found, and those that are left undecided."""
        places = list(product(range(len(self.rows)), range(len(self.evaluation))))
        judged = [(*pair, *self.judge(self.rows[pair[0]], self.evaluation[pair[1]])) for pair in places]
        found = {(row, other, score) for row, other, score, _ in judged if score}
        return found, {(row, other, score) for row, other, _, score in judged if score}

    def judge(self, row: Row, other: Row) -> tuple[float, float]:
        ours, theirs = (ngrams(f"{one[0]} {one[1]}", self.width) for one in (row, other))
        train, group, named = row[2], other[2], other[2] in self.named
        every, own = [*self.rows, *self.evaluation], [*self.rows, *self.once]
        sure = max(self.template_share, 0.5) if named else self.template_share
        telling = {gram for gram in theirs if not self.common(own, gram, group, sure)}
        rare = {gram for gram in telling if not self.common(own, gram, group, self.template_share)}
        mixed = {gram for gram in telling if not named and self.common(own, gram, group, 0.2 * self.template_share)}
        here = {gram for gram in ours if self.common(every, gram, train, self.template_share)}
        everywhere = {gram for gram in ours if self.common(every, gram, train, max(self.template_share, WHOLE_SHARE))}
        much = (ours & telling) - (here & mixed)
        asked = ngrams(other[0], self.width) or theirs
        whole = asked <= ours and any(not self.common(self.once, gram, group, sure) for gram in asked)
        few = self.enough(len((ours - here) & rare), len(rare))
        half = self.half(much - everywhere, telling, theirs, asked)
        if found := max(few, half, 1.0 * whole):
            return found, 0
        doubted = {
            gram
            for gram in theirs - telling
            if not self.common(self.once, gram, group, sure)
            and not self.common(own, gram, group, max(sure, WHOLE_SHARE))
        }
        maybe = self.half(ours & (telling | doubted), telling | doubted, theirs, asked) if doubted else 0
        return 0, max(self.half(much, telling, theirs, asked), maybe)

    def telling(self, other: Row) -> set[Gram]:
        """The n-grams of an evaluation row that are not common to its own group."""
        own, sure = [*self.rows, *self.once], max(self.template_share, 0.5 * (other[2] in self.named))
        every = ngrams(f"{other[0]} {other[1]}", self.width)
        return {gram for gram in every if not self.common(own, gram, other[2], sure)}

    def by_template(self, row: Row, other: Row) -> bool:
        """Whether two rows have but a template in common, which is more than half of the evaluation prompt."""
        asked = ngrams(other[0], self.width) or ngrams(f"{other[0]} {other[1]}", self.width)
        rest = asked & self.telling(other)
        return 0 < len(rest) < 0.5 * len(asked) and not rest & ngrams(f"{row[0]} {row[1]}", self.width)

    def enough(self, shared: int, size: int) -> float:
        return shared / size if shared and shared / size >= self.share else 0

    def half(self, shared: Set[Gram], telling: Set[Gram], *parts: Set[Gram]) -> float:
        """Of the text or its prompt: their words are its n-grams, and the words of the last one but its first."""
        scores: list[float] = []
        for part in parts:
            ours, size, more = len(shared & part), len(telling & part), self.width - 1
            half = ours + more >= 0.5 * (size + more * (size == len(part)))
            half = half and (ours >= more or ours >= 0.5 * size or size == len(part))
            scores.append(self.enough(ours, size) if half else 0)
        return max(scores)


def triples(matches: Matches) -> Pairs:
    best: dict[tuple[int, int], float] = {}
    for row, evaluation, score in zip(*map(np.ndarray.tolist, astuple(matches)), strict=True):
        best[row, evaluation] = max(score, best.get((row, evaluation), 0))
    return {(*pair, score) for pair, score in best.items()}


def taken(rule: NaiveRule, folder: Path, chunk: int = 1000) -> tuple[NgramSearch, EvaluationGroups]:
    """The product's search, which was given all rows, some at a time."""

    def parts(rows: Sequence[Row]) -> Iterator[tuple[list[str], list[str]]]:
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            yield [f"{prompt} {response}" for prompt, response, _ in part], [prompt for prompt, *_ in part]

    every = [*rule.rows, *rule.evaluation]
    search = NgramSearch(NgramIndex.of(NgramHasher(rule.width), parts(rule.evaluation)), folder)
    for number, (texts, _) in enumerate(parts(every)):
        search.add(texts, np.array([group for *_, group in every[number * chunk : (number + 1) * chunk]]))
    keys = [(group, prompt) for prompt, _, group in rule.evaluation]
    again = np.array([key in keys[:place] for place, key in enumerate(keys)], np.bool_)
    groups = np.array([group for *_, group in rule.evaluation], np.int64)
    named = np.isin(np.arange(max([group for *_, group in every], default=0) + 1), list(rule.named))
    return search, EvaluationGroups(groups, again, named)


def search(rule: NaiveRule, folder: Path, chunk: int = 1000) -> NgramFindings:
    """What the product finds, given some rows at a time."""
    found, groups = taken(rule, folder, chunk)
    training = np.arange(len(rule.rows) + len(rule.evaluation)) < len(rule.rows)
    return found.findings(groups, rule.template_share, rule.share, training)
