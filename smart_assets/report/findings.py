"""What the evidence says, in plain sentences: "better" and "worse" only where an interval excludes zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from smart_assets.metrics import Metric
from smart_assets.report.evidence import BASE_MODEL, REFERENCES, Difference, Evidence
from smart_assets.report.left_out import in_words
from smart_assets.report.wording import count, listing, signed

NOISE_OF_TRAINING = "one seed: the noise of training is not in this interval"


def comparison_sentences(evidence: Evidence, budget: int | None = None) -> list[str]:
    """One sentence for each budget (or the one given), reference and recipe; and what could not be compared."""
    references = list(evidence.references.values())
    chosen = [found for found in evidence.differences if budget in (None, found.budget)]
    chosen.sort(key=lambda found: (found.budget, references.index(found.other)))
    return [difference_sentence(found, evidence.metric) for found in chosen] + _not_compared(evidence)


def difference_sentence(found: Difference, metric: Metric) -> str:
    """Such as "smart is better than random at 400 rows (difference …, 95% interval …)"."""
    recipe, other = listing([found.recipe]), listing([found.other])
    if not isfinite(found.interval.low):
        return f"{recipe} cannot be compared with {other} at {found.budget:,} rows: a figure is not finite."
    return f"{recipe} {verdict(found)} {other} at {found.budget:,} rows ({in_figures(found, metric)})."


def verdict(found: Difference) -> str:
    """What may be claimed."""
    return "is not distinguishable from" if found.better is None else f"is {'better' if found.better else 'worse'} than"


def in_figures(found: Difference, metric: Metric) -> str:
    """Difference and interval with their unit, and what the interval leaves out."""
    interval = found.interval
    unit = f" {metric.unit}" if metric.unit else ""
    bounds = f"95% interval {signed(interval.low)} to {signed(interval.high)}{unit}"
    return "; ".join(filter(None, [f"difference {signed(interval.value)}, {bounds}", seed_caveat(found)]))


def seed_caveat(found: Difference) -> str:
    """What one seed leaves out of an interval; nothing where all trainings have several."""
    single = [
        f"{listing([name])} at {budget:,} rows" if found.other == found.recipe else listing([name])
        for name, budget, seeds in (
            (found.recipe, found.budget, found.seeds),
            (found.other, found.other_budget or 0, found.other_seeds),
        )
        if seeds == 1
    ]
    if not single:
        return ""
    if len(single) == 2 or found.other_seeds is None:
        return NOISE_OF_TRAINING
    return f"{single[0]} has one seed: the noise of its training is not in this interval"


def correction_sentence(evidence: Evidence) -> str:
    """How many intervals there are to be misled by; empty where there is one at most."""
    several = len(evidence.differences)
    if several < 2:
        return ""
    apart = sum(found.better is not None for found in evidence.differences)
    each = f"These are {several:,} comparisons, each interval for itself, uncorrected for their number"
    if not apart:
        return f"{each}."
    return (
        f"{each}: where nothing differs, one in twenty excludes zero. Of the {apart:,} that exclude zero, "
        f"{evidence.holds_corrected():,} still would corrected for all of them (Holm)."
    )


def base_sentences(evidence: Evidence) -> list[str]:
    """How the recipes stand to the base model, budgets of which the same is to be said together."""
    told: dict[str, list[str]] = {}
    for budget in evidence.budgets:
        found = [each for each in evidence.to_base if each.budget == budget and isfinite(each.interval.low)]
        parts: list[str] = []
        for better, words in ((True, "better than"), (None, "not distinguishable from"), (False, "worse than")):
            alike = [each.recipe for each in found if each.better is better]
            if alike:
                whole = len(alike) == len(found) > 1
                who = f"all {len(alike)} recipes" if whole else listing(alike)
                parts.append(f"{who} {'is' if len(alike) == 1 else 'are'} {words} {BASE_MODEL}")
        if parts:
            told.setdefault("; ".join(parts), []).append(f"{budget:,}")
    return [f"At {listing(budgets)} rows, {sentence}." for sentence, budgets in told.items()]


@dataclass(frozen=True, slots=True)
class Stop:
    """Whether a recipe needs its largest budget: the smallest one from which on no more rows are known to help."""

    recipe: str
    budget: int
    largest: int
    difference: Difference  # of the budget (the next smaller one where it is the largest) to the largest


def stops(evidence: Evidence) -> list[Stop]:
    """For each recipe with several budgets, the smallest budget that no larger one is known to be better than.

    "Known" is by the interval of the paired difference to the largest budget: from the largest downwards, until one
    excludes zero against the smaller budget, or has a figure that is not finite.
    """
    found: list[Stop] = []
    for recipe in dict.fromkeys(each.recipe for each in evidence.to_largest):
        smaller = sorted((each for each in evidence.to_largest if each.recipe == recipe), key=lambda each: -each.budget)
        largest = int(smaller[0].other_budget or 0)
        chosen, budget = smaller[0], largest
        for each in smaller:
            if each.better is False or not isfinite(each.interval.low):
                break
            chosen, budget = each, each.budget
        found.append(Stop(recipe, budget, largest, chosen))
    return found


def stop_sentence(stop: Stop, metric: Metric) -> str:
    """Such as "smart: you can stop at 400 rows: …"."""
    recipe, figures = listing([stop.recipe]), in_figures(stop.difference, metric)
    if not isfinite(stop.difference.interval.low):
        return f"{recipe}: its budgets cannot be compared: a figure is not finite."
    against = f"{stop.difference.budget:,} against {stop.largest:,} rows: {figures}"
    if stop.budget == stop.largest:
        return f"{recipe}: more rows still help at the largest budget ({against})."
    known = "is better than" if stop.difference.better else "is not distinguishable from"
    return f"{recipe}: you can stop at {stop.budget:,} rows: it {known} the largest budget ({against})."


def omissions(evidence: Evidence) -> str:
    """What the figures are means of, and what they leave out."""
    means = f"Means over {count(evidence.tasks, 'task')}, each counting once, and {count(evidence.rows, 'row')}"
    lost = (
        (evidence.tasks_left_out, "task", "measured", [one for one in evidence.left_out if one.whole]),
        (evidence.rows_left_out, "row", "asked", [one for one in evidence.left_out if not one.whole]),
    )
    left_out = [
        f"{count(number, noun)} not {verb} in every run{f' ({in_words(named)})' if named else ''}"
        for number, noun, verb, named in lost
        if number
    ]
    if evidence.models_left_out:
        left_out.append(f"models that were asked none of these rows ({evidence.models_left_out})")
    gone = f"; left out: {' and '.join(left_out)}" if left_out else ""
    single = list(evidence.tasks_of_one_row)
    alone = (
        f"; {count(len(single), 'task')} of one row add nothing to the intervals ({listing(single, 5)})"
        if single
        else ""
    )
    return f"{means}{gone}{alone}."


def references_sentence(evidence: Sequence[Evidence]) -> str:
    """What recipes are compared with where presets are missing; empty where none is."""
    if not evidence:
        return ""
    known = {preset for each in evidence for preset in each.references}
    missing = [preset for preset in REFERENCES if preset not in known]
    if not missing:
        return ""
    noun = "the preset" if len(missing) == 1 else "one of the presets"
    them = "it" if len(missing) == 1 else "them"
    return f"No evaluated recipe is {noun} {listing(missing)}, so nothing is compared with {them}."


def _not_compared(evidence: Evidence) -> list[str]:
    """Budgets at which a reference was not evaluated."""
    told: list[str] = []
    for recipe in evidence.references.values():
        missing = [f"{budget:,}" for budget in evidence.budgets if evidence.score(budget, recipe) is None]
        if missing:
            told.append(
                f"Nothing is compared with {listing([recipe])} at {listing(missing)} rows: it was not evaluated."
            )
    return told
