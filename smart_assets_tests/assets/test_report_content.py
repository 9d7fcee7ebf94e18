"""A realistic report, which the other report tests draw on, and the figures that content computes itself."""

from dataclasses import replace

import numpy as np
import pytest

from smart_assets.comparison.compare_recipes import ComparisonResult, ComparisonSpec, compare_recipes
from smart_assets.comparison.measurement import Measurement
from smart_assets.comparison.row_results import RowResults
from smart_assets.core.errors import SelectionError
from smart_assets.core.metrics import Direction
from smart_assets.report.content import (
    ArtifactVersion,
    MixtureBudgets,
    NearDuplicatePair,
    NearDuplicateSummary,
    ObjectiveGains,
    Provenance,
    RejectedRow,
    RejectionCount,
    Rejections,
    ReportContent,
    TaskKernel,
    TaskSummary,
)
from smart_assets.report.task_geometry import kernel_order, task_plane

_VERBS = ("add", "subtract", "reverse", "sort", "count", "translate", "compare", "name", "convert", "spell")
_OBJECTS = ("numbers", "words")
TASKS = tuple(f"{verb}_{thing}" for verb in _VERBS for thing in _OBJECTS)
BUDGETS = (200, 400)
RECIPES = ("smart", "proportional")


def task_means(size: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (size, 16) in five clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 16))
    means = centres[np.arange(size) % 5] + 0.5 * rng.normal(size=(size, 16)) + 0.6
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def summaries(tasks: tuple[str, ...], seed: int = 0) -> tuple[TaskSummary, ...]:
    """Very uneven tasks of two sources."""
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.integers(40, 400, len(tasks)))[::-1]
    gains = 1 + rng.random(len(tasks))
    return tuple(
        TaskSummary(
            source="sample" if at % 3 else "another source",
            task=task,
            train_rows=int(sizes[at]),
            validation_rows=int(sizes[at] // 10),
            rejected_rows=int(at % 4),
            mixture_weights={"smart": gains[at] / gains.sum(), "proportional": sizes[at] / sizes.sum()},
        )
        for at, task in enumerate(tasks)
    )


def mixtures(tasks: tuple[TaskSummary, ...], budgets: tuple[int, ...] = BUDGETS) -> tuple[MixtureBudgets, ...]:
    """Task budgets near each recipe's weights."""
    return tuple(
        MixtureBudgets(budget, recipe, {task.task: int(budget * task.mixture_weights[recipe]) for task in tasks})
        for budget in budgets
        for recipe in RECIPES
    )


ROWS = 10  # held-out rows of each task


def results(
    tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,), recipes: tuple[str, ...] = RECIPES
) -> list[RowResults]:
    """Each model's rows: losses that fall with the budget, and the base model's; all rows have 8 tokens."""
    rng = np.random.default_rng(3)
    keys = [("held_out", task, f"{at}-{row}") for at, task in enumerate(tasks) for row in range(ROWS)]
    tokens, base = np.full(len(keys), 8.0), np.repeat(rng.uniform(4, 6, len(tasks)), ROWS)
    found = [RowResults(None, None, None, keys, base * tokens, tokens, np.zeros(len(keys)))]
    for budget in BUDGETS:
        for recipe in recipes:
            for seed in seeds:
                losses = base * 60 / (budget + 20 * (recipe == "smart")) + 0.1 * rng.normal(size=len(keys))
                matches = (losses < 0.5).astype(float)
                found.append(RowResults(budget, recipe, seed, keys, losses * tokens, tokens, matches))
    return found


def measurements(tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,)) -> tuple[Measurement, ...]:
    """The figures of each task that the rows come to."""
    rows = []
    for result in results(tasks, seeds):
        for at, task in enumerate(tasks):
            part = slice(at * ROWS, (at + 1) * ROWS)
            loss = float(result.loss_sums[part].sum() / result.tokens[part].sum())
            trained = result.budget is not None and at % 5 > 0
            run = (*result.model, "held_out", task)
            rows.append(Measurement(*run, "response_loss", loss, trained, Direction.LOWER))
            matched = float(result.exact_matches[part].mean())
            rows.append(Measurement(*run, "exact_match", matched, trained, Direction.HIGHER))
    return tuple(rows)


def compared_recipes(
    tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,), recipes: tuple[str, ...] = RECIPES
) -> tuple[ComparisonResult, ...]:
    """What the rows say."""
    return compare_recipes(results(tasks, seeds, recipes), ComparisonSpec({"proportional": "proportional"}))


def example_content(tasks: tuple[str, ...] = TASKS, seeds: tuple[int, ...] = (0,)) -> ReportContent:
    """A whole report over the tasks."""
    means, described = task_means(len(tasks)), summaries(tasks)
    gains = np.sort(np.random.default_rng(1).gamma(2.0, 1.0, len(tasks)))[::-1]
    softmax = 1 + gains + gains**2 / 2
    return ReportContent(
        title="SMART mixture report: sample",
        tasks=described,
        plane=task_plane(tasks, means),
        kernel=TaskKernel(tasks, means @ means.T),
        objectives=(ObjectiveGains("graph_cut(redundancy_weight=0.4)", tasks, gains, softmax / softmax.sum()),),
        mixtures=mixtures(described),
        measurements=measurements(tasks, seeds),
        recipe_comparisons=compared_recipes(tasks, seeds),
        rejections=Rejections(
            counts=(RejectionCount("sample", "empty response", 21), RejectionCount("sample", "not valid JSON", 9)),
            examples=(
                RejectedRow("sample", "tasks/add_numbers.jsonl", 17, "empty response", '{"prompt": "What is 2 + 2?"'),
                RejectedRow("sample", "tasks/broken.parquet", None, "unreadable as Parquet", None),
            ),
            tasks_left_out=("trec",),
        ),
        near_duplicates=NearDuplicateSummary(
            threshold=0.95,
            pairs=123,
            examples=(NearDuplicatePair(0.998, tasks[0], "What is 2 + 3?", tasks[-1], "What is\n2+3 ?"),),
            neighbour_cosines=np.random.default_rng(2).beta(8, 2, 2000).astype(np.float32),
        ),
        provenance=Provenance(
            settings_hash="9f2c51aa",
            artifacts=(ArtifactVersion("raw_tasks", "sample", "b0c7d1e2f3", "2026-01-02T03:04:05Z"),),
            packages={"torch": "2.13.0", "dagster": "1.13.2"},
        ),
    )


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
