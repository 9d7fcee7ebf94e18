"""Embedding step by step: every prompt once, through kills, damage and earlier artifacts; and the means of tasks."""

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError, StoreError
from smart_assets.embedding import embed
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts, task_means
from smart_assets.embedding.vectors import normalized
from smart_assets_tests.support.hash_encoder import (
    WIDTH,
    HashEncoder,
    by_hash,
    embedded,
    numbered,
    opened,
    silent,
    taken,
    vector_of,
)


class ZeroEncoder(HashEncoder):
    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = super().vectors(texts)
        vectors[[text == "bad" for text in texts]] = np.float32(texts[0] == "nan") * np.nan
        return vectors


def unseen(known: VectorCache, prompts: dict[str, str]) -> int:
    return int((known.rows_of(list(prompts)) < 0).sum())


def check(prompts: dict[str, str], vectors: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(vectors, [vector_of(text) for text in prompts.values()], atol=1e-6)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


# "S" starts anew from the segments on disk, "A" commits all vectors to an artifact and drops the segments.
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.sets(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1), st.sampled_from("SA")))
)
def test_any_sequence_of_prompt_sets_embeds_each_prompt_once(steps: list[set[str] | str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, artifact = Path(name), Path(name) / "vectors.npy"
        encoder = HashEncoder(batch_size=3)
        committed: list[str] = []
        seen: dict[str, str] = {}
        known = opened(folder)
        for step in steps:
            if isinstance(step, set):
                prompts = by_hash(sorted(step))
                seen |= prompts
                check(prompts, embedded(prompts, encoder, known))
                continue
            if step == "A" and seen:
                np.save(artifact, taken(known, list(seen)))
                committed = list(seen)
                known.drop_segments()
                assert not segments(folder / "v1")
            known = opened(folder)
            if committed:
                known.add_artifact(committed, artifact)
        assert encoder.seen == Counter(dict.fromkeys(seen.values(), 1))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    prompts = numbered(3000)
    program = (
        "from pathlib import Path\n"
        "from smart_assets_tests.support.hash_encoder import *\n"
        f"known = opened(Path({str(tmp_path)!r}))\n"
        "embedded(numbered(3000), HashEncoder(dies_after=2500), known)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == -signal.SIGKILL
    encoder = HashEncoder()
    known = opened(tmp_path)
    left = unseen(known, prompts)
    assert 3000 - 2500 <= left <= 3000 - 2 * 1024
    check(prompts, embedded(prompts, encoder, known))
    assert encoder.seen.total() == left


def test_a_run_with_nothing_new_loads_no_encoder_and_writes_nothing(tmp_path: Path) -> None:
    prompts = numbered(20)
    embedded(prompts, HashEncoder(), opened(tmp_path))
    before = segments(tmp_path)
    encoder = HashEncoder()
    reverse = dict(reversed(prompts.items()))
    check(reverse, embedded(reverse, encoder, opened(tmp_path)))
    assert not encoder.loaded
    assert segments(tmp_path) == before


def test_another_encoder_version_sees_none_of_the_vectors(tmp_path: Path) -> None:
    prompts = numbered(5)
    embedded(prompts, HashEncoder(), opened(tmp_path))
    assert unseen(opened(tmp_path, "v2"), prompts) == 5


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(truncate, id="truncated"),
        pytest.param(flip_a_bit, id="one-bit-flipped"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\x80\x04K\x01."), id="pickle"),
        pytest.param(lambda path: (path.unlink(), path.symlink_to("nowhere")), id="gone"),
    ],
)
def test_a_damaged_segment_is_named_and_its_prompts_embedded_again(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    first, second = numbered(10), by_hash(["other", "another"])
    known = opened(tmp_path)
    embedded(first, HashEncoder(), known)
    damaged = segments(tmp_path)[0]
    embedded(second, HashEncoder(), known)
    damage(damaged)

    encoder, lines = HashEncoder(), list[str]()
    known = opened(tmp_path, log=lines.append)
    assert len(lines) == 1
    assert damaged.name in lines[0]
    check(first | second, embedded(first | second, encoder, known))
    assert set(encoder.seen) == set(first.values())


def test_drop_segments_leaves_what_another_run_wrote(tmp_path: Path) -> None:
    mine, other = opened(tmp_path), opened(tmp_path)
    embedded(numbered(3), HashEncoder(), mine)
    embedded(by_hash(["theirs"]), HashEncoder(), other)
    mine.drop_segments()
    assert len(segments(tmp_path)) == 1
    other.drop_segments()
    assert not (tmp_path / "v1").exists()


def test_segments_that_another_run_drops_stay_readable(tmp_path: Path) -> None:
    prompts = numbered(5)
    mine = opened(tmp_path)
    embedded(prompts, HashEncoder(), mine)
    other = opened(tmp_path)
    mine.drop_segments()
    encoder = HashEncoder()
    check(prompts, embedded(prompts, encoder, other))
    assert not encoder.seen
    other.drop_segments()
    assert not (tmp_path / "v1").exists()


def test_texts_are_read_a_chunk_ahead_and_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_CHUNK_PROMPTS", 10)
    monkeypatch.setattr(embed, "_CHUNK_CHARACTERS", 1000)
    read, ahead = 0, list[int]()

    def texts(prompts: dict[str, str]) -> Iterator[tuple[str, str]]:
        nonlocal read
        for pair in prompts.items():
            read += 1
            yield pair

    class Watching(HashEncoder):
        def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
            ahead.append(read - self.seen.total())
            return super().vectors(texts)

    prompts = numbered(95) | by_hash(["x" * 400 + str(number) for number in range(12)])
    encoder, known = Watching(batch_size=4), opened(tmp_path)
    embed_prompts(texts(prompts), len(prompts), encoder, known, silent)
    check(prompts, taken(known, list(prompts)))
    assert encoder.seen == Counter(dict.fromkeys(prompts.values(), 1))
    assert max(ahead) <= 2 * 10


def test_progress_is_logged_and_segments_written_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    lines: list[str] = []
    embedded(numbered(160), HashEncoder(), opened(tmp_path), lines.append)
    assert len(lines) > 2
    assert all(" rows, " in line and "/s, " in line and line.endswith(" s left") for line in lines)
    assert len(segments(tmp_path)) > 2


@pytest.mark.parametrize("first", ["zero", "nan"])
def test_a_vector_without_direction_is_refused_and_its_prompt_named(first: str, tmp_path: Path) -> None:
    prompts = by_hash([first, "bad"])
    name = list(prompts)[1]
    with pytest.raises(EmbeddingError, match=f"1 prompts, the first with hash '{name}'"):
        embedded(prompts, ZeroEncoder(batch_size=2), opened(tmp_path))


def test_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    known = opened(tmp_path)
    with pytest.raises(
        EmbeddingError, match="known vectors are of encoder version 'v1' and 8 windows, the encoder of 'v2' and 8"
    ):
        embedded({"h": "text"}, HashEncoder(version="v2"), known)


def test_unknown_rows_are_not_filled(tmp_path: Path) -> None:
    known = opened(tmp_path)
    known.put(["known"], np.ones((1, WIDTH), np.float32))
    assert known.rows_of(["other", "known"]).tolist() == [-1, 0]
    with pytest.raises(ValueError, match="rows must be known"):
        known.fill(np.array([0, -1]), np.empty((2, WIDTH), np.float32))


def test_of_repeated_hashes_the_first_counts_over_artifacts_and_segments(tmp_path: Path) -> None:
    known = opened(tmp_path)
    np.save(tmp_path / "vectors.npy", np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH))
    known.add_artifact(["a", "b", "a"], tmp_path / "vectors.npy")
    known.put(["b", "c"], np.full((2, WIDTH), 9, np.float32))
    assert taken(known, ["c", "a", "b", "a"])[:, 0].tolist() == [9, 0, WIDTH, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(np.zeros((2, WIDTH), np.float32), r"must hold \(3, d\) float32", id="too-few-rows"),
        pytest.param(np.zeros((3, WIDTH)), r"it holds \(3, 8\) float64", id="float64"),
        pytest.param(np.zeros(3, np.float32), r"it holds \(3,\) float32", id="flat"),
        pytest.param(np.zeros((3, WIDTH + 1), np.float32), "must have one width; got 9 after 8", id="other-width"),
    ],
)
def test_artifacts_of_another_shape_are_refused(content: NDArray[np.float32], message: str, tmp_path: Path) -> None:
    known = opened(tmp_path)
    known.put(["known"], np.ones((1, WIDTH), np.float32))
    np.save(tmp_path / "vectors.npy", content)
    with pytest.raises(StoreError, match=message):
        known.add_artifact(["a", "b", "c"], tmp_path / "vectors.npy")


def test_unreadable_artifacts_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    known = VectorCache(tmp_path / "cache", "v1", silent, tmp_path / "links", 8)
    with pytest.raises(StoreError, match="cannot be read"):
        known.add_artifact(["a"], tmp_path / "absent.npy")
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(StoreError, match="cannot be read"):
        known.add_artifact(["a"], tmp_path / "pickle.npy")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        known.put(["a"], np.ones((1, WIDTH), np.float32))


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 2**32 - 1))
def test_task_means_are_the_plain_means_scaled_to_length_one(more: list[int], seed: int) -> None:
    codes = np.array([0, 1, 2, 3, *more])
    vectors = np.random.default_rng(seed).normal(size=(len(codes), WIDTH)).astype(np.float32)
    rows = np.random.default_rng(seed).permutation(len(codes) + 5)[: len(codes)]
    source = np.full((len(codes) + 5, WIDTH), np.nan, np.float32)
    source[rows] = vectors
    means = task_means(source, rows, codes, ["a", "b", "c", "d"])
    for code in range(4):
        mean = vectors[codes == code].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(means[code], mean / np.linalg.norm(mean), atol=1e-9)


UNIT = np.eye(2, dtype=np.float32)


@pytest.mark.parametrize(
    ("vectors", "codes", "names", "message"),
    [
        pytest.param(UNIT, [0], ["a"], "2 vectors have 1 task codes", id="lengths-differ"),
        pytest.param(UNIT[:0], [], [], "no vectors to average", id="no-rows"),
        pytest.param(UNIT, [0, 1], ["a"], r"must lie in \[0, 1\); they span \[0, 1\]", id="code-too-high"),
        pytest.param(UNIT, [-1, 0], ["a"], r"they span \[-1, 0\]", id="negative-code"),
        pytest.param(UNIT, [0, 0], ["a", "b\x1b[31m"], r"task 'b\\x1b\[31m' has no prompt", id="task-without-rows"),
        pytest.param(np.array([[1, 0], [-1, 0]], np.float32), [0, 0], ["a"], "'a' cancel out", id="opposite-vectors"),
        pytest.param(UNIT * np.nan, [0, 0], ["a"], "'a' cancel out", id="not-finite"),
    ],
)
def test_tasks_without_a_mean_are_refused(
    vectors: NDArray[np.float32], codes: list[int], names: list[str], message: str
) -> None:
    with pytest.raises(EmbeddingError, match=message):
        task_means(vectors, np.arange(len(vectors)), np.array(codes, dtype=np.int64), names)


@given(st.integers(1, 60), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_sums_are_to_the_bit_those_of_all_rows_at_once(count: int, at_once: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    at_a_time = task_means(vectors, np.arange(count), np.zeros(count, np.int64), ["a"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "_SUMMED_ROWS", at_once)
        np.testing.assert_array_equal(
            task_means(vectors, np.arange(count), np.zeros(count, np.int64), ["a"]), at_a_time
        )
    np.testing.assert_array_equal(at_a_time, normalized(vectors.mean(axis=0, dtype=np.float64)[None]))
