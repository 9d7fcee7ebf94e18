"""Objectives by their definitions, a naive greedy over them, and kernels of every awkward shape."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from smart_assets.selection.greedy import GreedyOrdering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective

Matrix = NDArray[np.float64]
SetFunction = Callable[[Matrix, list[int]], float]


def definition(objective: Objective) -> SetFunction:
    """The objective as a function of the kernel (n, n) and a subset."""

    def facility_location(kernel: Matrix, subset: list[int]) -> float:
        return sum(max([0.0, *(kernel[i, j] for j in subset)]) for i in range(len(kernel)))

    def graph_cut(kernel: Matrix, subset: list[int]) -> float:
        return kernel[:, subset].sum() - objective.redundancy_weight * kernel[np.ix_(subset, subset)].sum()

    def log_determinant(kernel: Matrix, subset: list[int]) -> float:
        regularized = kernel[np.ix_(subset, subset)] + objective.regularization * np.eye(len(subset))
        return float(np.linalg.slogdet(regularized).logabsdet)

    functions = {"facility_location": facility_location, "graph_cut": graph_cut, "log_determinant": log_determinant}
    return functions[objective.name]


def gain_of(function: SetFunction, kernel: Matrix, subset: list[int], element: int) -> float:
    return function(kernel, [*subset, element]) - function(kernel, subset)


def naive_greedy(objective: Objective, vectors: Matrix) -> list[int]:
    """All elements, each the first of those with the largest gain but for rounding."""
    function, kernel = definition(objective), vectors @ vectors.T
    order: list[int] = []
    for _ in range(len(vectors)):
        left = [j for j in range(len(vectors)) if j not in order]
        order.append(max(left, key=lambda j: round(gain_of(function, kernel, order, j), 12)))
    return order


def _random(rng: np.random.Generator, n: int, d: int) -> Matrix:
    return rng.normal(size=(n, d))


def _clustered(rng: np.random.Generator, n: int, d: int) -> Matrix:
    return rng.normal(size=(3, d))[rng.integers(3, size=n)] + 0.05 * rng.normal(size=(n, d))


def _duplicates(rng: np.random.Generator, n: int, d: int) -> Matrix:
    return rng.normal(size=(max(1, n // 3), d))[rng.integers(max(1, n // 3), size=n)]


def _collinear(rng: np.random.Generator, n: int, d: int) -> Matrix:
    return rng.normal(size=(1, d)) * rng.choice([-2.0, 0.5, 3.0], size=(n, 1))


def _opposed(rng: np.random.Generator, n: int, d: int) -> Matrix:
    """Two crowds that look away from each other: most similarities across are negative."""
    return rng.normal(size=(1, d)) * rng.choice([-1.0, 1.0], size=(n, 1)) + 0.5 * rng.normal(size=(n, d))


SHAPES = (_random, _clustered, _duplicates, _collinear, _opposed)
OBJECTIVES = (
    FacilityLocation(),
    GraphCut(),
    GraphCut(redundancy_weight=0.0),
    GraphCut(redundancy_weight=3.0),
    LogDeterminant(),
    LogDeterminant(regularization=0.1),
    LogDeterminant(regularization=10.0),
)


@st.composite
def unit_vectors(draw: st.DrawFn, max_size: int = 14) -> Matrix:
    """Unit vectors (n, d) of every shape that breaks greedy selection somewhere."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return unit_rows(shape(rng, draw(st.integers(1, max_size)), draw(st.integers(1, 6))))


TOLERANCE = 1e-6


def assert_greedy(ordering: GreedyOrdering, vectors: Matrix, objective: Objective) -> None:
    """All elements, each the best that was left, with its true gain."""
    assert sorted(ordering.indices.tolist()) == list(range(len(vectors)))
    for k, pick_ in enumerate(ordering.indices):
        gains = objective.marginal_gains(vectors, ordering.indices[:k])
        assert ordering.gains[k] == pytest.approx(gains[pick_], abs=1e-8, rel=1e-9)
        assert gains[pick_] >= np.delete(gains, ordering.indices[:k]).max() - TOLERANCE, f"pick {k}"


def submodlib_naive_greedy(vectors: Matrix, objective: Objective) -> GreedyOrdering:
    """The picks and gains of submodlib's own naive greedy on the raw kernel, all but the last element."""
    kernel, n = np.float32(vectors @ vectors.T), len(vectors)
    function = objective.submodlib_function(kernel)
    picks = function.maximize(n - 1, optimizer="NaiveGreedy", show_progress=False, stopIfNegativeGain=False)
    return GreedyOrdering(np.array([pick_ for pick_, _ in picks]), np.array([gain for _, gain in picks]), "submodlib")
