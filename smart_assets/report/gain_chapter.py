"""The chapter about stage 1, with the pictures by which a person chooses M' and the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import shorten
from smart_assets.mixture.task_budgets import taylor_softmax
from smart_assets.mixture.task_scores import TEMPERATURES, effective_tasks, value_peak, weights_by_temperature
from smart_assets.report import canvas
from smart_assets.report.content import (
    ObjectiveGains,
    ReportContent,
)
from smart_assets.report.layout import CaptionedTable, Chapter, Picture, rows_cell, share_cell, table, value_cell, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEARLY_EVEN = 0.9  # effective tasks of all tasks, from which a temperature counts as evening the weights
_SHOWN_TEMPERATURES = (1.0, 10.0, 100.0, 1_000.0)
_MARKS = 20  # on the weights of one temperature, so that they do not hide each other


def gain_chapter(content: ReportContent) -> Chapter:
    """Show the greedy order of the tasks with gains and weights, for each objective in use."""
    heading = ("gains", "Gains and weights")
    if not content.objectives:
        return Chapter(*heading, ("No recipe in use weighs its tasks by an objective, or none has been computed yet.",))
    sentences = ["A task's weight is the Taylor softmax 1 + g + g²/2 of its gain g, divided by the sum over the tasks."]
    sentences += [_evenness(gains) for gains in content.objectives if gains.tasks]
    sentences += [_negative_gains(gains) for gains in content.objectives if (gains.gains < 0).any()]
    drawn = [picture for gains in content.objectives for picture in _gain_pictures(gains)]
    return Chapter(*heading, tuple(sentences), tuple(drawn), tuple(_gain_table(gains) for gains in content.objectives))


def _gain_table(gains: ObjectiveGains) -> CaptionedTable:
    picks = zip(gains.tasks, gains.gains, gains.weights, strict=True)
    rows = [
        [rows_cell(place), words(task), value_cell(float(gain)), share_cell(float(weight))]
        for place, (task, gain, weight) in enumerate(picks, start=1)
    ]
    caption = f"Greedy order under {shorten(gains.objective, 80)}."
    return table(caption, ("Pick", "Task", "Marginal gain", "Weight"), rows, folded=True)


def _gain_pictures(gains: ObjectiveGains) -> list[Picture]:
    name = shorten(gains.objective, 60)
    curve = f"Value, gains and weights of tasks in greedy order under {name}, with the bend of the value."
    effect = f"Effective tasks against the temperature, and weights at some temperatures, under {name}."
    return [
        Picture(gain_curve(gains), curve),
        Picture(temperature_effect(gains), effect),
    ]


def _evenness(gains: ObjectiveGains) -> str:
    """Return how uneven the weights are, the first temperature that nearly evens them, and where the value bends."""
    tempered = [weights for weights in weights_by_temperature(gains.gains) if weights.temperature >= 1]
    proposed, tasks = gains.proposed_max_tasks, len(gains.tasks)
    nearly_even = [weights for weights in tempered if weights.effective_tasks >= _NEARLY_EVEN * tasks]
    plain, even = tempered[0], [*nearly_even, tempered[-1]][0]
    sentences = [
        f"Under {shorten(gains.objective, 60)}, at temperature {plain.temperature:g} the weights are worth "
        f"{plain.effective_tasks:,.1f} equal tasks of {tasks:,}; the largest task takes {plain.largest_weight:.1%} of "
        f"the mixture, {plain.largest_over_equal:,.1f} times an equal share.",
        f"Temperature {even.temperature:,g} gives {even.effective_tasks:,.1f}." if even is not plain else "",
        f"The value bends after {count(proposed, 'task')}." if proposed < tasks else "The value does not bend.",
    ]
    return " ".join(filter(None, sentences))


def _negative_gains(gains: ObjectiveGains) -> str:
    return (
        f"Gains below 0 under {shorten(gains.objective, 60)}: {int((gains.gains < 0).sum()):,}. "
        "1 + g + g²/2 rises again once g falls below −1, so that a later pick can weigh more than an earlier one."
    )


def gain_curve(gains: ObjectiveGains) -> bytes:
    """Draw stage 1 of one objective: the value of the first picks and where it bends, each pick's gain and weight."""
    figure, [above, middle, below] = canvas.draw(9.5, panels=3)
    picks = np.arange(1, len(gains.tasks) + 1)
    shade, mark = canvas.PALETTE[0], "o" if len(picks) <= canvas.SHOWN_TASKS else None
    above.plot(np.arange(len(picks) + 1), np.append(0, np.cumsum(gains.gains)), color=shade)
    above.set_ylabel("value of the first tasks")
    middle.plot(picks, gains.gains, color=shade, marker=mark)
    middle.set_ylabel("marginal gain")
    below.vlines(picks, 0, gains.weights * 100, color=shade, linewidth=min(30, 500 / max(1, len(picks))))
    below.set_ylabel("weight at temperature 1 (%)")
    below.set_ylim(bottom=0)
    if len(picks):
        _bend(gains, above, (middle, below))
        equal = 100 / len(picks)
        below.axhline(equal, color=canvas.QUIET, linestyle="--", label=f"equal weights ({equal:.2g}%)")
        below.legend(fontsize=9, frameon=False, loc="upper right")
    below.set_xlabel("tasks in greedy order")
    if len(picks) <= canvas.SHOWN_TASKS:
        below.set_xticks(picks, [canvas.label(task, 26) for task in gains.tasks], rotation=90, fontsize=8)
    effective = f"{gains.effective_tasks:,.1f} effective tasks of {count(len(picks))}"
    canvas.title(above, f"Gains and weights under {canvas.label(gains.objective, 50)}, {effective}")
    return canvas.png(figure)


def temperature_effect(gains: ObjectiveGains) -> bytes:
    """Draw what the temperature does under one objective: how many equal tasks the weights are worth, and them."""
    figure, [left, right] = canvas.draw_beside(5, (1, 1.15))
    tasks = len(gains.tasks)
    left.set_xscale("log")
    left.set_xticks(TEMPERATURES, [f"{temperature:,g}" for temperature in TEMPERATURES])
    left.minorticks_off()
    left.axvline(1, color=canvas.QUIET, linestyle="--", label="temperature 1, the default")
    left.set_xlabel("temperature")
    left.set_ylabel("effective tasks")
    right.set_xlabel("tasks in greedy order")
    right.set_ylabel("weight (%)")
    if tasks:
        finely = np.geomspace(TEMPERATURES[0], TEMPERATURES[-1], 101)
        worth = [weights.effective_tasks for weights in weights_by_temperature(gains.gains, finely.tolist())]
        left.axhline(tasks, color=canvas.QUIET, linestyle=":", label=f"equal weights: {count(tasks, 'task')}")
        left.plot(finely, worth, color=canvas.INK)
        for index, temperature in enumerate(_SHOWN_TEMPERATURES):
            _weights_at(temperature, gains, index, (left, right))
        left.legend(fontsize=9, frameon=False, loc="lower right")
        right.legend(fontsize=9, frameon=False, loc="best")
        right.set_xlim(0, tasks + 0.6)
        right.locator_params(axis="x", integer=True)
    left.set_ylim(0, 1.08 * max(1, tasks))
    right.set_ylim(bottom=0)
    canvas.heading(figure, f"Temperature and weights under {canvas.label(gains.objective, 50)}")
    return canvas.png(figure)


def _bend(gains: ObjectiveGains, value: Axes, others: Sequence[Axes]) -> None:
    """Draw the chord that the value rises above, the bend, and a shade over the picks past it."""
    values, bend = np.cumsum(gains.gains), gains.proposed_max_tasks
    peak, tasks = value_peak(gains.gains), len(gains.tasks)
    value.plot([0, peak], [0, values[peak - 1]], "--", color=canvas.QUIET, linewidth=1, label="chord to the peak")
    label = f"bend: M' = {bend:,}" if bend < tasks else f"M' = {bend:,}, all tasks"
    value.plot([bend], [values[bend - 1]], "D", color=canvas.PALETTE[4], markersize=7, label=label)
    value.legend(fontsize=9, frameon=False, loc="lower right")
    value.set_xlim(0, tasks + 0.6)
    for axes in (value, *others) if bend < tasks else ():
        axes.axvspan(bend + 0.5, tasks + 0.6, color=canvas.PALE, alpha=0.5, linewidth=0)
        axes.axvline(bend + 0.5, color=canvas.PALETTE[4], linewidth=1)


def _weights_at(temperature: float, gains: ObjectiveGains, index: int, panels: tuple[Axes, Axes]) -> None:
    """Draw one temperature in both panels: the point on the curve, and the weights that are worth it."""
    worth, each = panels
    weights = taylor_softmax(gains.gains, temperature)
    shade, mark, tasks = canvas.colour(index), canvas.marker(index), len(weights)
    worth.plot([temperature], [effective_tasks(weights)], mark, color=shade, markersize=8)
    each.plot(
        np.arange(1, tasks + 1), 100 * weights, color=shade, marker=mark, markersize=5,
        markevery=-(-tasks // _MARKS), label=f"temperature {temperature:,g}",
    )  # fmt: skip
