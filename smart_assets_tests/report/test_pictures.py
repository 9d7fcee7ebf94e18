"""Pictures are valid, readable in size, equal for equal content, and untroubled by hostile names and odd content."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from smart_assets.comparison.curve import metric_curve
from smart_assets.comparison.shared_tasks import compare_shared_tasks
from smart_assets.report import canvas
from smart_assets.report.content import LossCurve, ObjectiveGains, ReportContent, TaskKernel
from smart_assets.report.gain_chapter import gain_curve, temperature_effect
from smart_assets.report.metric_chapters import loss_curve, metric_against_budget
from smart_assets.report.source_chapters import similarity_histogram
from smart_assets.report.task_chapters import row_counts, task_budget_bars, task_kernel, task_map
from smart_assets.report.task_geometry import TaskPlane, task_plane
from smart_assets_tests.support.report_example import HOSTILE, RECIPES, example_content, size_of

NO_GAINS = ObjectiveGains("graph_cut", (), np.empty(0), np.empty(0))


def curves() -> list[LossCurve]:
    steps = np.arange(1, 101)
    return [LossCurve(seed, steps, 5 / np.sqrt(steps) + 0.01 * seed) for seed in (0, 1, 2)]


def cosines(content: ReportContent) -> np.ndarray:
    assert content.near_duplicates is not None
    return content.near_duplicates.neighbour_cosines


def plane(content: ReportContent) -> TaskPlane:
    assert content.plane is not None
    return content.plane


def kernel(content: ReportContent) -> TaskKernel:
    assert content.kernel is not None
    return content.kernel


DRAWN: dict[str, Callable[[ReportContent], bytes]] = {
    "task map": lambda content: task_map(plane(content), content.tasks, "smart"),
    "task map without weights": lambda content: task_map(plane(content), content.tasks),
    "task kernel": lambda content: task_kernel(kernel(content)),
    "gain curve": lambda content: gain_curve(content.objectives[0]),
    "temperature effect": lambda content: temperature_effect(content.objectives[0]),
    "task budget bars": lambda content: task_budget_bars(content.mixtures[:2], content.recipes),
    "metric against budget": lambda content: metric_against_budget(
        metric_curve(compare_shared_tasks(content.measurements)[0], content.recipe_comparisons[0]), RECIPES
    ),
    "row counts": lambda content: row_counts(content.tasks),
    "loss curve": lambda _: loss_curve(curves()),
    "similarity histogram": lambda content: similarity_histogram(cosines(content), 0.95),
}


@pytest.mark.parametrize("name", DRAWN)
def test_picture_is_a_sensible_png_and_deterministic(name: str) -> None:
    content = example_content(seeds=(0, 1))
    png = DRAWN[name](content)
    width, height = size_of(png)
    assert width == 1600
    assert 500 <= height <= 2400
    assert 10_000 < len(png) < 400_000
    assert DRAWN[name](content) == png


@pytest.mark.parametrize("name", [name for name in DRAWN if name not in ("loss curve", "similarity histogram")])
def test_hostile_names_are_only_odd_text(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        size_of(DRAWN[name](example_content(HOSTILE)))


@pytest.mark.parametrize(
    "name", ["task map", "task kernel", "gain curve", "temperature effect", "task budget bars", "row counts"]
)
@pytest.mark.parametrize("tasks", [300, pytest.param(2000, marks=pytest.mark.slow)], ids=str)
def test_many_tasks_stay_one_readable_picture(name: str, tasks: int) -> None:
    png = DRAWN[name](example_content(tuple(f"task_{at:04d}" for at in range(tasks))))
    assert size_of(png)[1] <= 2800
    assert len(png) < 800_000


@pytest.mark.parametrize(
    "draw",
    [
        lambda: task_map(task_plane((), np.empty((0, 4))), ()),
        lambda: gain_curve(NO_GAINS),
        lambda: temperature_effect(NO_GAINS),
        lambda: task_budget_bars((), ()),
        lambda: row_counts(()),
        lambda: loss_curve(()),
        lambda: similarity_histogram(np.full(2, np.nan, np.float32), 0.95),
    ],
    ids=["task map", "gain curve", "temperatures", "task budget bars", "row counts", "loss curve", "histogram"],
)
def test_nothing_to_show_is_an_empty_picture(draw: Callable[[], bytes]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        size_of(draw())


@pytest.mark.parametrize(
    "gains",
    [[0.6], [1.1, 0.7], [3.0, 0.5, 0.1, -4.0], [-1.0, -2.0], [0.0, 0.0, 0.0]],
    ids=["one task", "two tasks", "a value that falls", "nothing gained", "gains of zero"],
)
@pytest.mark.parametrize("draw", [gain_curve, temperature_effect])
def test_pictures_of_odd_gains(draw: Callable[[ObjectiveGains], bytes], gains: list[float]) -> None:
    names = tuple(f"task {at}" for at in range(len(gains)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        size_of(draw(ObjectiveGains("graph_cut", names, np.array(gains), np.full(len(gains), 1 / len(gains)))))


@pytest.mark.parametrize(
    ("kept", "values"),
    [
        (lambda row: row.budget in (None, 200), lambda value: value),
        (lambda row: row.budget is not None, lambda value: value),
        (lambda row: row.recipe in (None, "smart"), lambda value: value),
        (lambda row: row.recipe == "smart" and row.budget == 200, lambda value: value),
        (lambda row: True, lambda value: 1.5),
        (lambda row: True, lambda value: float("nan")),
        (lambda row: row.budget is None, lambda value: value),
    ],
    ids=["one budget", "no base model", "one recipe", "one checkpoint", "all equal", "all not finite", "base only"],
)
def test_metric_picture_of_few_measurements(kept: Callable[..., bool], values: Callable[[float], float]) -> None:
    rows = [replace(row, value=values(row.value)) for row in example_content().measurements if kept(row)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        size_of(metric_against_budget(metric_curve(compare_shared_tasks(rows)[0]), RECIPES))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("$x^2$", r"\$x^2\$"),
        ("\x1b[31mred\x1b[0m\x07", "red"),
        ("a\nb\tc", "a b c"),
        ("n" * 30 + "end", "nnnnnnnn…end"),
        ("日本", "□□"),
        ("_a", " _a"),
        (" \u200b", "(no name)"),
    ],
    ids=["dollar", "escapes", "lines", "long", "no glyph", "underscore", "invisible"],
)
def test_label(name: str, expected: str) -> None:
    assert canvas.label(name, 12) == expected


def test_recipes_beyond_the_palette_differ() -> None:
    pairs = {(canvas.colour(index), canvas.marker(index)) for index in range(28)}
    assert len(pairs) == 28
