"""The chapters about evaluation: each metric against the budget, and each task's result beside the base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.curve import Curve, metric_curve
from smart_assets.comparison.left_out import in_words
from smart_assets.comparison.shared_tasks import RecipeMeans, TaskComparison
from smart_assets.core.formatting import count, number
from smart_assets.core.metrics import undeclared
from smart_assets.core.safe_text import shorten
from smart_assets.report import canvas
from smart_assets.report.content import LossCurve
from smart_assets.report.layout import CaptionedTable, Cell, Chapter, Picture, rows_cell, table, value_cell, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURED_COMPARISONS = 6
_TABLED_COMPARISONS = 12
_NO_CLAIM = "Figures as measured, with the noise of rows and seeds; the chapter Differences says what is known."
_MEAN_CAPTION = "Means over tasks and seeds; beside them means of the tasks with and without rows in the mixture."
_MEAN_COLUMNS = (
    "Metric", "Budget", "Recipe", "Mean", "Seeds", "Lowest seed", "Highest seed",
    "Mean of tasks with rows", "Mean of tasks without", "Tasks that gained over base",
)  # fmt: skip
_BASE_REACH = 1
"""Spans of what is drawn of the recipes that the base model may lie away and still share the axis with them."""


def metric_chapter(
    comparisons: Sequence[TaskComparison], results: Sequence[ComparisonResult], recipes: Sequence[str]
) -> Chapter:
    """Show each benchmark's metric against the budget, with intervals where rows were kept, and the base model."""
    heading = ("metrics", "Metrics against the budget")
    if not comparisons:
        return Chapter(*heading, ("No checkpoint has been evaluated yet.",))
    drawn = [
        Picture(metric_against_budget(_curve(comparison, results), recipes), _alt(comparison))
        for comparison in comparisons[:_PICTURED_COMPARISONS]
        if comparison.runs
    ]
    sentences = ["Each value is a mean over tasks, a task counting once, whatever its rows."]
    sentences += [
        f"{shorten(comparison.title, 80)}: {count(comparison.tasks_left_out, 'task')} left out, not in every run "
        f"({in_words(comparison.left_out)})."
        for comparison in comparisons
        if comparison.tasks_left_out
    ]
    sentences += _undeclared(comparisons)
    if len(comparisons) > _PICTURED_COMPARISONS:
        sentences.append(f"Pictures show the first {_PICTURED_COMPARISONS} of {len(comparisons)} metrics.")
    rows = [row for comparison in comparisons for row in _mean_rows(comparison, recipes)]
    return Chapter(*heading, (*sentences, _NO_CLAIM), tuple(drawn), (table(_MEAN_CAPTION, _MEAN_COLUMNS, rows),))


def result_chapter(comparisons: Sequence[TaskComparison], recipes: Sequence[str]) -> Chapter:
    """Show each task's results, for benchmarks of more than one task."""
    heading = ("results", "Results of each task")
    several = [comparison for comparison in comparisons if len(comparison.tasks) > 1]
    if not several:
        return Chapter(*heading, ("No benchmark of several tasks has been evaluated yet.",))
    tabled = several[:_TABLED_COMPARISONS]
    tables = tuple(_task_table(each, recipes, folded=place > 0) for place, each in enumerate(tabled))
    sentences = ["The tasks that gained least over the base model come first.", *_undeclared(several), _NO_CLAIM]
    if len(several) > len(tabled):
        sentences.append(f"Tables show the first {len(tabled)} of {len(several)} metrics.")
    return Chapter(*heading, tuple(sentences), (), tables)


def _curve(comparison: TaskComparison, results: Sequence[ComparisonResult]) -> Curve:
    key = (comparison.benchmark, comparison.unseen, comparison.metric.name)
    return metric_curve(
        comparison, next((each for each in results if (each.benchmark, each.unseen, each.metric.name) == key), None)
    )


def _undeclared(comparisons: Sequence[TaskComparison]) -> list[str]:
    return [
        f"{shorten(comparison.title, 80)} is not ranked: "
        f"{undeclared(shorten(comparison.metric.name, 60), shorten(comparison.benchmark, 60))}."
        for comparison in comparisons
        if not comparison.metric.direction.is_known
    ]


def _alt(comparison: TaskComparison) -> str:
    return f"{shorten(comparison.title, 80)} against the budget, a line a recipe; the numbers are in the table below."


def _mean_rows(comparison: TaskComparison, recipes: Sequence[str]) -> list[list[Cell]]:
    name, shown = words(comparison.title), _standings(comparison, recipes)
    rows: list[list[Cell]] = []
    if comparison.base is not None:
        base = value_cell(float(comparison.base.mean()))
        rows.append([name, Cell("–", 0), words("base model"), base, *[value_cell(None)] * 6])
    return rows + [[name, rows_cell(budget), *_mean_cells(comparison, standing)] for budget, standing in shown]


def _mean_cells(comparison: TaskComparison, standing: RecipeMeans) -> list[Cell]:
    seeds = standing.seed_means
    return [
        words(standing.recipe),
        value_cell(standing.mean),
        rows_cell(len(seeds)),
        value_cell(min(seeds)),
        value_cell(max(seeds)),
        value_cell(standing.mean_where(trained=True)),
        value_cell(standing.mean_where(trained=False)),
        _tasks_won(comparison, standing),
    ]


def _task_table(comparison: TaskComparison, recipes: Sequence[str], folded: bool) -> CaptionedTable:
    shown = _standings(comparison, recipes)
    values = (
        np.stack([standing.task_values for _, standing in shown], axis=1)
        if shown
        else np.empty((len(comparison.tasks), 0))
    )
    base = [] if comparison.base is None else [comparison.base]
    columns = ["Task", *["Base model" for _ in base], *(f"{standing.recipe}, {budget:,}" for budget, standing in shown)]
    rows = [
        [words(comparison.tasks[place]), *(value_cell(float(column[place])) for column in base)]
        + [value_cell(float(value)) for value in values[place]]
        for place in _least_gained_first(comparison, values)
    ]
    return table(f"{shorten(comparison.title, 80)} ({comparison.metric.unit_and_direction}).", columns, rows, folded)


def _standings(comparison: TaskComparison, recipes: Sequence[str]) -> list[tuple[int, RecipeMeans]]:
    """Return what was measured as (budget, standing), recipes in the report's order."""
    measured = [(budget, comparison.standing(budget, recipe)) for budget in comparison.budgets for recipe in recipes]
    return [(budget, standing) for budget, standing in measured if standing is not None]


def _gained(comparison: TaskComparison, values: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    return comparison.metric.as_loss(base)[:, None] - comparison.metric.as_loss(values)


def _least_gained_first(comparison: TaskComparison, values: NDArray[np.float64]) -> list[int]:
    if comparison.base is None or not values.size or not comparison.metric.direction.is_known:
        return list(range(len(comparison.tasks)))
    least = _gained(comparison, values, comparison.base).min(axis=1)
    return [int(place) for place in np.argsort(least, kind="stable")]


def _tasks_won(comparison: TaskComparison, standing: RecipeMeans) -> Cell:
    if comparison.base is None or not comparison.metric.direction.is_known:
        return value_cell(None)
    won = int((_gained(comparison, standing.task_values[:, None], comparison.base) > 0).sum())
    return Cell(f"{won:,} of {len(comparison.tasks):,}", won)


def metric_against_budget(curve: Curve, recipes: Sequence[str]) -> bytes:
    """Draw a line a recipe over the budgets with its intervals, a point a seed, and the base model as the line to beat.

    Budgets are evenly spaced, so that few and many are told apart. A base model far from all runs would flatten them:
    then it is written at the edge instead.

    Args:
        curve: one metric over shared tasks.
        recipes: all recipes of the report, so that a recipe has one colour in every picture.
    """
    figure, [axes] = canvas.draw(5.5)
    budgets = curve.budgets
    for index, recipe in enumerate(recipes):
        line = [point for point in curve.points if point.recipe == recipe]
        if not line:
            continue
        shift = (index - (len(recipes) - 1) / 2) * min(0.06, 0.3 / len(recipes))
        places = [budgets.index(point.budget) + shift for point in line]
        shade, mark = canvas.colour(index), canvas.marker(index)
        axes.plot(
            places, [point.mean for point in line],
            color=shade, marker=mark, markersize=8, linewidth=1.6, label=canvas.label(recipe),
        )  # fmt: skip
        canvas.intervals(axes, [(place, point.interval) for place, point in zip(places, line, strict=True)], shade)
        for place, point in zip(places, line, strict=True):
            if len(point.seeds) > 1:
                axes.plot([place] * len(point.seeds), point.seeds, mark, color=shade, markersize=4, mfc="white")
    _base_line(axes, curve)
    axes.set_xticks(range(len(budgets)), [f"{budget:,}" for budget in budgets])
    axes.set_xlim(-0.5, max(len(budgets), 1) - 0.5)
    axes.set_xlabel("budget (training rows; evenly spaced)")
    axes.set_ylabel(f"{canvas.label(curve.metric.title)} ({curve.metric.unit_and_direction})")
    canvas.title(axes, f"{canvas.label(curve.title, 60)}, mean over {count(curve.tasks, 'task')}")
    if axes.get_legend_handles_labels()[0]:
        bars = "; bars: 95% interval" if any(point.interval for point in curve.points) else ""
        bars += ", of one training over the rows alone" if bars and any(p.one_training for p in curve.points) else ""
        canvas.legend(figure, f"filled: mean over seeds; open: each of several seeds{bars}")
    return canvas.png(figure)


def loss_curve(curves: Sequence[LossCurve]) -> bytes:
    """Draw the training loss of one mixture over the optimizer's steps, a line a seed."""
    figure, [axes] = canvas.draw(5)
    for index, curve in enumerate(curves):
        mark = canvas.marker(index) if len(curve.steps) <= canvas.SHOWN_TASKS else None
        axes.plot(curve.steps, curve.losses, color=canvas.colour(index), marker=mark, label=f"seed {curve.seed}")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("training loss (nats per response token)")
    canvas.title(axes, "Training loss")
    if curves:
        canvas.legend(figure)
    return canvas.png(figure)


def _base_line(axes: Axes, curve: Curve) -> None:
    base = curve.base
    if base is None or not np.isfinite(base):
        return
    low, high = curve.reach or (base, base)
    reach = _BASE_REACH * (high - low)
    if not reach or low - reach <= base <= high + reach:
        axes.axhline(base, color=canvas.QUIET, linestyle="--", linewidth=2, label=f"base model ({number(base)})")
        return
    above = base > high
    edge, side = (1.0, "top") if above else (0.0, "bottom")
    axes.plot([0, 1], [edge, edge], "--", color=canvas.QUIET, linewidth=2, transform=axes.transAxes, clip_on=False)
    words = f"base model {number(base)}, far {'above' if above else 'below'} this picture"
    axes.text(0.99, 0.97 if above else 0.03, words, transform=axes.transAxes, ha="right", va=side, fontsize=10)
