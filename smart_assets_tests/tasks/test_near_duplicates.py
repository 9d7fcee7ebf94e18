import math

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.tasks.near_duplicates import WIDTH, Sketcher, clusters_of, nearest_prompts
from smart_assets.tasks.word_shingles import Shingler, normalized

SIMILARITY = st.sampled_from([0.05, 0.3, 0.5, 0.75, 0.8, 0.9, 1.0])
# Few distinct values, so that signatures are equal in many places.
SIGNATURES = st.builds(
    lambda seed, rows, values: np.random.default_rng(seed).integers(0, values, (rows, WIDTH), dtype=np.uint32),
    st.integers(0, 1000),
    st.integers(0, 30),
    st.integers(1, 3),
)


def quiet(_: str) -> None:
    pass


def sign(*prompts: str) -> NDArray[np.uint32]:
    return Sketcher().signatures(prompts)


def near(one: NDArray[np.uint32], other: NDArray[np.uint32], similarity: float) -> bool:
    return bool(np.mean(one == other) >= similarity - 1e-9)


def naive_clusters(signatures: NDArray[np.uint32], similarity: float) -> list[set[int]]:
    clusters: list[set[int]] = []
    for row in range(len(signatures)):
        joined = [c for c in clusters if any(near(signatures[row], signatures[other], similarity) for other in c)]
        clusters = [c for c in clusters if c not in joined] + [{row}.union(*joined)]
    return clusters


@settings(deadline=None)
@given(SIGNATURES, SIMILARITY)
def test_clusters_are_those_of_comparing_all_pairs(signatures: NDArray[np.uint32], similarity: float) -> None:
    labels = clusters_of(signatures, similarity, quiet)
    found = [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    assert sorted(found, key=min) == sorted(naive_clusters(signatures, similarity), key=min)


@settings(deadline=None)
@given(SIGNATURES, SIGNATURES, SIMILARITY)
def test_nearest_prompts_are_those_of_comparing_all_pairs(
    ours: NDArray[np.uint32], theirs: NDArray[np.uint32], similarity: float
) -> None:
    rows, alike = nearest_prompts(ours, theirs, similarity)
    for row, found, share in zip(ours, rows.tolist(), alike.tolist(), strict=True):
        near_ones = [at for at, other in enumerate(theirs) if near(row, other, similarity)]
        best = max(near_ones, key=lambda at: float(np.mean(row == theirs[at])), default=None)
        assert (found, share) == ((-1, 0.0) if best is None else (best, float(np.mean(row == theirs[best]))))


@pytest.mark.parametrize("similarity", [0.5, 0.75, 0.8, 0.95])
def test_a_pair_that_differs_in_every_band_but_one_is_found(similarity: float) -> None:
    """As many values differ as may, one in each of as many bands: were there no band more, the pair would be missed."""
    differing = WIDTH - math.ceil(similarity * WIDTH)
    one = np.arange(WIDTH, dtype=np.uint32)[None]
    for place in (0, -1):
        other = one.copy()
        other[0, [band[place] for band in np.array_split(np.arange(WIDTH), differing)]] += 1000
        assert nearest_prompts(one, other, similarity)[0].tolist() == [0]
        assert len(set(clusters_of(np.concatenate([one, other]), similarity, quiet).tolist())) == 1
        other[0, np.flatnonzero(one[0] == other[0])[0]] += 1000  # and one more
        assert nearest_prompts(one, other, similarity)[0].tolist() == [-1]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        pytest.param("Hello,  WORLD!", "hello world", id="case and punctuation"),
        pytest.param("a_b-c\n\td", "a b c d", id="underscores and breaks"),
        pytest.param("Straße ﬁ", "strasse fi", id="folding"),
        pytest.param("हिन्दी में", "हिन्दी में", id="vowel marks"),
        pytest.param("日本語、です", "日本語 です", id="ideographs"),
        pytest.param(" ???  !", "??? !", id="nothing but punctuation"),
    ],
)
def test_what_does_not_count_is_taken_away(prompt: str, text: str) -> None:
    assert normalized(prompt) == text


@settings(deadline=None)
@given(st.lists(st.text("abcdeé", min_size=1), max_size=6))
def test_equal_normalized_prompts_have_equal_signatures(words: list[str]) -> None:
    plain, dressed = " ".join(words), " – ".join(words).upper() + "..."
    if words:
        assert normalized(plain) == normalized(dressed)
        assert np.array_equal(*sign(plain, dressed))


@pytest.mark.parametrize("words", [3, 10, 1000, 5000])
def test_a_signature_estimates_the_jaccard_similarity_of_shingles(words: int) -> None:
    one = [f"w{n}" for n in range(words)]
    other = [*one[: words * 4 // 5], *(f"x{n}" for n in range(words // 5))]
    sets = [set(Shingler().hashes(" ".join(text)).tolist()) for text in (one, other)]
    jaccard = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    signatures = sign(" ".join(one), " ".join(other))
    assert np.mean(signatures[0] == signatures[1]) == pytest.approx(jaccard, abs=0.2)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("ab cé.", max_size=30), max_size=20), st.integers(0, 3))
def test_signatures_are_those_of_datasketch(prompts: list[str], long: int) -> None:
    prompts += [" ".join(f"w{n}" for n in range(3000 * (at + 1))) for at in range(long)]
    expected = []
    for prompt in prompts:
        sketch = MinHash(num_perm=WIDTH, seed=1, hashfunc=int, scheme="affine32")
        sketch.update_batch(Shingler().hashes(prompt).tolist())
        expected.append(sketch.hashvalues.tolist())
    assert sign(*prompts).tolist() == expected


def test_long_prompts_are_compared_as_a_whole() -> None:
    words = " ".join(f"w{n}" for n in range(10_000))
    first, same_end, same_start = sign(words, "other beginning " + words, words + " other end")
    assert near(first, same_end, 0.9)
    assert near(first, same_start, 0.9)


def test_signatures_are_what_they_always_were() -> None:
    assert sign("The quick brown fox jumps over the lazy dog")[0, :4].tolist() == [
        650918213,
        554367515,
        61306702,
        694752971,
    ]


def test_short_prompts_are_near_only_where_they_are_equal() -> None:
    labels = clusters_of(sign("yes", "Yes!", "no", "", "?", "yes no", "no yes"), 0.1, quiet)
    assert labels[0] == labels[1]
    assert len(set(labels.tolist())) == 6


def test_ten_thousand_near_duplicates_are_quick_to_join() -> None:
    signatures = np.tile(np.arange(WIDTH, dtype=np.uint32), (10_000, 1))
    signatures[:, :6] = np.random.default_rng(0).integers(0, 2**32, (10_000, 6), dtype=np.uint32)
    assert len(set(clusters_of(signatures, 0.8, quiet).tolist())) == 1
    assert (nearest_prompts(signatures, signatures[:100], 0.8)[0] >= 0).all()
