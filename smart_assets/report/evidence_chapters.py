"""The chapters about intervals: differences between recipes, how many rows are enough, and sweeps."""

from collections.abc import Sequence
from math import isnan, nan

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.differences import BASE_MODEL, Difference, RecipeScore
from smart_assets.comparison.findings import (
    base_sentences,
    budget_sentence,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
)
from smart_assets.comparison.intervals import Interval
from smart_assets.comparison.sufficient_budgets import SmallerBudget
from smart_assets.core.formatting import count, listing
from smart_assets.core.metrics import RESPONSE_LOSS
from smart_assets.core.safe_text import shorten
from smart_assets.mixture.sweeps import Sweep
from smart_assets.report import evidence_pictures as drawn
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


def difference_chapter(results: Sequence[ComparisonResult], recipes: Sequence[str]) -> Chapter:
    """Each recipe against random and proportional rows and the base model, on seen and unseen tasks and benchmarks."""
    heading = ("differences", "Differences")
    if not results:
        return Chapter(*heading, (_NONE,))
    pictures = tuple(
        Picture(drawn.difference_forest(each, recipes), f"Differences with intervals, {shorten(each.title, 80)}.")
        for each in [found for found in results if found.differences and found.metric == RESPONSE_LOSS][:_PICTURED]
    )
    told = tuple(
        Bullets(shorten(each.title, 80), tuple(_told(each)), folded=place > 0) for place, each in enumerate(results)
    )
    numbers = [(_difference_table(each, place > 0), _score_table(each)) for place, each in enumerate(results)]
    tables = tuple(found for pair in numbers for found in pair)
    return Chapter(*heading, tuple(filter(None, (_MEANING, references_sentence(results)))), pictures, tables, told)


def sufficient_budget_chapter(results: Sequence[ComparisonResult]) -> Chapter:
    """For each recipe, whether its largest budget is better than smaller ones."""
    heading = ("stopping", "How many rows are enough")
    several = [each for each in results if each.to_largest]
    if not several:
        return Chapter(*heading, ("No recipe has been evaluated row by row at several budgets yet.",))
    several_seeds = [each for each in several if each.sufficient_budgets]
    told = tuple(
        Bullets(
            shorten(each.title, 80),
            tuple(budget_sentence(sufficient, each) for sufficient in each.sufficient_budgets),
            place > 0,
        )
        for place, each in enumerate(several_seeds)
    )
    tables = tuple(_stop_table(each, place > 0) for place, each in enumerate(several_seeds))
    return Chapter(*heading, (_ENOUGH, *_trained_once(several)), (), tables, told)


def sweep_chapter(results: Sequence[ComparisonResult], sweeps: Sequence[Sweep]) -> Chapter:
    """The score along each sweep, such as against M'."""
    heading = ("sweeps", "Score against M' and other parameters")
    measured = [
        (each, sweep)
        for sweep in sweeps
        for each in results
        if any(len(drawn.sweep_line(each, sweep, budget)) > 1 for budget in each.budgets)
    ]
    if not measured:
        return Chapter(*heading, ("No two recipes of a sweep have been evaluated yet.",))
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


_ENOUGH = (
    "Each budget is compared with the largest one of its recipe, from the largest down. A budget is enough where the "
    "one-sided 95% bound of what it is worse by is below the margin; not distinguishable is not enough, since with few "
    "rows or seeds that is what everything is. The chapter on metrics draws the scores against the budget."
)
_FIGURES = ("Difference", "95% from", "95% to", "Verdict", "p", "Corrected", "Seeds", "Interval covers")
_SCORE_COLUMNS = ("Budget", "Recipe", "Mean", "95% from", "95% to", "Seeds")
_STOP_COLUMNS = (
    "Recipe", "Budget", "Largest budget", "Difference", "95% from", "95% to",
    "Worse by at most (95%)", "Margin", "Enough", "p", "Corrected", "Seeds",
)  # fmt: skip
_VERDICTS = {True: "better", False: "worse", None: "not distinguishable"}


def _told(result: ComparisonResult) -> list[str]:
    told = [*comparison_sentences(result), correction_sentence(result), *base_sentences(result)]
    return [sentence for sentence in (*told, omissions(result)) if sentence]


def _trained_once(several: Sequence[ComparisonResult]) -> list[str]:
    """Whose budgets say nothing, because there is no second training to tell by how much trainings differ."""
    told = {sufficient.recipe for each in several for sufficient in each.sufficient_budgets}
    single = [found for each in several for found in each.to_largest if found.one_training]
    once = dict.fromkeys(
        f"{shorten(found.recipe, 40)} at {found.budget:,} rows" if found.recipe in told else found.recipe
        for found in single
    )
    if not once:
        return []
    return [f"Nothing is said of {listing(list(once))}, trained once at a budget: set three or more `finetune.seeds`."]


def _difference_table(result: ComparisonResult, folded: bool) -> Table:
    rows = [
        [
            rows_cell(found.budget),
            words(found.recipe),
            words(found.other.removeprefix("the ")),
            *_figures(found, result),
        ]
        for found in (*result.differences, *result.to_base)
    ]
    caption = f"{shorten(result.title, 80)}: the recipe minus the other ({result.metric.unit_and_direction})."
    return table(caption, ("Budget", "Recipe", "Other", *_FIGURES), rows, folded)


def _stop_table(result: ComparisonResult, folded: bool) -> Table:
    rows = [
        _stop_cells(sufficient.largest, smaller, result)
        for sufficient in result.sufficient_budgets
        for smaller in reversed(sufficient.smaller)
    ]
    caption = f"{shorten(result.title, 80)}: the budget minus the largest one ({result.metric.unit_and_direction})."
    return table(caption, _STOP_COLUMNS, rows, folded)


def _stop_cells(largest: int, smaller: SmallerBudget, result: ComparisonResult) -> list[Cell]:
    found = smaller.difference
    return [
        words(found.recipe),
        *map(rows_cell, (found.budget, largest)),
        *_bounds(found.interval),
        signed_cell(smaller.worse_at_most),
        value_cell(smaller.margin),
        words("yes" if smaller.enough else "not known"),
        value_cell(smaller.p),
        _corrected(smaller.p if smaller.enough else nan, result),
        _seed_cells(found)[0],
    ]


def _bounds(interval: Interval) -> list[Cell]:
    return [signed_cell(interval.value), signed_cell(interval.low), signed_cell(interval.high)]


def _figures(found: Difference, result: ComparisonResult) -> list[Cell]:
    return [
        *_bounds(found.interval),
        _verdict_cell(found),
        value_cell(None if found.one_training else found.p),
        _corrected(nan if found.better is None else found.p, result),
        *_seed_cells(found),
    ]


def _verdict_cell(found: Difference) -> Cell:
    if not found.comparable:
        return words("not finite")
    return words("none: one training" if found.one_training else _VERDICTS[found.better])


def _corrected(p: float, result: ComparisonResult) -> Cell:
    """Whether a claim holds when corrected for all claims of the page; a dash where nothing is claimed."""
    return words("–" if isnan(p) else "holds" if result.family.holds(p) else "does not hold")


def _seed_cells(found: Difference) -> list[Cell]:
    """The seeds of both, and whether their noise is in the interval."""
    sides = [found.seeds] if found.other_seeds is None else [found.seeds, found.other_seeds]
    seeds = " and ".join(map(str, sides)) if len(set(sides)) > 1 else f"{sides[0]}"
    single = sum(side == 1 for side in sides)
    covers = "rows, seeds" if not single else "rows" if single == len(sides) else "rows, seeds of one"
    return [words(f"{seeds}, paired" if found.paired and not single else seeds), words(covers)]


def _score_table(result: ComparisonResult) -> Table:
    over = f"means over {count(result.tasks, 'task')}, {count(result.rows, 'row')} and the seeds, if several"
    caption = f"{shorten(result.title, 80)}: {over} ({result.metric.unit_and_direction})."
    return table(caption, _SCORE_COLUMNS, [_score_cells(score) for score in result.scores], folded=True)


def _score_cells(score: RecipeScore) -> list[Cell]:
    interval = score.interval
    return [
        Cell("–", 0) if score.budget is None else rows_cell(score.budget),
        words(BASE_MODEL if score.recipe is None else score.recipe),
        value_cell(interval.value),
        value_cell(interval.low),
        value_cell(interval.high),
        rows_cell(score.seeds),
    ]


def _sweep_table(result: ComparisonResult, sweep: Sweep, folded: bool) -> Table:
    last = sweep.points[-1]
    rows: list[list[Cell]] = []
    for budget in result.budgets:
        for place, score in drawn.sweep_line(result, sweep, budget):
            point = sweep.points[place]
            value = Cell(drawn.value_label(point.value), float("inf") if point.value is None else point.value)
            rows.append([value, *_score_cells(score), *_to_last(result, score, last.recipe)])
    parameter = drawn.parameter_title(sweep.parameter)
    columns = (parameter, *_SCORE_COLUMNS, f"Minus {shorten(last.recipe, 30)}", "95% from", "95% to", "Verdict")
    return table(f"{shorten(result.title, 80)} against {parameter}.", columns, rows, folded)


def _to_last(result: ComparisonResult, score: RecipeScore, last: str) -> list[Cell]:
    key = (score.budget, score.recipe, last)
    found = next((each for each in result.to_last if (each.budget, each.recipe, each.other) == key), None)
    return [*_bounds(found.interval), _verdict_cell(found)] if found else [*[value_cell(None)] * 3, words("–")]
