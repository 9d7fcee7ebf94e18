"""Embedding step by step: every prompt once, through kills, damage and earlier artifacts; and the means of tasks."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts, task_means
from smart_assets.errors import EmbeddingError, StoreError

WIDTH = 8


@dataclass
class HashEncoder:
    """Stands for a sentence encoder: a vector from the text's hash, at no cost, with a count of what was read."""

    version: str = "v1"
    batch_size: int = 16
    max_length: int = 64
    dies_after: int | None = None
    read: Counter[str] = field(default_factory=Counter)
    batches: list[list[str]] = field(default_factory=list)

    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        self.read.update(prompts)
        self.batches.append(list(prompts))
        if self.dies_after is not None and self.read.total() > self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.stack([vector_of(prompt) for prompt in prompts])


class ZeroEncoder(HashEncoder):
    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        vectors = super().encode(prompts)
        vectors[[prompt == "bad" for prompt in prompts]] = np.float32(prompts[0] == "nan") * np.nan
        return vectors


def vector_of(text: str) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def by_hash(texts: Sequence[str]) -> dict[str, str]:
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}


def numbered(count: int) -> dict[str, str]:
    return by_hash([f"prompt {number}" for number in range(count)])


def silent(line: str) -> None:
    """Take a line of the log."""


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
        known = VectorCache(folder, "v1", silent)
        for step in steps:
            if isinstance(step, set):
                prompts = by_hash(sorted(step))
                seen |= prompts
                check(prompts, embed_prompts(prompts, encoder, known, silent))
                continue
            if step == "A" and seen:
                np.save(artifact, known.take(list(seen)))
                committed = list(seen)
                known.drop_segments()
                assert not segments(folder / "v1")
            known = VectorCache(folder, "v1", silent)
            if committed:
                known.add_artifact(committed, artifact)
        assert encoder.read == Counter(dict.fromkeys(seen.values(), 1))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    prompts = numbered(3000)
    program = (
        "from pathlib import Path\n"
        "from smart_assets_tests.test_embedding_embed import *\n"
        f"known = VectorCache(Path({str(tmp_path)!r}), 'v1', silent)\n"
        "embed_prompts(numbered(3000), HashEncoder(dies_after=2500), known, silent)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parent.parent)
    assert run.returncode == -signal.SIGKILL
    encoder = HashEncoder()
    known = VectorCache(tmp_path, "v1", silent)
    assert known.count_unseen(prompts) == 3000 - 2 * 1024
    check(prompts, embed_prompts(prompts, encoder, known, silent))
    assert encoder.read.total() == 3000 - 2 * 1024


def test_a_run_with_nothing_new_calls_no_encoder_and_writes_nothing(tmp_path: Path) -> None:
    prompts = numbered(20)
    embed_prompts(prompts, HashEncoder(), VectorCache(tmp_path, "v1", silent), silent)
    before = segments(tmp_path)
    encoder, lines = HashEncoder(), list[str]()
    reverse = dict(reversed(prompts.items()))
    check(reverse, embed_prompts(reverse, encoder, VectorCache(tmp_path, "v1", silent), lines.append))
    assert not encoder.read
    assert segments(tmp_path) == before
    assert lines == ["20 prompts, 0 of them to embed"]


def test_another_encoder_version_sees_none_of_the_vectors(tmp_path: Path) -> None:
    prompts = numbered(5)
    embed_prompts(prompts, HashEncoder(), VectorCache(tmp_path, "v1", silent), silent)
    assert VectorCache(tmp_path, "v2", silent).count_unseen(prompts) == 5


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
    known = VectorCache(tmp_path, "v1", silent)
    embed_prompts(first, HashEncoder(), known, silent)
    damaged = segments(tmp_path)[0]
    embed_prompts(second, HashEncoder(), known, silent)
    damage(damaged)

    encoder, lines = HashEncoder(), list[str]()
    known = VectorCache(tmp_path, "v1", lines.append)
    assert len(lines) == 1
    assert damaged.name in lines[0]
    check(first | second, embed_prompts(first | second, encoder, known, silent))
    assert set(encoder.read) == set(first.values())


def test_drop_segments_leaves_what_another_run_wrote(tmp_path: Path) -> None:
    mine, other = VectorCache(tmp_path, "v1", silent), VectorCache(tmp_path, "v1", silent)
    embed_prompts(numbered(3), HashEncoder(), mine, silent)
    embed_prompts(by_hash(["theirs"]), HashEncoder(), other, silent)
    mine.drop_segments()
    assert len(segments(tmp_path)) == 1
    other.drop_segments()
    assert not (tmp_path / "v1").exists()


def test_long_prompts_go_first_and_in_small_batches(tmp_path: Path) -> None:
    texts = ["x" * length for length in (*range(40), *range(5000, 5010))]
    encoder = HashEncoder(batch_size=16, max_length=1024)
    embed_prompts(by_hash(texts), encoder, VectorCache(tmp_path, "v1", silent), silent)
    assert [len(batch) for batch in encoder.batches] == [1] * 10 + [16, 16, 8]
    assert [text for batch in encoder.batches for text in batch] == sorted(texts, key=len, reverse=True)


def test_progress_is_logged_and_segments_written_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    lines: list[str] = []
    embed_prompts(numbered(160), HashEncoder(), VectorCache(tmp_path, "v1", silent), lines.append)
    assert lines[0] == "160 prompts, 160 of them to embed"
    assert len(lines) > 2
    assert all(" rows, " in line and "/s, " in line and line.endswith(" s left") for line in lines[1:])
    assert len(segments(tmp_path)) > 2


@pytest.mark.parametrize("first", ["zero", "nan"])
def test_a_vector_without_direction_is_refused_and_its_prompt_named(first: str, tmp_path: Path) -> None:
    prompts = by_hash([first, "bad"])
    name = list(prompts)[1]
    with pytest.raises(EmbeddingError, match=f"1 prompts, the first with hash '{name}'"):
        embed_prompts(prompts, ZeroEncoder(batch_size=2), VectorCache(tmp_path, "v1", silent), silent)


def test_no_prompts_and_foreign_vectors_are_refused(tmp_path: Path) -> None:
    known = VectorCache(tmp_path, "v1", silent)
    with pytest.raises(EmbeddingError, match="no prompts to embed"):
        embed_prompts({}, HashEncoder(), known, silent)
    with pytest.raises(EmbeddingError, match="known vectors are of encoder version 'v1', the encoder of 'v2'"):
        embed_prompts({"h": "text"}, HashEncoder(version="v2"), known, silent)


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
    known = VectorCache(tmp_path, "v1", silent)
    known.put(["known"], np.ones((1, WIDTH), np.float32))
    np.save(tmp_path / "vectors.npy", content)
    with pytest.raises(StoreError, match=message):
        known.add_artifact(["a", "b", "c"], tmp_path / "vectors.npy")


def test_unreadable_artifacts_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    known = VectorCache(tmp_path / "cache", "v1", silent)
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
    means = task_means(vectors, codes, ["a", "b", "c", "d"])
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
        task_means(vectors, np.array(codes, dtype=np.int64), names)
