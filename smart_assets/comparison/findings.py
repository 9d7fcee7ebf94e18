"""What the evidence says, in plain sentences: "better" and "worse" only where an interval excludes zero.

Of a single training it says what that training scored on these rows, and nothing of the recipe.
"""

from collections.abc import Sequence
from math import isfinite

from smart_assets.comparison.compare_recipes import REFERENCES, ComparisonResult
from smart_assets.comparison.differences import BASE_MODEL, Difference
from smart_assets.comparison.left_out import in_words
from smart_assets.comparison.sufficient_budgets import SmallerBudget, SufficientBudget
from smart_assets.core.formatting import count, listing, signed
from smart_assets.core.metrics import Metric

NO_VERDICT = "no verdict from one training"
NOT_CORRECTED = "does not hold corrected for all claims of this page"


def comparison_sentences(result: ComparisonResult, budget: int | None = None) -> list[str]:
    """Return one sentence for each budget (or the one given), reference and recipe; and what could not be compared."""
    references = list(result.references.values())
    chosen = [difference for difference in result.differences if budget in (None, difference.budget)]
    chosen.sort(key=lambda difference: (difference.budget, references.index(difference.other)))
    return [difference_sentence(difference, result) for difference in chosen] + _not_compared(result)


def difference_sentence(difference: Difference, result: ComparisonResult) -> str:
    """Say such as "smart is better than random at 400 rows (difference …, 95% interval …)"."""
    recipe, other = listing([difference.recipe]), listing([difference.other])
    if not difference.comparable:
        return f"{recipe} cannot be compared with {other} at {difference.budget:,} rows: {_no_interval(difference)}."
    if difference.one_training:
        return _scored_sentence(difference, result.metric)
    figures = "; ".join(filter(None, [in_figures(difference, result.metric), correction(difference, result)]))
    return f"{recipe} {verdict(difference)} {other} at {difference.budget:,} rows ({figures})."


def verdict(difference: Difference) -> str:
    """Return what may be claimed; of one training, what it scored."""
    if not difference.comparable:
        return "cannot be compared with"
    if difference.one_training:
        return f"one training: scored {direction(difference)}"
    return (
        "is not distinguishable from"
        if difference.better is None
        else f"is {'better' if difference.better else 'worse'} than"
    )


def direction(difference: Difference) -> str:
    """Return which way a figure lies from the other, whatever it is worth."""
    value = difference.interval.value
    return "higher than" if value > 0 else "lower than" if value < 0 else "the same as"


def in_figures(difference: Difference, metric: Metric) -> str:
    """Return difference and interval with their unit."""
    interval = difference.interval
    unit = f" {metric.unit}" if metric.unit else ""
    bounds = f"95% interval {signed(interval.low)} to {signed(interval.high)}{unit}"
    return f"difference {signed(interval.value)}, {bounds}{_over(difference)}"


def correction(difference: Difference, result: ComparisonResult) -> str:
    """Return that a difference is one of those which chance makes where many are looked at; empty where it is not."""
    return "" if difference.better is None or result.family.holds(difference.p) else NOT_CORRECTED


def correction_sentence(result: ComparisonResult) -> str:
    """Return how many claims there are to be misled by; empty where there is one at most."""
    family = result.family
    if family.claims < 2:
        return ""
    apart = [difference for difference in result.all_differences if difference.better is not None]
    holding = sum(family.holds(difference.p) for difference in apart)
    each = (
        f"This page makes {family.claims:,} claims that chance can make false: comparisons with other recipes and the "
        "base model, along sweeps and between budgets, of all benchmarks and metrics with rows. Each interval stands "
        "for itself: where nothing differs, one in twenty excludes zero"
    )
    if not apart:
        return f"{each}."
    return f"{each}. Of the {len(apart):,} here that exclude zero, {holding:,} hold corrected for all of them (Holm)."


def base_sentences(result: ComparisonResult) -> list[str]:
    """Return how the recipes stand to the base model, budgets of which the same is to be said together."""
    budgets_by_sentence: dict[str, list[str]] = {}
    for budget in result.budgets:
        differences = [each for each in result.to_base if each.budget == budget and each.comparable]
        alike: dict[str, list[str]] = {}
        for each in sorted(differences, key=lambda each: (each.one_training, _RANK[each.better])):
            alike.setdefault(_beside_base(each, result), []).append(each.recipe)
        parts = [f"{_all_of(recipes, len(differences))} {_verb(words, recipes)}" for words, recipes in alike.items()]
        if parts:
            budgets_by_sentence.setdefault("; ".join(parts), []).append(f"{budget:,}")
    return [f"At {listing(budgets)} rows, {sentence}." for sentence, budgets in budgets_by_sentence.items()]


def budget_sentence(sufficient: SufficientBudget, result: ComparisonResult) -> str:
    """Say such as "smart: you can stop at 400 rows: …"."""
    recipe, nearest = listing([sufficient.recipe]), sufficient.smaller[0]
    if not nearest.difference.comparable:
        return f"{recipe}: its budgets cannot be compared: {_no_interval(nearest.difference)}."
    if sufficient.reached is not None:
        budget = sufficient.reached.difference.budget
        return f"{recipe}: you can stop at {budget:,} rows: {_enough(sufficient, sufficient.reached, result)}."
    difference = nearest.difference
    against = f"{difference.budget:,} against {sufficient.largest:,} rows: {in_figures(difference, result.metric)}"
    if difference.better is False:
        corrected = "; ".join(filter(None, [against, correction(difference, result)]))
        return f"{recipe}: more rows still help at the largest budget ({corrected})."
    could_be = _amount(nearest.worse_at_most, result.metric)
    return (
        f"{recipe}: not known whether fewer rows than {sufficient.largest:,} are enough: {difference.budget:,} could "
        f"be up to {could_be} worse (95% bound; {_margin(sufficient, nearest, result)} would be enough). More seeds or "
        f"more held-out rows would tell ({against})."
    )


def omissions(result: ComparisonResult) -> str:
    """Return what the figures are means of, and what they leave out."""
    means = f"Means over {count(result.tasks, 'task')}, each counting once, and {count(result.rows, 'row')}"
    lost = (
        (result.tasks_left_out, "task", "measured", [task for task in result.left_out if task.whole]),
        (result.rows_left_out, "row", "asked", [task for task in result.left_out if not task.whole]),
    )
    left_out = [
        f"{count(number, noun)} not {verb} in every run{f' ({in_words(named)})' if named else ''}"
        for number, noun, verb, named in lost
        if number
    ]
    if result.models_left_out:
        left_out.append(f"models that were asked none of these rows ({result.models_left_out})")
    omitted = f"; left out: {' and '.join(left_out)}" if left_out else ""
    single = list(result.tasks_of_one_row)
    noun = f"{count(len(single), 'task')} of one row"
    spread = "whose spread is taken from the other tasks" if result.tasks > 1 else "which has no spread"
    alone = f"; {noun}, {spread} ({listing(single, 5)})" if single else ""
    return f"{means}{omitted}{alone}."


def references_sentence(results: Sequence[ComparisonResult]) -> str:
    """Return what recipes are compared with where presets are missing; empty where none is."""
    if not results:
        return ""
    known = {preset for each in results for preset in each.references}
    missing = [preset for preset in REFERENCES if preset not in known]
    if not missing:
        return ""
    noun = "the preset" if len(missing) == 1 else "one of the presets"
    them = "it" if len(missing) == 1 else "them"
    return f"No evaluated recipe is {noun} {listing(missing)}, so nothing is compared with {them}."


_RANK = {True: 0, None: 1, False: 2}
_BESIDE_BASE = {True: "better than", None: "not distinguishable from", False: "worse than"}


def _beside_base(difference: Difference, result: ComparisonResult) -> str:
    if difference.one_training:
        return f"scored {direction(difference)} {BASE_MODEL} on these rows ({NO_VERDICT})"
    note = correction(difference, result)
    return f"is {_BESIDE_BASE[difference.better]} {BASE_MODEL}{f' ({note})' if note else ''}"


def _verb(words: str, recipes: list[str]) -> str:
    return words if len(recipes) == 1 else words.replace("is ", "are ", 1) if words.startswith("is ") else words


def _all_of(recipes: list[str], everyone: int) -> str:
    return f"all {everyone} recipes" if len(recipes) == everyone > 1 else listing(recipes)


def _scored_sentence(difference: Difference, metric: Metric) -> str:
    """Return what one training scored beside another model, or several trainings beside one."""
    mine = "this one training" if difference.seeds == 1 else f"its {difference.seeds} trainings"
    theirs = listing([difference.other])
    if difference.other_seeds is not None:
        trainings = "one training" if difference.other_seeds == 1 else f"{difference.other_seeds} trainings"
        theirs = f"the {trainings} of {theirs}"
    return (
        f"{listing([difference.recipe])} at {difference.budget:,} rows: {mine} scored {direction(difference)} {theirs} "
        f"on these rows ({in_figures(difference, metric)}; {NO_VERDICT})."
    )


def _over(difference: Difference) -> str:
    """Return what the interval of a single training covers; nothing where it covers all that is left to chance."""
    if not difference.one_training:
        return ""
    several = [
        name
        for name, seeds in ((difference.recipe, difference.seeds), (difference.other, difference.other_seeds or 1))
        if seeds > 1
    ]
    return f" over the rows and the seeds of {listing(several)}" if several else " over the rows alone"


def _enough(sufficient: SufficientBudget, reached: SmallerBudget, result: ComparisonResult) -> str:
    worst = reached.worse_at_most
    better = reached.difference.better is True  # by the two-sided interval, as everywhere
    held = "" if result.family.holds(reached.difference.p if better else reached.p) else f"; {NOT_CORRECTED}"
    if better:
        return f"they are better than {sufficient.largest:,} rows (95% interval{held})"
    if worst <= 0:
        return f"they are no worse than {sufficient.largest:,} rows (95% bound{held})"
    return (
        f"they are at most {_amount(worst, result.metric)} worse than {sufficient.largest:,} rows (95% bound{held}), "
        f"less than {_margin(sufficient, reached, result)}"
    )


def _margin(sufficient: SufficientBudget, smaller: SmallerBudget, result: ComparisonResult) -> str:
    share = f"{100 * result.margin:.3g}% of the figure at {sufficient.largest:,} rows"
    return f"the margin of {_amount(smaller.margin, result.metric)}, {share}"


def _amount(value: float, metric: Metric) -> str:
    return f"{signed(value)} {metric.unit}".rstrip()


def _no_interval(difference: Difference) -> str:
    return "one row has no spread" if isfinite(difference.interval.value) else "a figure is not finite"


def _not_compared(result: ComparisonResult) -> list[str]:
    """Return budgets at which a reference was not evaluated."""
    sentences: list[str] = []
    for recipe in result.references.values():
        missing = [f"{budget:,}" for budget in result.budgets if result.score(budget, recipe) is None]
        if missing:
            sentences.append(
                f"Nothing is compared with {listing([recipe])} at {listing(missing)} rows: it was not evaluated."
            )
    return sentences
