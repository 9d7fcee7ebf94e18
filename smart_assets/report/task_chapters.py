"""The chapters about the tasks and the mixtures: what there is, how alike it is, and what each mixture takes of it.

A chapter of a missing part is a sentence that says so. The pictures stand alone: Dagster shows the same ones. Names
pass through `canvas.label`, so that a hostile name is only odd text. Names beyond the first forty are summed, so that
two thousand tasks stay one readable picture. An empty input gives an empty picture, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, sqrt
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.formatting import count, mean_count
from smart_assets.report import canvas
from smart_assets.report.content import (
    MixtureBudgets,
    ReportContent,
    TaskKernel,
    TaskSummary,
)
from smart_assets.report.layout import (
    CaptionedTable,
    Cell,
    Chapter,
    Picture,
    rows_cell,
    share_cell,
    table,
    value_cell,
    words,
)
from smart_assets.report.task_geometry import TaskPlane, kernel_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PICTURED_BUDGETS = 4
_CLOSEST_PAIRS = 20
_Item = TypeVar("_Item")
_DISC_AREA = 900  # square points, of the largest share
_ROOMY_MAP = 60  # tasks; with more of them all discs shrink
_KERNEL_CELLS = 250


def task_chapter(content: ReportContent) -> Chapter:
    """Show the map of the tasks, their rows, and their weight in each recipe's mixture."""
    if not content.tasks:
        return Chapter("tasks", "Tasks", ("No task has been read yet.",))
    weighed = [recipe for recipe in content.recipes if any(recipe in task.mixture_weights for task in content.tasks)]
    drawn: list[Picture] = []
    if content.plane is not None:
        alt = f"Scatter plot of {count(len(content.tasks), 'task')} in two principal components of their prompt means."
        drawn.append(Picture(task_map(content.plane, content.tasks, next(iter(weighed), None)), alt))
    alt = "Bars with the accepted and rejected rows of each task; the numbers are in the table below."
    drawn.append(Picture(row_counts(content.tasks), alt))
    columns = ["Task", "Source", "Training rows", "Validation rows", "Rejected rows", *(f"{r} weight" for r in weighed)]
    largest_first = sorted(content.tasks, key=lambda task: -task.train_rows)
    any_long = any(task.long_rows for task in content.tasks)
    if any_long:
        columns[5:5] = ["Longer than the encoder's window", "Read in part"]
    rows = [
        [words(task.task), words(task.source)]
        + [rows_cell(rows) for rows in (task.train_rows, task.validation_rows, task.rejected_rows)]
        + [rows_cell(rows or 0) for rows in (task.long_rows, task.rows_read_in_part) if any_long]
        + [share_cell(task.mixture_weights.get(recipe, 0.0)) for recipe in weighed]
        for task in largest_first
    ]
    sentences = ["Tasks that lie close together on the map have prompts that are alike on average."]
    if content.plane is None:
        sentences = ["The tasks' prompts have not been embedded yet, so there is no map."]
    listed = table("Tasks, the largest first.", columns, rows)
    return Chapter("tasks", "Tasks", tuple(sentences), tuple(drawn), (listed,))


def budget_chapter(content: ReportContent) -> Chapter:
    """Show how many rows each task gives to each mixture."""
    heading = ("budgets", "Task budgets")
    if not content.mixtures:
        return Chapter(*heading, ("No mixture has been selected yet.",))
    budgets = sorted({mixture.budget for mixture in content.mixtures})
    drawn = [_budget_picture(content, budget) for budget in budgets[:_PICTURED_BUDGETS]]
    omitted = len(budgets) - len(drawn)
    sentences = ["Each mixture takes this many training rows from each task."]
    if omitted:
        sentences.append(f"The {omitted} largest budgets are in the tables only.")
    return Chapter(*heading, tuple(sentences), tuple(drawn), (_mixture_table(content), _budget_table(content)))


def kernel_chapter(content: ReportContent) -> Chapter:
    """Show the cosine of every two tasks, and the closest pairs by name."""
    heading = ("kernel", "How alike the tasks are")
    if content.kernel is None:
        return Chapter(*heading, ("The tasks' prompts have not been embedded yet.",))
    sentence = "Cosine of the tasks' mean vectors; tasks are ordered so that similar ones stand side by side."
    alt = f"Matrix of cosines of {count(len(content.kernel.tasks), 'task')}; the closest pairs are in the table below."
    picture = Picture(task_kernel(content.kernel), alt)
    return Chapter(*heading, (sentence,), (picture,), (_closest_pairs(content.kernel),))


def _budget_picture(content: ReportContent, budget: int) -> Picture:
    mixtures = [mixture for mixture in content.mixtures if mixture.budget == budget]
    alt = f"Bars with each task's rows in the mixtures of {budget:,} rows; the numbers are in the table below."
    return Picture(task_budget_bars(mixtures, content.recipes), alt)


def _mixture_table(content: ReportContent) -> CaptionedTable:
    columns = ("Budget", "Recipe", "Rows", "Tasks", "Effective tasks", "Largest task", "Its share")
    rows = [_mixture_row(mixture) for mixture in _by_budget(content)]
    caption = "Mixtures. Effective tasks is 1 / Σ share²: the number of equal tasks that would be as concentrated."
    if any(rows != round(rows) for mixture in content.mixtures for rows in mixture.rows.values()):
        caption += " Rows of a task are means over the seeds where each draws its own; a task counts where any has it."
    return table(caption, columns, rows)


def _budget_table(content: ReportContent) -> CaptionedTable:
    mixtures = _by_budget(content)
    available = {task.task: task.train_rows for task in content.tasks}
    tasks = dict.fromkeys([*available, *(task for mixture in mixtures for task in mixture.rows)])
    largest_first = sorted(tasks, key=lambda task: -max(mixture.rows.get(task, 0) for mixture in mixtures))
    columns = ["Task", "Training rows", *(f"{mixture.recipe}, {mixture.budget:,}" for mixture in mixtures)]
    rows = [
        [
            words(task),
            rows_cell(available.get(task, 0)),
            *(rows_cell(mixture.rows.get(task, 0)) for mixture in mixtures),
        ]
        for task in largest_first
    ]
    return table("Task budgets (rows) by recipe and budget, the largest first.", columns, rows)


def _by_budget(content: ReportContent) -> list[MixtureBudgets]:
    return sorted(content.mixtures, key=lambda mixture: (mixture.budget, content.recipes.index(mixture.recipe)))


def _mixture_row(mixture: MixtureBudgets) -> list[Cell]:
    total = sum(mixture.rows.values())
    largest = max(mixture.rows, key=lambda task: mixture.rows[task], default="–")
    return [
        rows_cell(mixture.budget),
        words(mixture.recipe),
        rows_cell(round(total)),
        rows_cell(sum(rows > 0 for rows in mixture.rows.values())),
        Cell(f"{mixture.effective_tasks:,.1f}", mixture.effective_tasks),
        words(largest),
        share_cell(mixture.rows.get(largest, 0) / max(1, total)),
    ]


def _closest_pairs(kernel: TaskKernel) -> CaptionedTable:
    first, second = np.triu_indices(len(kernel.tasks), k=1)
    cosines = kernel.similarities[first, second]
    closest = np.argsort(-cosines, kind="stable")[:_CLOSEST_PAIRS]
    rows = [
        [value_cell(float(cosines[place])), words(kernel.tasks[first[place]]), words(kernel.tasks[second[place]])]
        for place in closest
    ]
    caption = f"The {len(rows)} closest of {count(len(cosines), 'pair')} of tasks."
    return table(caption, ("Cosine", "First task", "Second task"), rows)


def task_map(plane: TaskPlane, tasks: Sequence[TaskSummary], recipe: str | None = None) -> bytes:
    """Draw tasks where their prompts lie. A mark's area is the share of training rows, its colour the mixture weight.

    Args:
        plane: positions of the tasks.
        tasks: their rows, sources and mixture weights; those without a position are not drawn.
        recipe: whose mixture weights the colours show; with None the colours tell the sources apart, as marks do.
    """
    figure, [axes] = canvas.draw(7)
    where = dict(zip(plane.tasks, plane.positions, strict=True))
    drawn = [task for task in tasks if task.task in where]
    total = sum(task.train_rows for task in drawn) or 1
    shares = {task.task: task.train_rows / total for task in drawn}
    weights = {task.task: 100 * task.mixture_weights.get(recipe, 0.0) for task in drawn} if recipe is not None else {}
    largest = max(shares.values(), default=0) or 1
    area = _DISC_AREA * min(1, _ROOMY_MAP / max(1, len(drawn)))
    for index, source in enumerate(dict.fromkeys(task.source for task in drawn)):
        names = [task.task for task in drawn if task.source == source]
        points = np.array([where[name] for name in names])
        sizes = [max(20.0, area * shares[name] / largest) for name in names]
        shape = canvas.marker(index)
        if weights:
            shades, top = [weights[name] for name in names], max(weights.values()) or 1
            marks = axes.scatter(
                *points.T, s=sizes, c=shades, cmap="cividis", vmin=0, vmax=top, marker=shape, alpha=0.75, linewidths=0
            )
            if index == 0:
                bar = figure.colorbar(marks, ax=axes, shrink=0.8)
                bar.set_label(f"mixture weight in {canvas.label(recipe or '')} (%)")
        else:
            axes.scatter(*points.T, s=sizes, color=canvas.colour(index), marker=shape, alpha=0.75, linewidths=0)
        shade = canvas.QUIET if weights else canvas.colour(index)
        axes.scatter([], [], s=80, c=shade, marker=canvas.marker(index), label=canvas.label(source))
    axes.margins(0.12)
    first, second = plane.explained
    axes.set_xlabel(f"first principal component ({first:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({second:.0%})")
    colour = ", colour: mixture weight" if weights else ""
    canvas.title(axes, f"Tasks by their mean prompt. Area: share of training rows{colour}")
    if drawn:
        canvas.legend(figure, "source")
    discs = [
        canvas.NamedDisc(
            name=canvas.label(task.task, 26),
            position=(float(where[task.task][0]), float(where[task.task][1])),
            radius=sqrt(max(20.0, area * shares[task.task] / largest) / pi),
        )
        for task in sorted(drawn, key=lambda task: -task.train_rows)
    ]
    canvas.name_discs(figure, axes, discs[: canvas.SHOWN_TASKS])
    return canvas.png(figure)


def task_kernel(kernel: TaskKernel) -> bytes:
    """Draw the cosine of every two tasks as a coloured matrix, similar tasks side by side."""
    figure, [axes] = canvas.draw(8.5)
    order = kernel_order(kernel.similarities)
    matrix = _blocks(kernel.similarities[np.ix_(order, order)])
    lowest = min(0.0, float(matrix.min(initial=0)))
    image = axes.imshow(matrix, cmap="cividis", vmin=lowest, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("cosine similarity of the mean vectors")
    names = [canvas.label(kernel.tasks[index], 26) for index in order]
    if len(names) <= canvas.SHOWN_TASKS:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        blocks = "; a cell is the mean of a block" if len(matrix) < len(names) else ""
        axes.set_xlabel(f"{count(len(names))} tasks, similar ones side by side{blocks}")
    canvas.title(axes, "Cosine similarity of every two tasks")
    return canvas.png(figure)


def task_budget_bars(mixtures: Sequence[MixtureBudgets], recipes: Sequence[str]) -> bytes:
    """Draw the rows of each task at one budget, a bar a recipe; the largest tasks by name, the others summed.

    Args:
        mixtures: mixtures of one budget.
        recipes: all recipes of the report, so that a recipe has one colour in every picture.
    """
    tasks = list(dict.fromkeys(task for mixture in mixtures for task in mixture.rows))
    largest = {task: max(mixture.rows.get(task, 0) for mixture in mixtures) for task in tasks}
    named, others = _largest(tasks, lambda task: largest[task])
    thickness = 0.8 / max(1, len(mixtures))
    figure, axes = _task_axes(named, len(others), 0.12 + 0.13 * len(mixtures))
    axes.set_xlim(0, 1.12 * max((largest[task] for task in named), default=0) or 1)
    for index, mixture in enumerate(mixtures):
        rows = [mixture.rows.get(task, 0) for task in named]
        rows += [sum(mixture.rows.get(task, 0) for task in others)] if others else []
        heights = np.arange(len(rows)) + (index - (len(mixtures) - 1) / 2) * thickness
        shade = canvas.colour(list(recipes).index(mixture.recipe))
        axes.barh(heights, rows, thickness, color=shade, label=canvas.label(mixture.recipe))
        for height, value in zip(heights, rows, strict=True):
            canvas.bar_end(axes, value, height, mean_count(value))
    axes.set_xlabel("task budget (rows)")
    if mixtures:
        canvas.legend(figure, "recipe")
        canvas.title(axes, f"Rows of each task in a mixture of {mixtures[0].budget:,} rows")
    return canvas.png(figure)


def row_counts(tasks: Sequence[TaskSummary]) -> bytes:
    """Draw accepted rows of each task, training and validation, and its rejected rows; the largest by name."""
    named, others = _largest(list(tasks), lambda task: task.train_rows + task.validation_rows + task.rejected_rows)
    figure, axes = _task_axes([task.task for task in named], len(others), 0.25)
    parts: tuple[tuple[str, Callable[[TaskSummary], int], str], ...] = (
        ("training", lambda task: task.train_rows, canvas.PALETTE[0]),
        ("validation", lambda task: task.validation_rows, canvas.PALETTE[5]),
        ("rejected", lambda task: task.rejected_rows, canvas.PALETTE[4]),
    )
    groups = [[task] for task in named] + ([others] if others else [])
    axes.set_xlim(0, 1.2 * max((sum(part(task) for _, part, _ in parts) for task in named), default=0) or 1)
    ends = np.zeros(len(groups))
    for label, part, shade in parts:
        rows = np.array([sum(map(part, group)) for group in groups], dtype=np.float64)
        axes.barh(range(len(groups)), rows, 0.7, left=ends, color=shade, label=label)
        ends += rows
    for height, (end, group) in enumerate(zip(ends, groups, strict=True)):
        rejected = sum(task.rejected_rows for task in group)
        note = f" + {rejected:,} rejected" if rejected else ""
        canvas.bar_end(axes, end, height, f"{int(end) - rejected:,}{note}")
    axes.set_xlabel("rows")
    canvas.legend(figure)
    canvas.title(axes, "Rows read from each task")
    return canvas.png(figure)


def _blocks(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means of square blocks: few cells, so that a kernel of thousands of tasks stays a small picture."""
    size = len(matrix)
    if size <= _KERNEL_CELLS:
        return matrix
    starts = np.arange(_KERNEL_CELLS) * size // _KERNEL_CELLS
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    lengths = np.diff(starts, append=size)
    return sums / np.outer(lengths, lengths)


def _largest(items: Sequence[_Item], size: Callable[[_Item], float]) -> tuple[list[_Item], list[_Item]]:
    """Return the items to be named, largest first, and the others; equals stay in their order."""
    ordered = sorted(items, key=lambda item: -size(item))
    return ordered[: canvas.SHOWN_TASKS], ordered[canvas.SHOWN_TASKS :]


def _task_axes(names: Sequence[str], others: int, inches_a_row: float) -> tuple[Figure, Axes]:
    """Return a figure with a row a task from the top, and one for the others."""
    labels = [canvas.label(name) for name in names] + ([f"{others:,} other tasks"] if others else [])
    figure, [axes] = canvas.draw(1.6 + inches_a_row * max(4, len(labels)))
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes
