"""Where a bound holds exactly, where equal ones are told apart, and where counting begins above zero."""

import numpy as np
import pytest
from numpy.typing import NDArray

from smart_assets.contamination.arrays import among, ranges
from smart_assets.contamination.exact import ExactTexts
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex, Postings, TextNgrams
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.contamination.templates import MIXED, NAMED_SHARE, Counts, EvaluationGroups
from smart_assets.contamination.whole_prompts import WholePrompts


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def pairs_of(matches: Matches) -> list[tuple[int, int, float]]:
    return list(zip(matches.rows.tolist(), matches.evaluation.tolist(), matches.scores.tolist(), strict=True))


@pytest.mark.parametrize(
    ("rows", "size", "share", "common"),
    [
        pytest.param(5, 50, 0.1, False, id="exactly the share"),
        pytest.param(6, 50, 0.1, True, id="one more than the share"),
        pytest.param(2, 4, 0.1, False, id="two rows are no template"),
        pytest.param(3, 4, 0.1, True, id="three rows are"),
        pytest.param(4, 4, 1.0, False, id="a share of 1 is of no group"),
    ],
)
def test_an_ngram_is_common_above_the_share_only(rows: int, size: int, share: float, common: bool) -> None:
    width = 7
    counts = Counts(ints(1 * width + 3), ints(rows), ints(1000, size), width)
    assert counts.common(share).tolist() == ([10] if common else [])
    assert counts.common(np.array([0.0, share])).tolist() == ([10] if common else [])


def test_rows_that_are_counted_elsewhere_leave_the_counts_and_the_sizes() -> None:
    counts = Counts(ints(1, 4, 9), ints(5, 6, 7), ints(10, 20), 5)
    less = counts.less(Counts(ints(4, 9), ints(2, 7), ints(3, 4), 5))
    assert (less.keys.tolist(), less.rows.tolist(), less.sizes.tolist()) == ([1, 4, 9], [5, 4, 0], [7, 16])
    assert counts.rows.tolist() == [5, 6, 7]


def test_a_named_group_has_one_template_and_another_may_mix_some() -> None:
    groups = EvaluationGroups(ints(0, 1), np.array([False, False]), np.array([True, False]))
    assert groups.shares(0.1).tolist() == [NAMED_SHARE, 0.1]
    assert groups.shares(0.8).tolist() == [0.8, 0.8]
    assert groups.mixed_shares(0.5).tolist() == [1.0, MIXED * 0.5]


def test_the_best_pair_is_one_of_each_row_and_benchmark_and_of_equal_ones_the_lowest() -> None:
    benchmarks = ints(0, 1, 0, 1, 0)
    matches = Matches(ints(7, 7, 7, 7, 8, 8), ints(4, 2, 3, 1, 0, 4), np.array([0.5, 0.5, 0.9, 0.3, 0.2, 0.4]))
    assert pairs_of(matches.best(benchmarks)) == [(7, 2, 0.5), (7, 3, 0.9), (8, 4, 0.4)]
    assert pairs_of(Matches.joined([]).best(benchmarks)) == []


def test_pairs_are_moved_joined_and_taken_out_by_both_rows() -> None:
    matches = Matches(ints(0, 1, 1), ints(2, 0, 2), np.array([0.1, 0.2, 0.3]))
    moved = matches.moved(10, 5)
    assert pairs_of(moved) == [(10, 7, 0.1), (11, 5, 0.2), (11, 7, 0.3)]
    assert pairs_of(matches.moved(10)) == [(10, 2, 0.1), (11, 0, 0.2), (11, 2, 0.3)]
    # 1 * 2 + 0 and 0 * 2 + 2 are the same: the width must be above every evaluation row.
    assert pairs_of(matches.without(Matches(ints(0), ints(2), np.ones(1)))) == [(1, 0, 0.2), (1, 2, 0.3)]
    assert pairs_of(Matches.nearest(ints(3, 4, 5), ints(0, -1, 2), np.array([0.9, 0.8, 0.7]))) == [
        (3, 0, 0.9),
        (5, 2, 0.7),
    ]


def test_the_same_text_is_found_once_for_each_benchmark_by_the_number_of_its_own_row() -> None:
    exact = ExactTexts(ints(0, 1, 1, 0))
    exact.add(["other", "The  prompt"], ["x", "yes"])
    exact.add(["the PROMPT", "the"], ["no", "prompt no"])
    assert sorted(pairs_of(exact.matches(["nothing", "the prompt"], ["", "no"]))) == [
        (1, 1, 1.0),
        (1, 2, 1.0),
        (1, 3, 1.0),
    ]


def test_lookups_at_both_ends() -> None:
    assert among(ints(0, 1, 5, 9, 10), ints(1, 5, 9)).tolist() == [False, True, True, True, False]
    assert among(ints(1), ints()).tolist() == [False]
    assert ranges(ints(4, 9, 2), ints(2, 0, 3)).tolist() == [4, 5, 2, 3, 4]


def test_ngrams_of_a_prompt_end_with_its_last_word() -> None:
    """Two batches, so that texts are numbered from above zero; of two n-grams of the first text one is the prompt's."""
    hasher = NgramHasher(3)
    index = NgramIndex.of(hasher, [(["a b c d"], ["a b c"]), (["x", "d e f g h"], ["x", "d e"])])
    texts = TextNgrams.of(index.postings, index.postings.asked, 3)
    assert TextNgrams.of(index.postings, np.ones(len(index.postings.texts), np.bool_), 3).sizes().tolist() == [2, 0, 3]
    assert texts.sizes().tolist() == [1, 0, 3], "a prompt without an n-gram is asked for as the whole text"
    rows, ngrams = index.hits(["nothing here at all", "b c d e f", "c d e f g"])
    assert rows.tolist() == [1, 1, 2, 2]
    assert texts.shared(ints(1, 2), ints(2, 2), rows, ngrams).tolist() == [1, 2]


def test_the_whole_prompt_is_all_of_its_ngrams() -> None:
    postings = Postings(ints(0, 1, 3, 4), ints(0, 0, 1, 1), np.ones(4, np.bool_))  # text 0: 0, 1; text 1: 1, 2
    prompts = WholePrompts(postings, 2, np.zeros(4, np.bool_))
    assert pairs_of(prompts.held_by(ints(5, 6, 6, 7, 7), ints(1, 0, 1, 0, 2))) == [(6, 0, 1.0)]
    assert pairs_of(prompts.held_by(ints(5, 5, 5), ints(0, 1, 2))) == [(5, 0, 1.0), (5, 1, 1.0)]
    common = np.array([False, True, True, True])
    assert pairs_of(WholePrompts(postings, 2, common).held_by(ints(5, 5, 5), ints(0, 1, 2))) == [(5, 0, 1.0)]
