"""Pictures of intervals: differences to other recipes, and scores along a sweep, as PNG bytes: see `pictures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.differences import Difference, RecipeScore
from smart_assets.core.formatting import count
from smart_assets.mixture.sweeps import Sweep
from smart_assets.report import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUIET = {"fontsize": 9, "color": canvas.QUIET, "x": 0.5}
_SHIFT = 0.09  # of a budget's points beside each other


def difference_forest(result: ComparisonResult, recipes: Sequence[str]) -> bytes:
    """The difference of each recipe to the references at each budget, with its interval: a panel a reference.

    A filled mark says that the interval excludes zero; what was trained once has a cross, a dashed interval over
    the rows alone, and no verdict. With more than forty rows the smallest budgets are left out.

    Args:
        evidence: one metric of one benchmark.
        recipes: all recipes of the report, so that a recipe has one colour in every picture.
    """
    references = [name for name in result.references.values() if _to(result, name)]
    names = sorted({(found.budget, list(recipes).index(found.recipe)) for found in result.differences}, reverse=True)
    shown = sorted(names[: canvas.SHOWN_TASKS])
    figure, panels = canvas.draw_beside(1.9 + 0.27 * max(4, len(shown)), [1.0] * max(1, len(references)))
    for axes, reference in zip(panels, references or [""], strict=True):
        axes.axvline(0, color=canvas.INK, linewidth=1)
        for height, (budget, index) in enumerate(shown):
            for found in _to(result, reference):
                if (found.budget, found.recipe) == (budget, recipes[index]):
                    _interval(axes, height, found, index)
        axes.set_xlabel(f"difference to {canvas.label(reference)}" if reference else "difference")
        _rows(axes, [(budget, canvas.label(recipes[index], 22)) for budget, index in shown], axes is panels[0])
    reach = [axes.get_xlim() for axes in panels]
    for axes in panels:
        axes.set_xlim(min(low for low, _ in reach), max(high for _, high in reach))
    unit = f", {result.metric.unit_and_direction}"
    omitted = f"; {len(names) - len(shown)} of small budgets are in the table" if len(names) > len(shown) else ""
    canvas.heading(figure, f"{canvas.label(result.title, 60)}{unit}{omitted}")
    figure.supxlabel(_legend([each for name in references for each in _to(result, name)]), **_QUIET)
    return canvas.png(figure)


def sweep_scores(result: ComparisonResult, sweep: Sweep) -> bytes:
    """The score along a sweep's values, evenly spaced, with intervals: a line a budget."""
    figure, [axes] = canvas.draw(5.2)
    for index, budget in enumerate(result.budgets):
        line = sweep_line(result, sweep, budget)
        if not line:
            continue
        shade, shift = canvas.colour(index), (index - (len(result.budgets) - 1) / 2) * _SHIFT
        places = [place + shift for place, _ in line]
        means = [score.interval.value for _, score in line]
        axes.plot(
            places, means, color=shade, marker=canvas.marker(index), markersize=8, linewidth=1.6,
            label=f"{budget:,} rows",
        )  # fmt: skip
        bounds = [(score.interval.low, score.interval.high) for _, score in line]
        canvas.intervals(axes, list(zip(places, bounds, strict=True)), shade)
    axes.set_xticks(range(len(sweep.points)), [value_label(point.value) for point in sweep.points])
    axes.set_xlim(-0.5, len(sweep.points) - 0.5)
    axes.set_xlabel(f"{parameter_title(sweep.parameter)} (evenly spaced)")
    axes.set_ylabel(f"{canvas.label(result.metric.title)} ({result.metric.unit_and_direction})")
    title = f"{canvas.label(result.title, 60)} against {parameter_title(sweep.parameter)}"
    canvas.title(axes, f"{title}, mean over {count(result.tasks, 'task')}")
    if axes.get_legend_handles_labels()[0]:
        once = any(score.one_training for budget in result.budgets for _, score in sweep_line(result, sweep, budget))
        canvas.legend(figure, f"budget; bars: 95% interval{', of one training over the rows alone' if once else ''}")
    return canvas.png(figure)


def sweep_line(result: ComparisonResult, sweep: Sweep, budget: int) -> list[tuple[int, RecipeScore]]:
    """The scores at a budget with their places in the sweep."""
    found = [(place, result.score(budget, point.recipe)) for place, point in enumerate(sweep.points)]
    return [(place, score) for place, score in found if score is not None]


def value_label(value: float | None) -> str:
    """A sweep's value as text."""
    return "all" if value is None else f"{value:,g}"


def parameter_title(parameter: str) -> str:
    """A sweep's parameter in words."""
    return {"max_tasks": "M' (max_tasks)"}.get(parameter, parameter.replace("_", " "))


def _to(result: ComparisonResult, reference: str) -> list[Difference]:
    return [found for found in result.differences if found.other == reference]


def _interval(axes: Axes, height: int, found: Difference, index: int) -> None:
    interval, shade = found.interval, canvas.colour(index)
    if not np.isfinite((interval.low, interval.high)).all():
        return
    style = "--" if found.one_training else "-"
    axes.plot([interval.low, interval.high], [height, height], style, color=shade, linewidth=2, solid_capstyle="butt")
    filled = shade if found.better is not None else "white"
    mark = "x" if found.one_training else canvas.marker(index)
    axes.plot([interval.value], [height], mark, color=shade, markersize=8, markerfacecolor=filled)


def _legend(shown: Sequence[Difference]) -> str:
    verdicts = "" if all(each.one_training for each in shown) else "; filled mark: the interval excludes zero"
    once = any(each.one_training for each in shown)
    alone = "; cross and dashes: one training, interval over the rows alone, no verdict" if once else ""
    return f"bars: 95% interval{verdicts}{alone}"


def _rows(axes: Axes, rows: Sequence[tuple[int, str]], named: bool) -> None:
    """A line a recipe from the top, budgets set apart."""
    axes.set_ylim(len(rows) - 0.4, -0.6)
    names = [f"{recipe}, {budget:,} rows" for budget, recipe in rows] if named else []
    axes.set_yticks(range(len(rows)), names if named else [""] * len(rows), fontsize=9)
    axes.grid(visible=False, axis="y")
    for height in range(1, len(rows)):
        if rows[height][0] != rows[height - 1][0]:
            axes.axhline(height - 0.5, color=canvas.PALE, linewidth=1)
