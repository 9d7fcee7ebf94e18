"""The chapters about one recipe at several settings: how many rows are enough, and the score along each sweep."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.differences import RecipeScore
from smart_assets.comparison.findings import (
    budget_sentence,
)
from smart_assets.comparison.sufficient_budgets import SmallerBudget
from smart_assets.core.formatting import count, listing
from smart_assets.core.metrics import RESPONSE_LOSS
from smart_assets.core.safe_text import shorten
from smart_assets.mixture.sweeps import Sweep
from smart_assets.report import canvas
from smart_assets.report.difference_chapter import (
    SCORE_COLUMNS,
    bounds_cells,
    corrected_cell,
    score_cells,
    seed_cells,
    verdict_cell,
)
from smart_assets.report.layout import (
    Bullets,
    CaptionedTable,
    Cell,
    Chapter,
    Picture,
    rows_cell,
    signed_cell,
    table,
    value_cell,
    words,
)

_PICTURED = 6
_ENOUGH = (
    "Each budget is compared with the largest one of its recipe, from the largest down. A budget is enough where the "
    "one-sided 95% bound of what it is worse by is below the margin; not distinguishable is not enough, since with few "
    "rows or seeds that is what everything is. The chapter on metrics draws the scores against the budget."
)
_STOP_COLUMNS = (
    "Recipe", "Budget", "Largest budget", "Difference", "95% from", "95% to",
    "Worse by at most (95%)", "Margin", "Enough", "p", "Corrected", "Seeds",
)  # fmt: skip
_SHIFT = 0.09  # of a budget's points beside each other


def sufficient_budget_chapter(results: Sequence[ComparisonResult]) -> Chapter:
    """Show for each recipe whether its largest budget is better than smaller ones."""
    heading = ("stopping", "How many rows are enough")
    several = [each for each in results if each.to_largest]
    if not several:
        return Chapter(*heading, ("No recipe has been evaluated row by row at several budgets yet.",))
    several_seeds = [each for each in several if each.sufficient_budgets]
    bullets = tuple(
        Bullets(
            shorten(each.title, 80),
            tuple(budget_sentence(sufficient, each) for sufficient in each.sufficient_budgets),
            place > 0,
        )
        for place, each in enumerate(several_seeds)
    )
    tables = tuple(_stop_table(each, place > 0) for place, each in enumerate(several_seeds))
    return Chapter(*heading, (_ENOUGH, *_trained_once(several)), (), tables, bullets)


def sweep_chapter(results: Sequence[ComparisonResult], sweeps: Sequence[Sweep]) -> Chapter:
    """Show the score along each sweep, such as against M'."""
    heading = ("sweeps", "Score against M' and other parameters")
    measured = [
        (each, sweep)
        for sweep in sweeps
        for each in results
        if any(len(sweep_line(each, sweep, budget)) > 1 for budget in each.budgets)
    ]
    if not measured:
        return Chapter(*heading, ("No two recipes of a sweep have been evaluated yet.",))
    pictures = tuple(
        Picture(
            sweep_scores(each, sweep),
            f"{shorten(each.title, 80)} against {parameter_title(sweep.parameter)}, a line a budget.",
        )
        for each, sweep in [pair for pair in measured if pair[0].metric == RESPONSE_LOSS][:_PICTURED]
    )
    tables = tuple(_sweep_table(each, sweep, place > 0) for place, (each, sweep) in enumerate(measured))
    sentences = (
        "Recipes that differ in this parameter alone. The intervals of the scores hold the rows' own spread, which all "
        "points share: whether two points differ is told by the difference to the last point.",
    )
    return Chapter(*heading, sentences, pictures, tables)


def _trained_once(several: Sequence[ComparisonResult]) -> list[str]:
    """Name the recipes whose budgets say nothing, because no second training tells how much trainings differ."""
    known = {sufficient.recipe for each in several for sufficient in each.sufficient_budgets}
    single = [difference for each in several for difference in each.to_largest if difference.one_training]
    once = dict.fromkeys(
        f"{shorten(difference.recipe, 40)} at {difference.budget:,} rows"
        if difference.recipe in known
        else difference.recipe
        for difference in single
    )
    if not once:
        return []
    return [f"Nothing is said of {listing(list(once))}, trained once at a budget: set three or more `finetune.seeds`."]


def _stop_table(result: ComparisonResult, folded: bool) -> CaptionedTable:
    rows = [
        _stop_cells(sufficient.largest, smaller, result)
        for sufficient in result.sufficient_budgets
        for smaller in reversed(sufficient.smaller)
    ]
    caption = f"{shorten(result.title, 80)}: the budget minus the largest one ({result.metric.unit_and_direction})."
    return table(caption, _STOP_COLUMNS, rows, folded)


def _stop_cells(largest: int, smaller: SmallerBudget, result: ComparisonResult) -> list[Cell]:
    difference = smaller.difference
    return [
        words(difference.recipe),
        *map(rows_cell, (difference.budget, largest)),
        *bounds_cells(difference.interval),
        signed_cell(smaller.worse_at_most),
        value_cell(smaller.margin),
        words("yes" if smaller.enough else "not known"),
        value_cell(smaller.p),
        corrected_cell(smaller.p if smaller.enough else nan, result),
        seed_cells(difference)[0],
    ]


def _sweep_table(result: ComparisonResult, sweep: Sweep, folded: bool) -> CaptionedTable:
    last = sweep.points[-1]
    rows: list[list[Cell]] = []
    for budget in result.budgets:
        for place, score in sweep_line(result, sweep, budget):
            point = sweep.points[place]
            value = Cell(value_label(point.value), float("inf") if point.value is None else point.value)
            rows.append([value, *score_cells(score), *_to_last(result, score, last.recipe)])
    parameter = parameter_title(sweep.parameter)
    columns = (parameter, *SCORE_COLUMNS, f"Minus {shorten(last.recipe, 30)}", "95% from", "95% to", "Verdict")
    return table(f"{shorten(result.title, 80)} against {parameter}.", columns, rows, folded)


def _to_last(result: ComparisonResult, score: RecipeScore, last: str) -> list[Cell]:
    key = (score.budget, score.recipe, last)
    difference = next((each for each in result.to_last if (each.budget, each.recipe, each.other) == key), None)
    return (
        [*bounds_cells(difference.interval), verdict_cell(difference)]
        if difference
        else [*[value_cell(None)] * 3, words("–")]
    )


def sweep_scores(result: ComparisonResult, sweep: Sweep) -> bytes:
    """Draw the score along a sweep's values, evenly spaced, with intervals: a line a budget."""
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
    """Return the scores at a budget with their places in the sweep."""
    scores = [(place, result.score(budget, point.recipe)) for place, point in enumerate(sweep.points)]
    return [(place, score) for place, score in scores if score is not None]


def value_label(value: float | None) -> str:
    """Return a sweep's value as text."""
    return "all" if value is None else f"{value:,g}"


def parameter_title(parameter: str) -> str:
    """Return a sweep's parameter in words."""
    return {"max_tasks": "M' (max_tasks)"}.get(parameter, parameter.replace("_", " "))
