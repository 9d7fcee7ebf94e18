"""The exact engines on real embeddings: T0 prompts under MiniLM, a quarter of whose similarities are negative."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smart_assets.embedding.encoder import load_encoder
from smart_assets.embedding.settings import Embedding
from smart_assets.selection.greedy import Limits, greedy_ordering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets_tests.support.selection_oracle import TOLERANCE, submodlib_naive_greedy

T0 = Path(__file__).resolve().parents[3] / "shared" / "data" / "t0"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not T0.is_dir(), reason="no ../shared/data/t0 beside the project"),
]
EACH = 25  # rows of a task


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float64]:
    prompts: list[str] = []
    for path in sorted(T0.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()[:EACH]
        prompts += [json.loads(line)["prompt"][:500] for line in lines]
    return unit_rows(load_encoder(Embedding(), "cpu").encode(prompts))


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
@pytest.mark.parametrize("limits", [Limits(), Limits(threads=1, memory_bytes=2**24)], ids=["roomy", "narrow"])
def test_every_pick_is_the_best_left(vectors: NDArray[np.float64], objective: Objective, limits: Limits) -> None:
    ordering = greedy_ordering(vectors.astype(np.float32), objective, limits=limits)
    rounded = unit_rows(vectors.astype(np.float32))
    assert (rounded @ rounded.T < 0).mean() > 0.1
    for k in range(0, len(rounded) - 1, 7):
        gains = objective.marginal_gains(rounded, ordering.indices[:k])
        assert ordering.gains[k] == pytest.approx(gains[ordering.indices[k]], abs=1e-8)
        assert ordering.gains[k] >= np.delete(gains, ordering.indices[:k]).max() - TOLERANCE


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_submodlibs_naive_greedy_has_the_same_gains(vectors: NDArray[np.float64], objective: Objective) -> None:
    some = vectors[::2]
    theirs = submodlib_naive_greedy(some, objective)
    replayed = objective.ordered_gains(some, theirs.indices)
    np.testing.assert_array_less(np.abs(replayed - theirs.gains), 1e-5 * np.maximum(1, np.abs(replayed)) + 1e-12)
