"""The rules that find evaluation text, against naive versions of themselves."""

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.contamination import ngram_overlap
from smart_assets.contamination.exact import ExactTexts
from smart_assets.contamination.matches import Matches
from smart_assets.core.errors import EvaluationError, SettingsError, SourceError
from smart_assets.embedding import nearest as comparing
from smart_assets.embedding.nearest import nearest_above
from smart_assets.embedding.windows import PromptVectors
from smart_assets.evaluation.local_rows import read_local_rows
from smart_assets_tests.support.contamination_oracle import NaiveRule, Pairs, Row, ngrams, search, taken, triples
from smart_assets_tests.support.projects import write_project

# Few words, so that n-grams meet; marks and case that do not count.
WORDS = st.sampled_from(["a", "b", "c", "A!", "b,", "ü"])
TEXT = st.lists(WORDS, max_size=9).map(" ".join)
ROWS = st.lists(st.tuples(TEXT, TEXT, st.integers(0, 2)), max_size=12)


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.tuples(st.integers(2, 4), st.sampled_from([0.1, 0.5, 0.7, 1.0]), st.sampled_from([0.0, 0.3, 0.5, 1.0])),
    st.sets(st.integers(0, 2)),
    st.tuples(st.integers(1, 5), st.sampled_from([0, 3, 1 << 22])),
)
def test_ngram_overlap_is_that_of_comparing_all_pairs(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    evaluation: list[Row],
    settings: tuple[int, float, float],
    named: set[int],
    at_once: tuple[int, int],
) -> None:
    rule = NaiveRule(rows, evaluation, *settings, named)
    chunk, pairs = at_once
    with patch.multiple(ngram_overlap, _MOST_PAIRS=max(1, pairs), _MOST_PENDING=pairs):
        findings = search(rule, tmp_path_factory.mktemp("hits"), chunk)
    assert (triples(findings.overlapping), triples(findings.undecided)) == rule.pairs()
    assert findings.ngrams.tolist() == [len(ngrams(f"{one[0]} {one[1]}", rule.width)) for one in evaluation]
    assert findings.telling.tolist() == [len(rule.telling(one)) for one in evaluation]


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.tuples(st.integers(2, 4), st.sampled_from([0.1, 0.5, 0.7, 1.0]), st.just(0.3)),
    st.sets(st.integers(0, 2)),
    st.integers(1, 5),
)
def test_what_is_alike_by_its_template_alone_is_that_of_comparing_all_pairs(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    evaluation: list[Row],
    settings: tuple[int, float, float],
    named: set[int],
    chunk: int,
) -> None:
    rule = NaiveRule(rows, evaluation, *settings, named)
    found, groups = taken(rule, tmp_path_factory.mktemp("hits"), chunk)
    places = np.array([(row, other) for row in range(len(rows)) for other in range(len(evaluation))], np.int64)
    places = places.reshape(-1, 2)
    pairs = Matches(places[:, 0], places[:, 1], np.ones(len(places)))
    expected = [rule.by_template(rows[row], evaluation[other]) for row, other in places.tolist()]
    assert found.by_template(pairs, groups, rule.template_share).tolist() == expected


TEMPLATE = "one two three four five six seven eight"


@pytest.mark.parametrize(
    ("own", "row", "expected"),
    [
        pytest.param("x y z", "other words", True, id="nothing but the template"),
        pytest.param("x y z", "see eight x y z", False, id="something of its own, too"),
        pytest.param("x y z a b c d e f", "other words", False, id="less than half is the template"),
        pytest.param("", "other words", False, id="the template is all"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_rows_that_share_but_a_template(tmp_path: Path, own: str, row: str, expected: bool, chunk: int) -> None:
    filled = [(f"{TEMPLATE} w{number} v{number}", "", 0) for number in range(9)]
    rule = NaiveRule([*filled, (f"{TEMPLATE} {row}", "", 1)], [(f"{TEMPLATE} {own}", "", 0)], 3, 0.5, 0.3, [])
    found, groups = taken(rule, tmp_path, chunk)
    pair = Matches(np.array([9]), np.array([0]), np.ones(1))
    assert (
        found.by_template(pair, groups, 0.5).tolist()
        == [expected]
        == [rule.by_template(rule.rows[9], rule.evaluation[0])]
    )


def test_pairs_are_joined_moved_chosen_and_taken_out() -> None:
    one = Matches(np.array([0, 1]), np.array([5, 3]), np.array([0.5, 1.0]))
    other = Matches(np.array([1, 0]), np.array([3, 4]), np.array([0.2, 0.3]))
    assert triples(Matches.joined([one, other])) == {(0, 5, 0.5), (1, 3, 1.0), (0, 4, 0.3)}
    assert Matches.joined([one, other]).rows.tolist() == [0, 1, 1, 0]
    assert Matches.joined([]).rows.tolist() == Matches.joined([]).scores.tolist() == []
    assert triples(one.moved(10)) == {(10, 5, 0.5), (11, 3, 1.0)}
    assert triples(one.moved(10, 100)) == {(10, 105, 0.5), (11, 103, 1.0)}
    assert triples(one.only(np.array([False, True]))) == {(1, 3, 1.0)}
    assert triples(one.without(other)) == {(0, 5, 0.5)}
    assert triples(other.without(one)) == {(0, 4, 0.3)}
    assert triples(one.without(Matches.joined([]))) == triples(one)
    nearest = Matches.nearest(np.array([7, 8, 9]), np.array([-1, 0, 2]), np.array([0.0, 0.9, 0.8]))
    assert triples(nearest) == {(8, 0, 0.9), (9, 2, 0.8)}


def test_a_pair_of_one_row_is_not_taken_for_one_of_another() -> None:
    """Pairs are told apart by one number each: (0, 3) and (1, 0) must not meet."""
    one = Matches(np.array([0, 1]), np.array([3, 0]), np.ones(2))
    for rows, evaluation in ((0, 3), (1, 0)):
        kept = one.without(Matches(np.array([rows]), np.array([evaluation]), np.ones(1)))
        assert triples(kept) == triples(one) - {(rows, evaluation, 1.0)}


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
        found, document = nearest_above(PromptVectors.short(ours), asked, PromptVectors.short(theirs), 0.9)
    assert (document.rows == -1).all(), "all are of one window"
    for vector, row, cosine in zip(ours[asked], found.rows.tolist(), found.cosines.tolist(), strict=True):
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
