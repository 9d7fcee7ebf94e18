"""Approximate orderings: the sparse objective against a naive oracle, samples, what both lose, what they refuse."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.embedding.index import build_index, index_kind, nearest_rows
from smart_assets.embedding.settings import Index
from smart_assets.selection import stochastic_greedy
from smart_assets.selection.approximate import (
    Approximation,
    NearestNeighbours,
    StochasticGreedy,
    approximate_ordering,
    approximation_for,
    sampled_values,
)
from smart_assets.selection.graph_cut import GraphCutMarginal
from smart_assets.selection.greedy import greedy_ordering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets_tests.support.selection_oracle import OBJECTIVES, Matrix, assert_greedy, unit_vectors

LOCATION = FacilityLocation()


def nearest(vectors: Matrix, count: int) -> NDArray[np.int64]:
    """The `count` rows nearest to each, itself first."""
    kernel = vectors @ vectors.T
    np.fill_diagonal(kernel, 2)
    return np.argsort(-kernel, axis=1, kind="stable")[:, :count]


def sparse_kernel(vectors: Matrix, near: NDArray[np.int64]) -> Matrix:
    """(n, n) similarities of rows i with their neighbours j, 0 for all others."""
    kernel = np.zeros((len(vectors), len(vectors)))
    for i, js in enumerate(near):
        kernel[i, js] = np.maximum(vectors[js] @ vectors[i], 0)
    return kernel


def clustered(n: int, d: int = 32) -> NDArray[np.float32]:
    """Some crowds of unlike sizes and widths, like prompts of a few templates."""
    rng = np.random.default_rng(11)
    centres = rng.normal(size=(40, d))
    crowd = np.minimum(rng.geometric(0.08, size=n) - 1, 39)
    spread = rng.uniform(0.2, 1.0, size=40)
    return (centres[crowd] + spread[crowd, None] * rng.normal(size=(n, d))).astype(np.float32)


@settings(deadline=None, max_examples=100)
@given(vectors=unit_vectors(), kept=st.integers(1, 15), without_itself=st.booleans())
def test_each_pick_is_the_best_of_the_sparse_objective(vectors: Matrix, kept: int, without_itself: bool) -> None:
    near = nearest(vectors, kept)
    given_ = near.copy()
    given_[:, 0] = -1 if without_itself else near[:, 0]
    ordering = approximate_ordering(vectors, LOCATION, NearestNeighbours(kept), neighbours=given_)
    kernel, cover = sparse_kernel(vectors, near), np.zeros(len(vectors))
    left = list(range(len(vectors)))
    for pick, gain in zip(ordering.indices.tolist(), ordering.gains, strict=True):
        gains = np.maximum(kernel - cover[:, None], 0).sum(axis=0)
        assert gain == pytest.approx(gains[pick], abs=1e-9)
        assert gain >= gains[left].max() - 1e-9
        left.remove(pick)
        cover = np.maximum(cover, kernel[:, pick])
    assert not left
    assert ordering.value == pytest.approx(len(vectors))  # every row is its own neighbour


@pytest.mark.parametrize("rows", [1, 2, 60], ids=lambda rows: f"{rows} rows")
def test_with_all_neighbours_and_no_negative_similarity_it_is_exact(rows: int) -> None:
    vectors = unit_rows(np.abs(np.random.default_rng(1).normal(size=(rows, 5))))
    ordering = approximate_ordering(vectors, LOCATION, NearestNeighbours(64))
    assert_greedy(ordering, vectors, LOCATION)
    assert (ordering.exact, ordering.engine) == (False, "nearest_neighbours(neighbours=64)")


def test_the_search_finds_the_nearest_rows() -> None:
    vectors = unit_rows(np.random.default_rng(4).normal(size=(1500, 8)))
    found = approximate_ordering(vectors, LOCATION, NearestNeighbours(6))
    expected = approximate_ordering(vectors, LOCATION, NearestNeighbours(6), neighbours=nearest(vectors, 9))
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.gains, expected.gains)


@pytest.mark.parametrize(
    ("vectors", "order", "gains"),
    [
        pytest.param([[1, 0], [-1, 0], [1, 0]], [0, 1, 2], [2, 1, 0], id="opposed rows never cover each other"),
        pytest.param([[1, 0], [0, 1]] * 2, [0, 1, 2, 3], [2, 2, 0, 0], id="ties go to the lowest index"),
        pytest.param([[3, 4]] * 5, [0, 1, 2, 3, 4], [5, 0, 0, 0, 0], id="equal rows are worth one"),
        pytest.param([[1e-9, 0]], [0], [1], id="one row"),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_small_ground_sets(vectors: list[list[float]], order: list[int], gains: list[float], kind: type) -> None:
    rows = np.array(vectors, dtype=kind)
    rows.flags.writeable = False
    ordering = approximate_ordering(rows, LOCATION, NearestNeighbours())
    assert (ordering.indices.tolist(), ordering.gains.tolist()) == (order, gains)


def test_more_equal_rows_than_neighbours() -> None:
    vectors = np.repeat(np.random.default_rng(2).normal(size=(3, 4)), 30, axis=0)
    ordering = approximate_ordering(vectors, LOCATION, NearestNeighbours(5))
    assert sorted(ordering.indices.tolist()) == list(range(90))
    assert ordering.value == 90
    assert np.all(np.diff(ordering.gains) <= 0)


def test_neighbours_from_the_index_of_a_whole_source() -> None:
    source = unit_rows(clustered(3000)).astype(np.float32)
    group = np.flatnonzero(np.arange(3000) % 5 > 0)
    index = build_index(source, Index(exact_below=1), "cpu")
    place = np.full(3001, -1)
    place[group] = np.arange(len(group))
    ordering = approximate_ordering(
        source[group], LOCATION, NearestNeighbours(32), 240, place[nearest_rows(index, source[group], 64)]
    )
    assert index_kind(index) == "ivf"
    assert share_of_exact(source[group], ordering.indices, 240) > 0.985


def share_of_exact(vectors: NDArray[np.float32], order: NDArray[np.int64], count: int) -> float:
    """What the first picks of an order reach of what as many exact ones reach."""
    reached = LOCATION.value(unit_rows(vectors), order[:count])
    return reached / greedy_ordering(vectors, LOCATION, count, engine="cpu").value


@pytest.mark.parametrize(
    ("approximation", "count", "share"),
    [
        pytest.param(NearestNeighbours(64), 2000, 0.99, id="nearest"),
        pytest.param(NearestNeighbours(8), 2000, 0.98, id="few nearest"),
        pytest.param(StochasticGreedy(0.1), 200, 0.985, id="stochastic"),
        pytest.param(StochasticGreedy(0.5), 200, 0.975, id="small samples"),
    ],
)
def test_little_is_lost(approximation: Approximation, count: int, share: float) -> None:
    vectors = clustered(2000)
    ordering = approximate_ordering(vectors, LOCATION, approximation, count)
    assert share_of_exact(vectors, np.arange(200), 200) < 0.96  # any rows reach that much
    assert share_of_exact(vectors, ordering.indices, 200) > share


@settings(deadline=None, max_examples=60)
@given(vectors=unit_vectors(), objective=st.sampled_from(OBJECTIVES), seed=st.integers(0, 2**32))
def test_a_sample_of_all_that_is_left_is_exact_greedy(vectors: Matrix, objective: Objective, seed: int) -> None:
    ordering = approximate_ordering(vectors, objective, StochasticGreedy(1e-7, seed))
    assert_greedy(ordering, vectors, objective)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
def test_gains_are_true_ones_whatever_the_threads(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(2500, 12)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(stochastic_greedy, "usable_cores", lambda cores=cores: cores)
        found.append(approximate_ordering(vectors, objective, StochasticGreedy(), 100))
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    np.testing.assert_array_equal(found[0].gains, found[1].gains)
    assert len(set(found[0].indices.tolist())) == 100
    expected = objective.ordered_gains(unit_rows(vectors), found[0].indices)
    np.testing.assert_allclose(found[0].gains, expected, rtol=1e-9, atol=1e-9)


def test_seeds_differ() -> None:
    vectors = clustered(300)
    first, again, other = (approximate_ordering(vectors, GraphCut(), StochasticGreedy(0.5, seed)) for seed in (1, 1, 2))
    assert first.indices.tolist() == again.indices.tolist() != other.indices.tolist()
    assert (first.exact, first.engine) == (False, "stochastic_greedy(epsilon=0.5, seed=1)")


@pytest.mark.parametrize(
    ("epsilon", "first"), [(0.1, [231, 116, 77, 58]), (0.99, [2, 1, 1, 1]), (1e-320, [73683, 36842, 24561, 18421])]
)
def test_every_prefix_looked_at_as_many_as_the_paper_says(
    epsilon: float, first: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    gains = GraphCutMarginal.gains

    def recorded(self: GraphCutMarginal, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        looked_at.append(len(np.unique(ids)))
        return gains(self, ids)

    monkeypatch.setattr(GraphCutMarginal, "gains", recorded)
    approximate_ordering(clustered(100), GraphCut(), StochasticGreedy(epsilon))
    assert [stochastic_greedy.sample_size(100, pick, epsilon) for pick in (1, 2, 3, 4)] == first
    asked = [math.ceil(100 / budget * -math.log(epsilon)) for budget in range(1, 101)]
    assert looked_at == [min(size, 100 - done) for done, size in enumerate(asked)]


def test_sampled_values_are_exact_with_all_rows_and_near_with_some() -> None:
    vectors = clustered(2500, 16)
    order = np.random.default_rng(3).permutation(2500)[:1300]
    exact = np.cumsum(LOCATION.ordered_gains(unit_rows(vectors), order))
    np.testing.assert_allclose(sampled_values(vectors, order, rows=9999), exact)
    estimated = sampled_values(vectors, order, rows=1100)
    assert np.all(np.diff(estimated) >= 0)
    np.testing.assert_allclose(estimated, exact, atol=2500 * 0.5 / 1100**0.5 * 2)
    np.testing.assert_array_equal(estimated, sampled_values(vectors, order, rows=1100))
    assert not np.array_equal(estimated, exact)


@pytest.mark.parametrize("approximation", [NearestNeighbours(4), StochasticGreedy()], ids=lambda one: one.name)
def test_progress_is_told_and_can_end_the_ordering(approximation: Approximation) -> None:
    vectors = clustered(1100, 4)
    told: list[tuple[int, float]] = []
    approximate_ordering(vectors, LOCATION, approximation, on_progress=lambda done, share: told.append((done, share)))
    assert told == sorted(told)
    assert told[-1] == (1100, 1.0)
    assert len(told) > 2

    def enough(done: int, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        approximate_ordering(vectors, LOCATION, approximation, on_progress=enough)


@pytest.mark.parametrize(
    ("objective", "approximation", "neighbours", "message"),
    [
        pytest.param(GraphCut(), NearestNeighbours(), None, "facility_location only; got graph_cut", id="graph cut"),
        pytest.param(LogDeterminant(), NearestNeighbours(), None, "only; got log_determinant", id="log-determinant"),
        pytest.param(LOCATION, StochasticGreedy(), np.zeros((3, 1), int), "uses no neighbours", id="stochastic"),
        pytest.param(LOCATION, NearestNeighbours(), np.zeros(3, int), r"int64 of shape \(3,\)", id="one axis"),
        pytest.param(LOCATION, NearestNeighbours(), np.zeros((2, 1), int), r"each of the 3 vectors", id="few rows"),
        pytest.param(LOCATION, NearestNeighbours(), np.zeros((3, 1)), "whole numbers.*got float64", id="floats"),
        pytest.param(LOCATION, NearestNeighbours(), np.array([[0], [3], [2]]), r"row 1 are \[3\]", id="too high"),
        pytest.param(LOCATION, NearestNeighbours(), np.full((3, 1), -2), r"in \[-1, 2\].*row 0 are", id="too low"),
        pytest.param(LOCATION, NearestNeighbours(), np.array([[0, 1], [2, 2], [0, 1]]), "distinct.*row 1", id="twice"),
    ],
)
def test_what_does_not_go_together_is_refused(
    objective: Objective, approximation: Approximation, neighbours: NDArray[np.int64] | None, message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        approximate_ordering(np.eye(3), objective, approximation, neighbours=neighbours)


def test_vectors_budgets_and_samples_are_checked() -> None:
    with pytest.raises(SelectionError, match=r"row 1 has the length 0\.0"):
        approximate_ordering(np.diag([1.0, 0]), LOCATION, NearestNeighbours())
    with pytest.raises(BudgetError, match="must be at least 1; got 0"):
        approximate_ordering(np.eye(3), LOCATION, NearestNeighbours(), 0)
    with pytest.raises(SelectionError, match="at least 1 row to be estimated from; got 0"):
        sampled_values(np.eye(3), np.arange(3), rows=0)


def test_naming_an_approximation_stays_light() -> None:
    heavy = "{'torch', 'faiss', 'numba', 'scipy'} & {name.split('.')[0] for name in sys.modules}"
    code = f"import sys, smart_assets.selection.approximate; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_approximations_refuse_parameters() -> None:
    with pytest.raises(SelectionError, match="neighbours of nearest_neighbours must be at least 1; got 0"):
        NearestNeighbours(0)
    with pytest.raises(SelectionError, match="seed of stochastic_greedy must be at least 0; got -1"):
        StochasticGreedy(seed=-1)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1, float("nan")])
def test_stochastic_greedy_refuses_epsilon(epsilon: float) -> None:
    with pytest.raises(SelectionError, match=rf"epsilon of stochastic_greedy must lie in \(0, 1\); got {epsilon}"):
        StochasticGreedy(epsilon)


def test_nearest_neighbours_leave_other_objectives_exact() -> None:
    assert approximation_for(LOCATION, NearestNeighbours()) == NearestNeighbours()
    assert approximation_for(GraphCut(), NearestNeighbours()) is None
    assert approximation_for(GraphCut(), StochasticGreedy()) == StochasticGreedy()


PARSE = TypeAdapter[Approximation](Approximation)


@pytest.mark.parametrize("approximation", [NearestNeighbours(7), StochasticGreedy(0.25, 4)], ids=lambda one: one.label)
def test_approximations_survive_json(approximation: Approximation) -> None:
    assert PARSE.validate_json(PARSE.dump_json(approximation)) == approximation
    assert PARSE.validate_python(approximation.name) == type(approximation)()


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        pytest.param("nearest", "'nearest_neighbours', 'stochastic_greedy'", id="unknown name"),
        pytest.param({"name": "nearest_neighbours", "neighbours": 0}, "greater than or equal to 1", id="no neighbours"),
        pytest.param({"name": "nearest_neighbours", "neighbours": True}, "valid integer", id="not a number"),
        pytest.param({"name": "nearest_neighbours", "epsilon": 0.1}, "Unexpected keyword", id="not its own"),
        pytest.param({"name": "stochastic_greedy", "epsilon": 1}, "less than 1", id="epsilon"),
        pytest.param({"name": "stochastic_greedy", "seed": -1}, "greater than or equal to 0", id="seed"),
    ],
)
def test_settings_refuse_approximation(spelled: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PARSE.validate_python(spelled)
