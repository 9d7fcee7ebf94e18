"""The chapters about intervals: differences between recipes, how many rows are enough, and sweeps."""

from collections.abc import Sequence
from math import isfinite

from smart_assets.report import evidence_pictures as drawn
from smart_assets.report.evidence import BASE_MODEL, Difference, Evidence, Score
from smart_assets.report.findings import (
    base_sentences,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
    seed_caveat,
    stop_sentence,
    stops,
)
from smart_assets.report.layout import (
    Bullets,
    Cell,
    Chapter,
    Picture,
    Table,
    rows_cell,
    signed_cell,
    table,
    value_cell,
    words,
)
from smart_assets.report.metrics import RESPONSE_LOSS
from smart_assets.report.wording import shorten
from smart_assets.selection.sweeps import Sweep

_PICTURED = 6
_NONE = "No model has been evaluated row by row yet."
_MEANING = (
    "Intervals are 95% intervals by resampling the rows of each task; both recipes of a difference are measured on the "
    "same resampled rows. With several seeds they cover the noise of training too (Student's t over the seeds; equal "
    "seeds are subtracted one by one); with one seed they cover the rows alone. They say nothing about other tasks, "
    "other data or other settings of training."
)


def difference_chapter(evidence: Sequence[Evidence], recipes: Sequence[str]) -> Chapter:
    """Each recipe against random and proportional rows and the base model, on seen and unseen tasks and benchmarks."""
    heading = ("differences", "Differences")
    if not evidence:
        return Chapter(*heading, (_NONE,))
    pictures = tuple(
        Picture(drawn.difference_forest(each, recipes), f"Differences with intervals, {shorten(each.title, 80)}.")
        for each in [found for found in evidence if found.differences][:_PICTURED]
    )
    told = tuple(
        Bullets(shorten(each.title, 80), tuple(_told(each)), folded=place > 0) for place, each in enumerate(evidence)
    )
    tables = (
        table("Differences: the recipe minus the other.", _DIFFERENCE_COLUMNS, _difference_rows(evidence)),
        table("Scores: means over tasks and seeds.", _SCORE_COLUMNS, _score_rows(evidence), folded=True),
    )
    return Chapter(*heading, tuple(filter(None, (_MEANING, references_sentence(evidence)))), pictures, tables, told)


def stopping_chapter(evidence: Sequence[Evidence]) -> Chapter:
    """For each recipe, whether its largest budget is better than smaller ones."""
    heading = ("stopping", "How many rows are enough")
    several = [each for each in evidence if each.to_largest]
    if not several:
        return Chapter(*heading, ("No recipe has been evaluated row by row at several budgets yet.",))
    sentences = (
        "Each budget is compared with the largest one of its recipe. Not distinguishable is not the same as equal: "
        "with few rows or seeds the interval is wide. The chapter on metrics draws the scores against the budget.",
    )
    told = tuple(
        Bullets(shorten(each.title, 80), tuple(stop_sentence(stop, each.metric) for stop in stops(each)), place > 0)
        for place, each in enumerate(several)
    )
    rows = [
        [words(each.title), words(found.recipe), *map(rows_cell, (found.budget, stop.largest)), *_figures(found)]
        for each in several
        for stop in stops(each)
        for found in each.to_largest
        if found.recipe == stop.recipe
    ]
    columns = ("Metric", "Recipe", "Budget", "Largest budget", *_FIGURES)
    caption = "Differences to the largest budget: the smaller budget minus the largest."
    return Chapter(*heading, sentences, (), (table(caption, columns, rows),), told)


def sweep_chapter(evidence: Sequence[Evidence], sweeps: Sequence[Sweep]) -> Chapter:
    """The score along each sweep, such as against M'."""
    heading = ("sweeps", "Score against M' and other parameters")
    measured = [
        (each, sweep)
        for sweep in sweeps
        for each in evidence
        if any(len(drawn.sweep_line(each, sweep, budget)) > 1 for budget in each.budgets)
    ]
    if not measured:
        return Chapter(*heading, ("No two recipes that differ in one parameter alone have been evaluated yet.",))
    pictures = tuple(
        Picture(
            drawn.sweep_scores(each, sweep),
            f"{shorten(each.title, 80)} against {drawn.parameter_title(sweep.parameter)}, a line a budget.",
        )
        for each, sweep in [pair for pair in measured if pair[0].metric == RESPONSE_LOSS][:_PICTURED]
    )
    tables = tuple(_sweep_table(each, sweep, place > 0) for place, (each, sweep) in enumerate(measured))
    sentences = (
        "Recipes that differ in this parameter alone. The intervals of the scores hold the rows' own spread, which all "
        "points share: whether two points differ is told by the difference to the last point.",
    )
    return Chapter(*heading, sentences, pictures, tables)


_FIGURES = ("Difference", "95% from", "95% to", "Verdict", "Seeds", "Paired seeds", "p", "Not in the interval")
_DIFFERENCE_COLUMNS = ("Metric", "Budget", "Recipe", "Other", *_FIGURES)
_SCORE_COLUMNS = ("Metric", "Budget", "Recipe", "Mean", "95% from", "95% to", "Seeds", "Tasks", "Rows")
_VERDICTS = {True: "better", False: "worse", None: "not distinguishable"}


def _told(evidence: Evidence) -> list[str]:
    told = [*comparison_sentences(evidence), correction_sentence(evidence), *base_sentences(evidence)]
    return [sentence for sentence in (*told, omissions(evidence)) if sentence]


def _difference_rows(evidence: Sequence[Evidence]) -> list[list[Cell]]:
    return [
        [words(each.title), rows_cell(found.budget), words(found.recipe), words(found.other), *_figures(found)]
        for each in evidence
        for found in (*each.differences, *each.to_base)
    ]


def _figures(found: Difference) -> list[Cell]:
    interval = found.interval
    seeds = f"{found.seeds}" if found.other_seeds is None else f"{found.seeds} and {found.other_seeds}"
    return [
        signed_cell(interval.value),
        signed_cell(interval.low),
        signed_cell(interval.high),
        words(_VERDICTS[found.better] if isfinite(interval.low) else "not finite"),
        words(seeds),
        words("yes" if found.paired else "no"),
        value_cell(interval.p),
        words(seed_caveat(found).partition(":")[2].removesuffix(" is not in this interval").strip() or "–"),
    ]


def _score_rows(evidence: Sequence[Evidence]) -> list[list[Cell]]:
    return [
        [words(each.title), *_score_cells(score), rows_cell(each.tasks), rows_cell(each.rows)]
        for each in evidence
        for score in each.scores
    ]


def _score_cells(score: Score) -> list[Cell]:
    interval = score.interval
    return [
        Cell("–", 0) if score.budget is None else rows_cell(score.budget),
        words(BASE_MODEL if score.recipe is None else score.recipe),
        value_cell(interval.value),
        value_cell(interval.low),
        value_cell(interval.high),
        rows_cell(score.seeds),
    ]


def _sweep_table(evidence: Evidence, sweep: Sweep, folded: bool) -> Table:
    last = sweep.points[-1]
    rows: list[list[Cell]] = []
    for budget in evidence.budgets:
        for place, score in drawn.sweep_line(evidence, sweep, budget):
            point = sweep.points[place]
            value = Cell(drawn.value_label(point.value), float("inf") if point.value is None else point.value)
            rows.append([value, *_score_cells(score), *_to_last(evidence, score, last.recipe)])
    parameter = drawn.parameter_title(sweep.parameter)
    columns = (parameter, *_SCORE_COLUMNS[1:7], f"Minus {shorten(last.recipe, 30)}", "95% from", "95% to", "Verdict")
    return table(f"{shorten(evidence.title, 80)} against {parameter}.", columns, rows, folded)


def _to_last(evidence: Evidence, score: Score, last: str) -> list[Cell]:
    key = (score.budget, score.recipe, last)
    found = next((each for each in evidence.to_last if (each.budget, each.recipe, each.other) == key), None)
    return _figures(found)[:4] if found else [*[value_cell(None)] * 3, words("–")]
