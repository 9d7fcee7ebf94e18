"""The rules that find evaluation text, against naive versions of themselves."""

import json
import re
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import astuple, dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.contamination.exact import ExactTexts
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex
from smart_assets.contamination.ngram_overlap import NgramFindings, NgramSearch
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.contamination.templates import LEAST_COMMON, WHOLE_SHARE, EvaluationGroups
from smart_assets.core.errors import EvaluationError, SettingsError, SourceError
from smart_assets.embedding import nearest as comparing
from smart_assets.embedding.nearest import nearest_above
from smart_assets.evaluation.local_rows import read_local_rows
from smart_assets.tasks.word_shingles import normalized
from smart_assets_tests.support.projects import write_project

Pairs = set[tuple[int, int, float]]
Gram = tuple[str, ...]
Row = tuple[str, str, int]  # prompt, response, group
# Few words, so that n-grams meet; marks and case that do not count.
WORDS = st.sampled_from(["a", "b", "c", "A!", "b,", "ü"])
TEXT = st.lists(WORDS, max_size=9).map(" ".join)
ROWS = st.lists(st.tuples(TEXT, TEXT, st.integers(0, 2)), max_size=12)


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


def search(rule: NaiveRule, folder: Path, chunk: int = 1000) -> NgramFindings:
    """What the product finds, given some rows at a time."""

    def parts(rows: Sequence[Row]) -> Iterator[tuple[list[str], list[str]]]:
        for at in range(0, len(rows), chunk):
            part = rows[at : at + chunk]
            yield [f"{prompt} {response}" for prompt, response, _ in part], [prompt for prompt, *_ in part]

    every = [*rule.rows, *rule.evaluation]
    found = NgramSearch(NgramIndex.of(NgramHasher(rule.width), parts(rule.evaluation)), folder)
    for at, (texts, _) in enumerate(parts(every)):
        found.add(texts, np.array([group for *_, group in every[at * chunk : (at + 1) * chunk]]))
    keys = [(group, prompt) for prompt, _, group in rule.evaluation]
    again = np.array([key in keys[:at] for at, key in enumerate(keys)], np.bool_)
    of = np.array([group for *_, group in rule.evaluation], np.int64)
    named = np.isin(np.arange(max([group for *_, group in every], default=0) + 1), list(rule.named))
    groups = EvaluationGroups(of, again, named)
    return found.findings(groups, rule.template_share, rule.share, np.arange(len(every)) < len(rule.rows))


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.tuples(st.integers(2, 4), st.sampled_from([0.1, 0.5, 0.7, 1.0]), st.sampled_from([0.0, 0.3, 0.5, 1.0])),
    st.sets(st.integers(0, 2)),
    st.integers(1, 5),
)
def test_ngram_overlap_is_that_of_comparing_all_pairs(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    evaluation: list[Row],
    settings: tuple[int, float, float],
    named: set[int],
    chunk: int,
) -> None:
    rule = NaiveRule(rows, evaluation, *settings, named)
    findings = search(rule, tmp_path_factory.mktemp("hits"), chunk)
    assert (triples(findings.found), triples(findings.undecided)) == rule.pairs()
    assert findings.ngrams.tolist() == [len(ngrams(f"{one[0]} {one[1]}", rule.width)) for one in evaluation]


SPACED = st.sampled_from(["yes", "Yes", " yes ", "yes no", "Yes\n NO", "yes, no", "", "no"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(SPACED, SPACED), max_size=8), st.lists(st.tuples(SPACED, SPACED, st.integers(0, 1)), max_size=8)
)
def test_rows_are_the_same_where_their_texts_are(
    rows: list[tuple[str, str]], evaluation: list[tuple[str, str, int]]
) -> None:
    def folded(*texts: str) -> str:
        return " ".join(" ".join(texts).lower().split())

    benchmarks = np.array([benchmark for *_, benchmark in evaluation], np.int64)
    exact = ExactTexts(benchmarks)
    exact.add([prompt for prompt, *_ in evaluation], [response for _, response, _ in evaluation])
    found = exact.matches([prompt for prompt, _ in rows], [response for _, response in rows]).best(benchmarks)
    expected: Pairs = set()
    for row, ours in enumerate(rows):
        for benchmark in (0, 1):
            same = [
                place
                for place, (prompt, response, of) in enumerate(evaluation)
                if of == benchmark and (folded(prompt) == folded(ours[0]) or folded(prompt, response) == folded(*ours))
            ]
            expected |= {(row, place, 1.0) for place in same[:1]}
    assert triples(found) == expected


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(0, 40), st.sampled_from([2, 8, 64]), st.booleans())
def test_the_nearest_vector_is_that_of_comparing_all_pairs(
    seed: int, count: int, others: int, width: int, alike: bool
) -> None:
    random = np.random.default_rng(seed)
    theirs = random.normal(size=(others, width)).astype(np.float32)
    ours = random.normal(size=(count, width)).astype(np.float32)
    if alike and others and count:  # near ones, and equal ones among theirs
        theirs[others // 2 :] = theirs[: others - others // 2]
        ours = theirs[random.integers(0, others, count)] + random.normal(0, 0.05, (count, width)).astype(np.float32)
    ours, theirs = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (ours, theirs))
    asked = np.flatnonzero(random.random(count) < 0.8)
    with patch.multiple(comparing, _OUR_ROWS=7, _THEIR_ROWS=5, _PAIRS=3):  # in many blocks, over threads
        rows, cosines = nearest_above(ours, asked, theirs, 0.9)
    for vector, row, cosine in zip(ours[asked], rows.tolist(), cosines.tolist(), strict=True):
        every = np.einsum("d,md->m", vector, theirs, dtype=np.float64).round(6)
        if not len(every) or every.max() < 0.9:
            assert (row, cosine) == (-1, 0.0)
        else:
            assert (row, cosine) == (int(every.argmax()), float(every.max()))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.2, 0.5, 1.0])), max_size=12))
def test_of_each_row_and_benchmark_the_best_pair_is_kept(pairs: list[tuple[int, int, float]]) -> None:
    benchmarks = np.array([0, 0, 0, 1, 1, 2])
    columns = [np.array(column) for column in zip(*pairs, strict=True)] or [np.empty(0, np.int64)] * 3
    found = Matches(*columns).best(benchmarks)
    expected = {}
    for pair in sorted(pairs, key=lambda pair: (pair[2], -pair[1])):
        expected[pair[0], benchmarks[pair[1]]] = pair
    assert triples(found) == set(expected.values())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        pytest.param({"ngram": 4}, r"contamination\.ngram: got 4; .*greater than or equal to 5", id="short"),
        pytest.param({"ngram": 13.5}, r"contamination\.ngram: got 13\.5", id="half a word"),
        pytest.param({"share": 1.5}, r"contamination\.share: got 1\.5; .*less than or equal to 1", id="share"),
        pytest.param({"template_share": 0}, r"contamination\.template_share: got 0; .*greater than 0", id="template"),
        pytest.param({"similarity": 0}, r"contamination\.similarity: got 0; .*greater than 0", id="similarity"),
        pytest.param({"exclude": "sometimes"}, r"contamination\.exclude: got 'sometimes'", id="exclude"),
        pytest.param({"threshold": 0.9}, r"contamination\.threshold: this key is not known here", id="unknown"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"contamination": setting})


def test_a_local_set_is_read_whatever_its_fields_are_called(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    lines = [
        {"question": "Which of these is it?", "choices": {"text": ["one", "two"], "label": ["A", "B"]}, "answer": 1},
        {"n": 1, "nothing": None, "blank": "  "},
        {"half": "\ud800 a character"},
    ]
    (tmp_path / "arc.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    (tmp_path / "deep" / "arc.dev.jsonl").write_text('{"input": "q", "target": "long answer"}')
    (tmp_path / "notes.txt").write_text("not a row")
    found = [(row.id, row.task, row.prompt, row.response) for row in read_local_rows("arc", tmp_path)]
    assert found == [
        ("arc.jsonl:1", "arc", "Which of these is it?", "one two A B"),
        ("arc.jsonl:3", "arc", "? a character", ""),
        ("deep/arc.dev.jsonl:1", "arc.dev", "long answer", "q"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'{"a": "b"}\n{', r"set\.jsonl must hold JSON objects, one a line; line 2", id="cut"),
        pytest.param(b'{"a": "b"}\n[1]', "line 2: the line holds a list", id="a list"),
        pytest.param(b'{"a": "\xff"}', "must hold JSON objects", id="not UTF-8"),
        pytest.param(b'{"a": ' + b"[" * 100_000, "must hold JSON objects", id="too deep"),
    ],
)
def test_a_local_set_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(EvaluationError, match=rf"(?s)evaluate\.local_data 'mmlu': .*{message}"):
        read_local_rows("mmlu", tmp_path)


def test_a_local_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=re.escape(f"folder {tmp_path / 'none'} does not exist")):
        read_local_rows("mmlu", tmp_path / "none")
