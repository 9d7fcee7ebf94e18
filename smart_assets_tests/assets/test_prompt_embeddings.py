"""`prompt_embeddings` from a file of rows: each missing prompt is read once, and the files are those of plain numpy."""

import io
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.assets import prompt_embeddings
from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts
from smart_assets_tests.support.hash_encoder import HashEncoder, silent, vector_of

TASKS = ["zeta", "alpha", "Ω", "a|b"]


def instances(prompts: list[int]) -> pa.Table:
    """Rows of some prompts; the same prompt may stand in several."""
    return pa.table(
        {
            "id": [f"id {row}" for row in range(len(prompts))],
            "prompt_hash": [f"hash {prompt}" for prompt in prompts],
            "prompt": [f"prompt {prompt}" for prompt in prompts],
            "task": [TASKS[row % 4] for row in range(len(prompts))],
            "template": [""] * len(prompts),
            "split": ["validation" if row % 5 == 4 else "train" for row in range(len(prompts))],
        }
    )


def make(folder: Path, table: pa.Table, encoder: HashEncoder) -> Any:
    """Make the step's files in `folder` of rows alone, with vectors cached beside them."""
    (folder / "content").mkdir(exist_ok=True)
    pq.write_table(table, folder / "instances.parquet", row_group_size=7)
    store = SimpleNamespace(cache_folder=lambda name: folder / name, history=lambda *_, **__: [])
    embedding = SimpleNamespace(model="hashes", precision="float32", windows=encoder.windows)
    project = SimpleNamespace(
        store=store, settings=SimpleNamespace(embedding=embedding, device="cpu", sources={"one": None})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_embeddings, "load_encoder", lambda *_: encoder)
        patch.setattr(prompt_embeddings, "_TEXTS_AT_ONCE", 3)
        return prompt_embeddings.make(
            project,  # pyright: ignore[reportArgumentType]
            "one",
            SimpleNamespace(folder=lambda *_: folder),  # pyright: ignore[reportArgumentType]
            SimpleNamespace(content=folder / "content", folder=folder / "draft"),  # pyright: ignore[reportArgumentType]
            SimpleNamespace(log=silent, device="cpu"),  # pyright: ignore[reportArgumentType]
        )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=60), st.sets(st.integers(0, 25)))
def test_missing_prompts_are_read_once_and_the_files_are_those_of_numpy(prompts: list[int], known: set[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, encoder = Path(name), HashEncoder(batch_size=4)
        cache = VectorCache(folder / "vectors" / "one", "v1", silent, folder / "links", 8)
        before = [(f"hash {prompt}", f"prompt {prompt}") for prompt in sorted(known)]
        embed_prompts(before, len(before), HashEncoder(), cache, silent)
        made = make(folder, instances(prompts), encoder)

        assert dict(encoder.seen) == {f"prompt {prompt}": 1 for prompt in set(prompts) - known}
        assert made.cost["prompts embedded"] == len(set(prompts) - known)
        assert made.cost["prompts reused"] == len(set(prompts) & known)
        expected = np.stack([vector_of(f"prompt {prompt}") for prompt in prompts])
        vectors = np.load(folder / "content" / "vectors.npy")
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
        plain = io.BytesIO()
        np.save(plain, vectors)
        assert (folder / "content" / "vectors.npy").read_bytes() == plain.getvalue()

        train = [row for row in range(len(prompts)) if row % 5 != 4]
        tasks = sorted({TASKS[row % 4] for row in train})
        table = pq.read_table(folder / "content" / "tasks.parquet").to_pydict()
        assert table["task"] == tasks
        means = np.load(folder / "content" / "task_means.npy")
        for task, count, mean in zip(tasks, table["training_rows"], means, strict=True):
            own = [row for row in train if TASKS[row % 4] == task]
            total = vectors[own].astype(np.float64).sum(axis=0)
            assert count == len(own)
            np.testing.assert_allclose(mean, total / np.linalg.norm(total), atol=1e-6)
        made.recorded()
        assert not list((folder / "vectors").rglob("*.npy"))


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="no prompts to embed"):
        make(tmp_path, instances([0]).slice(0, 0), HashEncoder())
