"""A realistic report, which the other report tests draw on, and the figures that content computes itself."""

from dataclasses import replace

import numpy as np
import pytest

from smart_assets.core.errors import SelectionError
from smart_assets.report.content import (
    MixtureBudgets,
    ObjectiveGains,
    ReportContent,
    TaskKernel,
)
from smart_assets.report.task_geometry import kernel_order, task_plane
from smart_assets_tests.support.report_example import BUDGETS, RECIPES, TASKS, example_content, task_means


def test_recipes_and_budgets_are_those_of_all_parts() -> None:
    content = example_content()
    assert (content.recipes, content.budgets) == (RECIPES, BUDGETS)
    unmixed = replace(content, mixtures=())
    assert (unmixed.recipes, unmixed.budgets) == (RECIPES, BUDGETS)
    assert ReportContent("empty").recipes == ()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([], 0.0), ([1.0], 1.0), ([0.25] * 4, 4.0), ([1.0, 0.0, 0.0], 1.0)],
    ids=["no task", "one task", "equal weights", "one takes all"],
)
def test_effective_tasks(weights: list[float], expected: float) -> None:
    names = tuple(str(at) for at in range(len(weights)))
    gains = ObjectiveGains("graph_cut", names, np.zeros(len(weights)), np.array(weights))
    assert gains.effective_tasks == pytest.approx(expected)
    rows = MixtureBudgets(100, "smart", {name: int(100 * weight) for name, weight in zip(names, weights, strict=True)})
    assert rows.effective_tasks == pytest.approx(expected)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SelectionError, match=r"must have shape \(2, 2\).*got \(2, 3\)"):
        TaskKernel(("a", "b"), np.zeros((2, 3)))
    with pytest.raises(SelectionError, match="at least one task"):
        TaskKernel((), np.zeros((0, 0)))
    with pytest.raises(SelectionError, match="equally long; got 2, 2 and 1"):
        ObjectiveGains("graph_cut", ("a", "b"), np.zeros(2), np.zeros(1))
    with pytest.raises(SelectionError, match=r"row a task; got \(3, 4\), 2 names"):
        task_plane(("a", "b"), np.zeros((3, 4)))
    with pytest.raises(SelectionError, match="finite"):
        task_plane(("a",), np.full((1, 4), np.nan))


def test_plane_is_deterministic_and_keeps_distances() -> None:
    means = task_means(20)
    plane = task_plane(TASKS, means)
    assert np.array_equal(plane.positions, task_plane(TASKS, means.copy()).positions)
    assert plane.positions.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert 1 >= plane.explained[0] >= plane.explained[1] > 0
    shuffle = np.random.default_rng(0).permutation(20)
    again = task_plane(tuple(TASKS[at] for at in shuffle), means[shuffle])
    assert again.positions == pytest.approx(plane.positions[shuffle], abs=1e-9)


def test_plane_of_vectors_in_a_plane_is_exact() -> None:
    flat = np.random.default_rng(0).normal(size=(12, 2)) @ np.random.default_rng(1).normal(size=(2, 16))
    plane = task_plane(TASKS[:12], flat)
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    assert np.linalg.norm(plane.positions[:, None] - plane.positions[None], axis=2) == pytest.approx(expected)
    assert sum(plane.explained) == pytest.approx(1)


@pytest.mark.parametrize("size", [0, 1, 2], ids=["none", "one", "two"])
def test_plane_of_few_tasks(size: int) -> None:
    plane = task_plane(TASKS[:size], task_means(20)[:size])
    assert plane.positions.shape == (size, 2)
    assert plane.positions[:, 1] == pytest.approx(np.zeros(size))


def test_plane_of_equal_vectors_is_a_point() -> None:
    assert task_plane(TASKS[:3], np.ones((3, 4))).positions == pytest.approx(np.zeros((3, 2)))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 20, 600], ids=str)
def test_kernel_order_brings_clusters_together(size: int) -> None:
    clusters = np.arange(size) % 3
    vectors = np.eye(3)[clusters] + 0.01 * np.random.default_rng(0).normal(size=(size, 3))
    order = kernel_order(vectors @ vectors.T)
    assert sorted(order) == list(range(size))
    assert np.count_nonzero(np.diff(clusters[order])) <= 2
