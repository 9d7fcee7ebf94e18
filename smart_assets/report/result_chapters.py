"""The chapters about evaluation: each metric against the budget, and each task's result beside the base model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.curve import Curve, metric_curve
from smart_assets.comparison.left_out import in_words
from smart_assets.comparison.shared_tasks import RecipeMeans, TaskComparison
from smart_assets.core.formatting import count
from smart_assets.core.metrics import undeclared
from smart_assets.core.safe_text import shorten
from smart_assets.report import pictures
from smart_assets.report.layout import Cell, Chapter, Picture, Table, rows_cell, table, value_cell, words

_PICTURED_COMPARISONS = 6
_TABLED_COMPARISONS = 12


def metric_chapter(
    comparisons: Sequence[TaskComparison], results: Sequence[ComparisonResult], recipes: Sequence[str]
) -> Chapter:
    """Each benchmark's metric against the budget, with intervals where rows were kept, and the base model to beat."""
    heading = ("metrics", "Metrics against the budget")
    if not comparisons:
        return Chapter(*heading, ("No checkpoint has been evaluated yet.",))
    drawn = [
        Picture(pictures.metric_against_budget(_curve(comparison, results), recipes), _alt(comparison))
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
    """Each task's results, for benchmarks of more than one task."""
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


_NO_CLAIM = "Figures as measured, with the noise of rows and seeds; the chapter Differences says what is known."
_MEAN_CAPTION = "Means over tasks and seeds; beside them means of the tasks with and without rows in the mixture."
_MEAN_COLUMNS = (
    "Metric", "Budget", "Recipe", "Mean", "Seeds", "Lowest seed", "Highest seed",
    "Mean of tasks with rows", "Mean of tasks without", "Tasks that gained over base",
)  # fmt: skip


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


def _task_table(comparison: TaskComparison, recipes: Sequence[str], folded: bool) -> Table:
    shown = _standings(comparison, recipes)
    values = (
        np.stack([standing.task_values for _, standing in shown], axis=1)
        if shown
        else np.empty((len(comparison.tasks), 0))
    )
    base = [] if comparison.base is None else [comparison.base]
    columns = ["Task", *["Base model" for _ in base], *(f"{standing.recipe}, {budget:,}" for budget, standing in shown)]
    rows = [
        [words(comparison.tasks[at]), *(value_cell(float(column[at])) for column in base)]
        + [value_cell(float(value)) for value in values[at]]
        for at in _least_gained_first(comparison, values)
    ]
    return table(f"{shorten(comparison.title, 80)} ({comparison.metric.unit_and_direction}).", columns, rows, folded)


def _standings(comparison: TaskComparison, recipes: Sequence[str]) -> list[tuple[int, RecipeMeans]]:
    """What was measured as (budget, standing), recipes in the report's order."""
    found = [(budget, comparison.standing(budget, recipe)) for budget in comparison.budgets for recipe in recipes]
    return [(budget, standing) for budget, standing in found if standing is not None]


def _gained(comparison: TaskComparison, values: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    return comparison.metric.as_loss(base)[:, None] - comparison.metric.as_loss(values)


def _least_gained_first(comparison: TaskComparison, values: NDArray[np.float64]) -> list[int]:
    if comparison.base is None or not values.size or not comparison.metric.direction.is_known:
        return list(range(len(comparison.tasks)))
    least = _gained(comparison, values, comparison.base).min(axis=1)
    return [int(at) for at in np.argsort(least, kind="stable")]


def _tasks_won(comparison: TaskComparison, standing: RecipeMeans) -> Cell:
    if comparison.base is None or not comparison.metric.direction.is_known:
        return value_cell(None)
    won = int((_gained(comparison, standing.task_values[:, None], comparison.base) > 0).sum())
    return Cell(f"{won:,} of {len(comparison.tasks):,}", won)
