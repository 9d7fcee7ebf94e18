import hashlib
import math

import numpy as np
import pytest
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


def mixed(value: int) -> int:
    """MurmurHash3's last steps, in Python's integers."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = (value ^ (value >> shift)) * factor % 2**32
    return value ^ (value >> 16)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("ab cé.", max_size=30), max_size=20), st.integers(0, 3))
def test_signatures_are_the_lowest_values_of_each_permutation(prompts: list[str], long: int) -> None:
    prompts += [" ".join(f"w{n}" for n in range(3000 * (longer + 1))) for longer in range(long)]
    sketcher = Sketcher()
    signatures = sketcher.signatures(prompts)
    for prompt, signature in zip(prompts, signatures, strict=True):
        hashes = [mixed(value) for value in set(Shingler().hashes(prompt).tolist())]
        for place in (0, 1, WIDTH - 1):
            factor, term = int(sketcher._factors[place, 0]), int(sketcher._terms[place, 0])
            assert signature[place] == min((factor * value + term) % 2**32 for value in hashes)


def test_signatures_are_those_of_datasketch() -> None:
    """Values kept from `datasketch.MinHash(num_perm=64, seed=1, scheme="affine32")` of version 2.0.0."""
    sketcher = Sketcher()
    permutations = np.stack([sketcher._factors[:, 0], sketcher._terms[:, 0]])
    assert permutations[:, :3].tolist() == [[3582191691, 4270784983, 1892572953], [4114104213, 1768615473, 2289927481]]
    assert hashlib.sha256(permutations.astype("<u4").tobytes()).hexdigest() == (
        "d3b0534307063ffdd1772018baca3e2fb2d9daec548a72af820c7e813dc0c0f6"
    )
    short = ["", "?", "yes", "The quick brown fox jumps over the lazy dog", "हिन्दी में है", "日本語、です"]
    signatures = sign(*short, *(" ".join(f"w{n}" for n in range(count)) for count in (3000, 6000, 9000)))
    assert signatures[:, 0].tolist()[:6] == [4114104213, 2467704399, 3092126339, 650918213, 2828567210, 2164750120]
    assert signatures[:, -1].tolist()[6:] == [1080388, 68450, 68450]
    assert hashlib.sha256(signatures.astype("<u4").tobytes()).hexdigest() == (
        "3fa471fc65fc39aa971d2b0003d4ebc3c20019dcb6107be74f73005bef475b87"
    )


def test_long_prompts_are_compared_as_a_whole() -> None:
    words = " ".join(f"w{n}" for n in range(10_000))
    first, same_end, same_start = sign(words, "other beginning " + words, words + " other end")
    assert near(first, same_end, 0.9)
    assert near(first, same_start, 0.9)


def test_short_prompts_are_near_only_where_they_are_equal() -> None:
    labels = clusters_of(sign("yes", "Yes!", "no", "", "?", "yes no", "no yes"), 0.1, quiet)
    assert labels[0] == labels[1]
    assert len(set(labels.tolist())) == 6


def test_ten_thousand_near_duplicates_are_quick_to_join() -> None:
    signatures = np.tile(np.arange(WIDTH, dtype=np.uint32), (10_000, 1))
    signatures[:, :6] = np.random.default_rng(0).integers(0, 2**32, (10_000, 6), dtype=np.uint32)
    assert len(set(clusters_of(signatures, 0.8, quiet).tolist())) == 1
    assert (nearest_prompts(signatures, signatures[:100], 0.8)[0] >= 0).all()
