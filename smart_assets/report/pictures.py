"""The pictures of the report, as PNG bytes: one function a picture, each from the small values it shows.

They stand alone: the assets show the same pictures in Dagster. Names pass through `canvas.label`, so that a hostile
name is only odd text; names beyond the first forty are summed, so that two thousand tasks stay one readable picture.
An empty input gives an empty picture, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, pi, sqrt
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.curve import Curve
from smart_assets.core.formatting import count, mean_count, number
from smart_assets.report import canvas
from smart_assets.report.content import LossCurve, MixtureBudgets, TaskKernel, TaskSummary
from smart_assets.report.task_geometry import TaskPlane, kernel_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Item = TypeVar("_Item")
_DISC_AREA = 900  # square points, of the largest share
_ROOMY_MAP = 60  # tasks; with more of them all discs shrink
_KERNEL_CELLS = 250
_BASE_REACH = 1
"""Spans of what is drawn of the recipes that the base model may lie away and still share the axis with them."""


def task_map(plane: TaskPlane, tasks: Sequence[TaskSummary], recipe: str | None = None) -> bytes:
    """Tasks where their prompts lie. A mark's area is the share of training rows, its colour the mixture weight.

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
    """The cosine of every two tasks as a coloured matrix, similar tasks side by side."""
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
    """Rows of each task at one budget, a bar a recipe; the largest tasks by name, the others summed.

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
    """Accepted rows of each task, training and validation, and its rejected rows; the largest by name."""
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


def metric_against_budget(curve: Curve, recipes: Sequence[str]) -> bytes:
    """A line a recipe over the budgets with its intervals, a point a seed, and the base model as the line to beat.

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
    """The training loss of one mixture over the optimizer's steps, a line a seed."""
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


def similarity_histogram(neighbour_cosines: NDArray[np.floating], threshold: float) -> bytes:
    """How close each prompt's nearest other prompt is, with the threshold of near duplicates.

    Args:
        neighbour_cosines: (n,) cosine of each row's nearest other row, in [-1, 1]; not finite where there is none.
        threshold: cosine from which two prompts are near duplicates.
    """
    figure, [axes] = canvas.draw(4.5)
    cosines = neighbour_cosines[np.isfinite(neighbour_cosines)]
    lowest = floor(10 * float(cosines.min(initial=0.9))) / 10
    axes.hist(np.clip(cosines, lowest, 1), bins=60, range=(lowest, 1), color=canvas.PALETTE[0])
    near = int((cosines >= threshold).sum())
    label = f"near duplicate from {threshold:g}: {count(near, 'row')} ({near / max(1, len(cosines)):.1%})"
    axes.axvline(threshold, color=canvas.PALETTE[4], linestyle="--", label=label)
    axes.set_xlabel("cosine similarity to the nearest other prompt of the source")
    axes.set_ylabel("rows")
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    canvas.title(axes, f"How close {count(len(cosines), 'prompt')} lie to their nearest neighbour")
    return canvas.png(figure)


def _blocks(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of square blocks, few enough cells that a kernel of thousands of tasks stays a small picture."""
    size = len(matrix)
    if size <= _KERNEL_CELLS:
        return matrix
    starts = np.arange(_KERNEL_CELLS) * size // _KERNEL_CELLS
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    lengths = np.diff(starts, append=size)
    return sums / np.outer(lengths, lengths)


def _largest(items: Sequence[_Item], size: Callable[[_Item], float]) -> tuple[list[_Item], list[_Item]]:
    """The items to be named, largest first, and the others; equals stay in their order."""
    ordered = sorted(items, key=lambda item: -size(item))
    return ordered[: canvas.SHOWN_TASKS], ordered[canvas.SHOWN_TASKS :]


def _task_axes(names: Sequence[str], others: int, inches_a_row: float) -> tuple[Figure, Axes]:
    """A figure with a row a task from the top, and one for the others."""
    labels = [canvas.label(name) for name in names] + ([f"{others:,} other tasks"] if others else [])
    figure, [axes] = canvas.draw(1.6 + inches_a_row * max(4, len(labels)))
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes


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
