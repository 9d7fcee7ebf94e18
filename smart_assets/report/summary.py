"""The page's first paragraph: what was read and mixed, and what the held-out response loss says about the recipes.

It is written for someone about to spend a budget on it, so it never claims more than the seeds carry.
"""

from collections.abc import Sequence
from math import isfinite

from smart_assets.report.comparison import Comparison, Standing
from smart_assets.report.content import ReportContent
from smart_assets.report.metrics import HELD_OUT, RESPONSE_LOSS
from smart_assets.report.wording import count, listing, number


def summary(content: ReportContent, comparisons: Sequence[Comparison]) -> str:
    """The paragraph, as plain text, from the content and the comparisons of its measurements."""
    losses = [each for each in comparisons if (each.benchmark, each.metric) == (HELD_OUT, RESPONSE_LOSS)]
    nothing = ["No held-out response loss has been measured yet, so nothing tells the recipes apart."]
    return " ".join([_collection(content), *_mixtures(content), *(findings(losses[0]) if losses else nothing)])


def findings(comparison: Comparison) -> list[str]:
    """A sentence for each budget: the best recipe, the runner-up, the base model; and how far seeds bear them out."""
    if not comparison.tasks:
        return ["No task has its held-out response loss measured in every run, so the recipes cannot be compared."]
    caveats = [_caveat(comparison.standings(budget)) for budget in comparison.budgets]
    told = [_finding(comparison, budget) for budget in comparison.budgets]
    if comparison.base_mean is not None and not told:
        told = [f"Only the base model was evaluated, with a held-out response loss of {_value(comparison.base_mean)}."]
    if len(set(caveats)) > 1:
        told = [sentence for pair in zip(told, caveats, strict=True) for sentence in pair]
    else:
        told += caveats[:1]
    left_out = comparison.tasks_left_out
    omitted = f"; {left_out:,} not measured in every run are left out" if left_out else ""
    told.append(f"Losses are means over {count(len(comparison.tasks), 'task')}, each counting once{omitted}.")
    return [sentence for sentence in told if sentence]


def _collection(content: ReportContent) -> str:
    train = sum(task.train_rows for task in content.tasks)
    validation = sum(task.validation_rows for task in content.tasks)
    rejected = sum(reason.rows for reason in content.rejections.counts)
    sources = count(len({task.source for task in content.tasks}), "source")
    tasks = count(len(content.tasks), "task")
    return (
        f"{tasks} from {sources}: {count(train, 'training row')}, {count(validation, 'validation row')}, "
        f"{count(rejected, 'rejected row')}."
    )


def _mixtures(content: ReportContent) -> list[str]:
    if not content.mixtures:
        return ["No mixture has been selected yet."]
    budgets = listing([f"{budget:,}" for budget in sorted({mixture.budget for mixture in content.mixtures})])
    recipes = dict.fromkeys(mixture.recipe for mixture in content.mixtures)
    noun = "recipe" if len(recipes) == 1 else "recipes"
    return [f"Mixtures of {budgets} rows were selected by the {noun} {listing(list(recipes))}."]


def _finding(comparison: Comparison, budget: int) -> str:
    best, *others = comparison.standings(budget)
    if not isfinite(best.mean):
        return f"At {budget:,} rows, no recipe has a finite held-out response loss."
    level = [best, *(other for other in others if other.mean == best.mean)]
    names = listing([standing.recipe for standing in level])
    claim = f"{names} {'has' if len(level) == 1 else 'share'} the lowest held-out response loss,"
    if not others:
        claim = f"only {names} was evaluated, with a held-out response loss of"
    sentence = f"At {budget:,} rows, {claim} {_value(best.mean)}{_spread(best)}"
    if others and len(level) == 1:
        rival, wins = others[0], int((best.task_values < others[0].task_values).sum())
        sentence += f", then {listing([rival.recipe])} with {number(rival.mean)}{_spread(rival)}"
        sentence += f"; {names} is lower on {wins:,} of {count(len(comparison.tasks), 'task')}"
    if comparison.base_mean is None:
        return f"{sentence}; the base model was not measured."
    worse = "" if best.mean < comparison.base_mean else ", which no recipe improves on"
    return f"{sentence}; the base model has {number(comparison.base_mean)}{worse}."


def _value(loss: float) -> str:
    return f"{number(loss)} {RESPONSE_LOSS.unit}"


def _spread(standing: Standing) -> str:
    seeds = standing.seed_means
    return f" ({len(seeds)} seeds, {number(min(seeds))} to {number(max(seeds))})" if len(seeds) > 1 else ""


def _caveat(standings: tuple[Standing, ...]) -> str:
    if len(standings) < 2:
        return ""
    best, next_best = standings[:2]
    if min(len(best.runs), len(next_best.runs)) == 1:
        return "One seed cannot tell such a difference from noise."
    if max(best.seed_means) >= min(next_best.seed_means):
        return "The seeds of the best two overlap, so the difference may be noise."
    return "The seeds of the best two do not overlap."
