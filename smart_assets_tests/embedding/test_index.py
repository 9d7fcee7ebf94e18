"""The similarity index: near duplicates against a plain numpy oracle, exact and approximate, and its file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError, StoreError
from smart_assets.embedding.index import (
    NearDuplicatePairs,
    build_index,
    index_kind,
    near_duplicates,
    read_index,
    write_index,
)
from smart_assets.embedding.settings import Index
from smart_assets.embedding.windows import PromptVectors

WIDTH = 6


def silent(line: str) -> None:
    """Take a line of the log."""


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(rows: int, seed: int, spread: float = 0.1) -> NDArray[np.float32]:
    """Rows around a few centres, some of them equal: like prompts of a few templates."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, rows // 8), WIDTH))
    vectors = centres[rng.integers(0, len(centres), rows)] + rng.normal(size=(rows, WIDTH)) * spread
    vectors[rng.integers(0, rows, rows // 5)] = vectors[rng.integers(0, rows, rows // 5)]
    return unit(vectors)


def oracle(vectors: NDArray[np.float32], threshold: float) -> list[tuple[float, int, int]]:
    wide = vectors.astype(np.float64)
    cosines = np.round(wide @ wide.T, 6)
    pairs = [(cosines[first, second], first, second) for second in range(len(vectors)) for first in range(second)]
    return sorted((pair for pair in pairs if pair[0] >= threshold), key=lambda pair: (-pair[0], *pair[1:]))


def listed(found: NearDuplicatePairs) -> list[tuple[float, int, int]]:
    return list(zip(found.cosine.tolist(), found.first.tolist(), found.second.tolist(), strict=True))


def search(vectors: NDArray[np.float32], settings: Index) -> NearDuplicatePairs:
    return near_duplicates(build_index(vectors, settings, "cpu"), PromptVectors.short(vectors), settings, silent)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_flat_index_lists_exactly_the_pairs_of_the_oracle(rows: int, seed: int, threshold: float) -> None:
    vectors = clustered(rows, seed)
    found = search(vectors, Index(near_duplicate=threshold, neighbours=rows))
    assert listed(found) == oracle(vectors, threshold)
    assert (found.kind, found.saturated, found.exact) == ("flat", 0, True)
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.full(1, np.nan) if rows == 1 else cosines.max(axis=1)
    np.testing.assert_allclose(found.nearest, nearest, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_with_few_neighbours_the_pairs_are_true_ones_and_saturation_tells(rows: int, seed: int, count: int) -> None:
    vectors = clustered(rows, seed)
    found = search(vectors, Index(near_duplicate=0.9, neighbours=count))
    whole = oracle(vectors, 0.9)
    assert set(listed(found)) <= set(whole)
    assert listed(found) == sorted(listed(found), key=lambda pair: (-pair[0], *pair[1:]))
    if found.exact:
        assert listed(found) == whole
    partners = np.bincount([row for _, *pair in whole for row in pair], minlength=rows)
    assert found.saturated == (partners >= count).sum()


def test_many_equal_rows_never_pair_with_themselves_and_keep_their_neighbours() -> None:
    vectors = np.repeat(clustered(2, seed=1), 30, axis=0)
    found = search(vectors, Index(neighbours=4))
    assert (found.first < found.second).all()
    assert (found.cosine == 1).all()
    assert (found.nearest == 1).all()
    assert found.saturated == 60
    assert set(found.first) | set(found.second) == set(range(60))


@settings(deadline=None, max_examples=15)
@given(st.integers(40, 200), st.integers(0, 2**32 - 1))
def test_an_ivf_index_that_looks_into_every_cell_equals_the_oracle(rows: int, seed: int) -> None:
    import faiss

    vectors = clustered(rows, seed)
    wanted = Index(near_duplicate=0.9, neighbours=rows, exact_below=1)
    index = build_index(vectors, wanted, "cpu")
    assert isinstance(index, faiss.IndexIVFFlat)
    index.nprobe = index.nlist
    found = near_duplicates(index, PromptVectors.short(vectors), wanted, silent)
    assert listed(found) == oracle(vectors, 0.9)
    assert (found.kind, found.exact) == ("ivf", False)


def test_ivf_finds_nearly_all_pairs_with_the_cells_it_looks_into() -> None:
    vectors = clustered(6000, seed=2, spread=0.02)
    wanted = Index(neighbours=200, near_duplicate=0.99, exact_below=1)
    found, whole = search(vectors, wanted), search(vectors, wanted.model_copy(update={"exact_below": 10_000}))
    assert (found.kind, whole.kind) == ("ivf", "flat")
    assert set(listed(found)) <= set(listed(whole))
    assert len(found.cosine) >= 0.99 * len(whole.cosine)


@pytest.mark.parametrize("exact_below", [pytest.param(10_000, id="flat"), pytest.param(1, id="ivf")])
def test_the_file_is_the_same_for_the_same_vectors_whatever_the_threads(exact_below: int, tmp_path: Path) -> None:
    import faiss

    vectors = clustered(3000, seed=3)
    wanted = Index(exact_below=exact_below)
    threads = faiss.omp_get_max_threads()
    for count in (1, 2):
        faiss.omp_set_num_threads(count)
        write_index(build_index(vectors, wanted, "cpu"), tmp_path / f"{count}.faiss")
    faiss.omp_set_num_threads(threads)
    assert (tmp_path / "1.faiss").read_bytes() == (tmp_path / "2.faiss").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("exact_below", [pytest.param(1000, id="flat"), pytest.param(1, id="ivf")])
def test_an_index_comes_back_from_its_file(exact_below: int, tmp_path: Path) -> None:
    vectors = clustered(300, seed=4)
    wanted = Index(exact_below=exact_below)
    index = build_index(vectors, wanted, "cpu")
    write_index(index, tmp_path / "index.faiss")
    again = read_index(tmp_path / "index.faiss")
    assert index_kind(again) == index_kind(index)
    assert listed(near_duplicates(again, PromptVectors.short(vectors), wanted, silent)) == listed(
        search(vectors, wanted)
    )


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_cut_index_file_is_refused(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write_index(build_index(clustered(20, seed=5), Index(), "cpu"), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StoreError, match="not a whole similarity index"):
        read_index(path)


def test_files_that_are_not_there_or_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a whole similarity index"):
        read_index(tmp_path / "absent.faiss")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write the similarity index"):
        write_index(build_index(clustered(20, seed=5), Index(), "cpu"), tmp_path / "file" / "index.faiss")


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.empty((0, WIDTH), np.float32), id="no-rows"),
        pytest.param(np.empty((3, 0), np.float32), id="no-width"),
        pytest.param(np.ones(3, np.float32), id="one-dimension"),
        pytest.param(np.array([[1, np.nan]], np.float32), id="not-finite"),
    ],
)
def test_vectors_that_cannot_be_indexed_are_refused(vectors: NDArray[np.float32]) -> None:
    with pytest.raises(EmbeddingError, match="needs finite vectors"):
        build_index(vectors, Index(), "cpu")


def test_an_index_of_other_vectors_is_refused() -> None:
    vectors = clustered(20, seed=6)
    with pytest.raises(EmbeddingError, match=r"holds \(20, 6\) vectors, but \(19, 6\) are given"):
        near_duplicates(build_index(vectors, Index(), "cpu"), PromptVectors.short(vectors[:19]), Index(), silent)
