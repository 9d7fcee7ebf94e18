"""The chapter about differences between recipes: forests of intervals, verdicts, and what no comparison holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.differences import BASE_MODEL, Difference, RecipeScore
from smart_assets.comparison.findings import (
    base_sentences,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
)
from smart_assets.comparison.intervals import Interval
from smart_assets.core.formatting import count
from smart_assets.core.metrics import RESPONSE_LOSS
from smart_assets.core.safe_text import shorten
from smart_assets.report import canvas
from smart_assets.report.content import NotShared
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURED = 6
_NONE = "No model has been evaluated row by row yet."
_MEANING = (
    "95% intervals over the rows of each task, and over the seeds where a recipe was trained with several, both with "
    "Student's t; both recipes of a difference are measured on the same rows, and equal seeds are subtracted one by "
    "one. "
    "What was trained once has an interval over the rows alone: it tells what this training would score on other rows, "
    "and nothing of the recipe, so that there is no verdict. Intervals say nothing about other tasks, other data or "
    "other settings of training."
)
_FIGURES = ("Difference", "95% from", "95% to", "Verdict", "p", "Corrected", "Seeds", "Interval covers")
SCORE_COLUMNS = ("Budget", "Recipe", "Mean", "95% from", "95% to", "Seeds")
_VERDICTS = {True: "better", False: "worse", None: "not distinguishable"}
_QUIET = {"fontsize": 9, "color": canvas.QUIET, "x": 0.5}
_WIDE = 400  # a cause tells which models, in which rows
_EVERYTHING = "Every model was asked every row that another was: nothing is left out."
_NOT_ASKED = (
    "What some models were not asked is in no comparison. `smart run`, or the schedule `retrain`, evaluates anew what "
    "was evaluated on other rows."
)


def difference_chapter(results: Sequence[ComparisonResult], recipes: Sequence[str]) -> Chapter:
    """Show each recipe against random and proportional rows and the base model, for each benchmark and metric."""
    heading = ("differences", "Differences")
    if not results:
        return Chapter(*heading, (_NONE,))
    pictures = tuple(
        Picture(difference_forest(each, recipes), f"Differences with intervals, {shorten(each.title, 80)}.")
        for each in [shown for shown in results if shown.differences and shown.metric == RESPONSE_LOSS][:_PICTURED]
    )
    bullets = tuple(
        Bullets(shorten(each.title, 80), tuple(_difference_sentences(each)), folded=place > 0)
        for place, each in enumerate(results)
    )
    numbers = [(_difference_table(each, place > 0), _score_table(each)) for place, each in enumerate(results)]
    tables = tuple(shown for pair in numbers for shown in pair)
    return Chapter(*heading, tuple(filter(None, (_MEANING, references_sentence(results)))), pictures, tables, bullets)


def with_left_out(chapter: Chapter, parts: Sequence[NotShared]) -> Chapter:
    """Show a chapter that compares models, with what each benchmark's comparisons leave out."""
    if not parts:
        return chapter
    omitted = [sentence for part in parts for sentence in _left_out_sentences(part)]
    tables = tuple(_left_out_table(part, place > 0) for place, part in enumerate(parts) if part.left_out)
    sentences = (*chapter.sentences, *((_NOT_ASKED, *omitted) if omitted else (_EVERYTHING,)))
    return replace(chapter, sentences=sentences, tables=(*chapter.tables, *tables))


def _difference_sentences(result: ComparisonResult) -> list[str]:
    sentences = [*comparison_sentences(result), correction_sentence(result), *base_sentences(result)]
    return [sentence for sentence in (*sentences, omissions(result)) if sentence]


def _difference_table(result: ComparisonResult, folded: bool) -> CaptionedTable:
    rows = [
        [
            rows_cell(difference.budget),
            words(difference.recipe),
            words(difference.other.removeprefix("the ")),
            *_figures(difference, result),
        ]
        for difference in (*result.differences, *result.to_base)
    ]
    caption = f"{shorten(result.title, 80)}: the recipe minus the other ({result.metric.unit_and_direction})."
    return table(caption, ("Budget", "Recipe", "Other", *_FIGURES), rows, folded)


def _score_table(result: ComparisonResult) -> CaptionedTable:
    over = f"means over {count(result.tasks, 'task')}, {count(result.rows, 'row')} and the seeds, if several"
    caption = f"{shorten(result.title, 80)}: {over} ({result.metric.unit_and_direction})."
    return table(caption, SCORE_COLUMNS, [score_cells(score) for score in result.scores], folded=True)


def score_cells(score: RecipeScore) -> list[Cell]:
    """Return budget, recipe, mean, interval and seeds of a score, as `SCORE_COLUMNS` names them."""
    interval = score.interval
    return [
        Cell("–", 0) if score.budget is None else rows_cell(score.budget),
        words(BASE_MODEL if score.recipe is None else score.recipe),
        value_cell(interval.value),
        value_cell(interval.low),
        value_cell(interval.high),
        rows_cell(score.seeds),
    ]


def _figures(difference: Difference, result: ComparisonResult) -> list[Cell]:
    return [
        *bounds_cells(difference.interval),
        verdict_cell(difference),
        value_cell(None if difference.one_training else difference.p),
        corrected_cell(nan if difference.better is None else difference.p, result),
        *seed_cells(difference),
    ]


def bounds_cells(interval: Interval) -> list[Cell]:
    """Return an interval's figure and its two bounds."""
    return [signed_cell(interval.value), signed_cell(interval.low), signed_cell(interval.high)]


def verdict_cell(difference: Difference) -> Cell:
    """Return what may be claimed of a difference."""
    if not difference.comparable:
        return words("not finite")
    return words("none: one training" if difference.one_training else _VERDICTS[difference.better])


def corrected_cell(p: float, result: ComparisonResult) -> Cell:
    """Return whether a claim holds when corrected for all claims of the page; a dash where nothing is claimed."""
    return words("–" if isnan(p) else "holds" if result.family.holds(p) else "does not hold")


def seed_cells(difference: Difference) -> list[Cell]:
    """Return the seeds of both, and whether their noise is in the interval."""
    sides = [difference.seeds] if difference.other_seeds is None else [difference.seeds, difference.other_seeds]
    seeds = " and ".join(map(str, sides)) if len(set(sides)) > 1 else f"{sides[0]}"
    single = sum(side == 1 for side in sides)
    covers = "rows, seeds" if not single else "rows" if single == len(sides) else "rows, seeds of one"
    return [words(f"{seeds}, paired" if difference.paired and not single else seeds), words(covers)]


def _left_out_sentences(part: NotShared) -> list[str]:
    title = shorten(part.title, 80)
    sentences: list[str] = []
    if not part.rows:
        sentences.append(f"{title}: nothing is compared, since no row was asked of all models.")
    if part.left_out:
        rows, tasks = sum(task.rows for task in part.left_out), sum(task.whole for task in part.left_out)
        compared = f"{count(part.rows, 'row')} of {count(part.tasks, 'task')} are compared"
        sentences.append(
            f"{title}: {compared}; left out are {count(rows, 'row')}, with them {count(tasks, 'task')} as a whole."
        )
    if part.models_left_out:
        sentences.append(f"{title}: {part.models_left_out}.")
    return sentences


def _left_out_table(part: NotShared, folded: bool) -> CaptionedTable:
    rows = [
        [
            words(task.task),
            rows_cell(task.rows),
            words("no row" if task.whole else "its other rows"),
            words(task.cause, _WIDE),
        ]
        for task in part.left_out
    ]
    columns = ("Task", "Rows left out", "Compared", "Cause")
    return table(f"{shorten(part.title, 80)}: tasks with rows that not all models were asked.", columns, rows, folded)


def difference_forest(result: ComparisonResult, recipes: Sequence[str]) -> bytes:
    """Draw the difference of each recipe to the references at each budget, with its interval: a panel a reference.

    A filled mark says that the interval excludes zero; what was trained once has a cross, a dashed interval over
    the rows alone, and no verdict. With more than forty rows the smallest budgets are left out.

    Args:
        evidence: one metric of one benchmark.
        recipes: all recipes of the report, so that a recipe has one colour in every picture.
    """
    references = [name for name in result.references.values() if _against(result, name)]
    names = sorted(
        {(difference.budget, list(recipes).index(difference.recipe)) for difference in result.differences}, reverse=True
    )
    shown = sorted(names[: canvas.SHOWN_TASKS])
    figure, panels = canvas.draw_beside(1.9 + 0.27 * max(4, len(shown)), [1.0] * max(1, len(references)))
    for axes, reference in zip(panels, references or [""], strict=True):
        axes.axvline(0, color=canvas.INK, linewidth=1)
        for height, (budget, index) in enumerate(shown):
            for difference in _against(result, reference):
                if (difference.budget, difference.recipe) == (budget, recipes[index]):
                    _draw_interval(axes, height, difference, index)
        axes.set_xlabel(f"difference to {canvas.label(reference)}" if reference else "difference")
        _label_rows(axes, [(budget, canvas.label(recipes[index], 22)) for budget, index in shown], axes is panels[0])
    reach = [axes.get_xlim() for axes in panels]
    for axes in panels:
        axes.set_xlim(min(low for low, _ in reach), max(high for _, high in reach))
    unit = f", {result.metric.unit_and_direction}"
    omitted = f"; {len(names) - len(shown)} of small budgets are in the table" if len(names) > len(shown) else ""
    canvas.heading(figure, f"{canvas.label(result.title, 60)}{unit}{omitted}")
    figure.supxlabel(_legend([each for name in references for each in _against(result, name)]), **_QUIET)
    return canvas.png(figure)


def _against(result: ComparisonResult, reference: str) -> list[Difference]:
    return [difference for difference in result.differences if difference.other == reference]


def _draw_interval(axes: Axes, height: int, difference: Difference, index: int) -> None:
    interval, shade = difference.interval, canvas.colour(index)
    if not np.isfinite((interval.low, interval.high)).all():
        return
    style = "--" if difference.one_training else "-"
    axes.plot([interval.low, interval.high], [height, height], style, color=shade, linewidth=2, solid_capstyle="butt")
    filled = shade if difference.better is not None else "white"
    mark = "x" if difference.one_training else canvas.marker(index)
    axes.plot([interval.value], [height], mark, color=shade, markersize=8, markerfacecolor=filled)


def _legend(shown: Sequence[Difference]) -> str:
    verdicts = "" if all(each.one_training for each in shown) else "; filled mark: the interval excludes zero"
    once = any(each.one_training for each in shown)
    alone = "; cross and dashes: one training, interval over the rows alone, no verdict" if once else ""
    return f"bars: 95% interval{verdicts}{alone}"


def _label_rows(axes: Axes, rows: Sequence[tuple[int, str]], named: bool) -> None:
    """Name a line a recipe from the top, budgets set apart."""
    axes.set_ylim(len(rows) - 0.4, -0.6)
    names = [f"{recipe}, {budget:,} rows" for budget, recipe in rows] if named else []
    axes.set_yticks(range(len(rows)), names if named else [""] * len(rows), fontsize=9)
    axes.grid(visible=False, axis="y")
    for height in range(1, len(rows)):
        if rows[height][0] != rows[height - 1][0]:
            axes.axhline(height - 0.5, color=canvas.PALE, linewidth=1)
