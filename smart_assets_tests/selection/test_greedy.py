"""Greedy orderings against the naive oracle, and what they refuse."""

import numpy as np
import pytest

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.task_scores import effective_tasks, task_kernel
from smart_assets.selection.engines.submodlib import submodlib_picks
from smart_assets.selection.greedy import greedy_ordering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets_tests.support.selection_oracle import OBJECTIVES, Matrix, naive_greedy


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
def test_without_ties_the_order_is_the_naive_one(objective: Objective) -> None:
    vectors = unit_rows(np.random.default_rng(3).normal(size=(20, 5)))
    first = slice(None, 10)  # later, mutual nearest neighbours tie in facility location
    assert greedy_ordering(vectors, objective).indices[first].tolist() == naive_greedy(objective, vectors)[first]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
@pytest.mark.parametrize("budget", [1, 2, 19, 20, 21])
def test_a_budget_takes_a_prefix_of_the_ordering(objective: Objective, budget: int) -> None:
    vectors = np.random.default_rng(2).normal(size=(20, 4))
    full, part = greedy_ordering(vectors, objective), greedy_ordering(vectors, objective, budget)
    np.testing.assert_array_equal(part.indices, full.indices[:budget])
    np.testing.assert_allclose(part.gains, full.gains[:budget], atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_ground_sets_and_ties_to_the_lowest_index(objective: Objective, size: int) -> None:
    ordering = greedy_ordering(np.eye(4)[:size], objective)
    assert ordering.indices.tolist() == list(range(size))
    assert ordering.indices.dtype == np.int64


def test_the_first_pick_of_the_log_determinant_is_the_lowest_of_its_tie() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8))
    assert greedy_ordering(vectors, LogDeterminant()).indices[0] == 0


def test_lengths_do_not_matter() -> None:
    vectors = np.random.default_rng(4).normal(size=(12, 3))
    lengths = np.linspace(0.01, 100, 12)[:, None]
    np.testing.assert_array_equal(
        greedy_ordering(vectors * lengths, GraphCut()).indices, greedy_ordering(vectors, GraphCut()).indices
    )


def test_32_bit_vectors_are_taken_and_left_alone() -> None:
    vectors = np.random.default_rng(4).normal(size=(12, 3)).astype(np.float32)
    before = vectors.copy()
    assert greedy_ordering(vectors, FacilityLocation()).gains.dtype == np.float64
    np.testing.assert_array_equal(vectors, before)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    greedy_ordering(np.random.default_rng(0).normal(size=(30, 4)), FacilityLocation())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        pytest.param(np.ones(3), r"shape \(n, d\).*got \(3,\)", id="one axis"),
        pytest.param(np.ones((0, 3)), r"got \(0, 3\)", id="no rows"),
        pytest.param(np.ones((3, 0)), r"got \(3, 0\)", id="no columns"),
        pytest.param(np.array([[1.0, 0], [0, 0]]), "row 1 has the length 0.0", id="zero"),
        pytest.param(np.array([[np.nan, 0], [1, 0]]), "row 0 has the length nan", id="nan"),
        pytest.param(np.array([[1.0, 0], [1, np.inf]]), "row 1 has the length inf", id="infinite"),
    ],
)
def test_vectors_without_a_direction_are_refused(vectors: Matrix, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        greedy_ordering(vectors, FacilityLocation())


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget: int) -> None:
    with pytest.raises(BudgetError, match=f"must be at least 1; got {budget}"):
        greedy_ordering(np.eye(3), FacilityLocation(), budget)


def test_a_kernel_beyond_memory_is_refused_before_it_is_made() -> None:
    vectors = np.ones((8193, 1))
    with pytest.raises(SelectionError, match=r"8193 vectors needs 4296015936 bytes.*\(8192 vectors\)"):
        greedy_ordering(vectors, FacilityLocation(), engine="submodlib")


def test_a_regularization_below_the_kernels_rounding_is_refused() -> None:
    with pytest.raises(SelectionError, match=r"at least 1.2e-06 for 10 vectors.*got 1e-07"):
        submodlib_picks(unit_rows(np.ones((10, 2))), LogDeterminant(1e-7), 5)


def test_tasks_are_scored_by_their_directions() -> None:
    means = np.array([[0.2, 0.0], [0.2, 0.02], [0.0, 0.9]])
    ordering = greedy_ordering(means, GraphCut(0.4))
    assert sorted(ordering.indices.tolist()) == [0, 1, 2]
    assert ordering.gains[0] == pytest.approx(task_kernel(means)[ordering.indices[0]].sum() - 0.4)
    np.testing.assert_array_equal(np.diagonal(task_kernel(means)), 1.0)


@pytest.mark.parametrize(("weights", "count"), [([1.0], 1), ([0.25] * 4, 4), ([1.0, 0.0], 1), ([0.75, 0.25], 1.6)])
def test_effective_tasks(weights: list[float], count: float) -> None:
    assert effective_tasks(np.array(weights)) == pytest.approx(count)
