"""The top of the page: what was read and mixed, and what the held-out response loss says about the recipes.

It is written for someone about to spend a budget on it, so it claims nothing without an interval that excludes zero,
and nothing of a recipe that was trained once.
"""

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.findings import (
    base_sentences,
    budget_sentence,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
)
from smart_assets.core.formatting import count, listing
from smart_assets.core.metrics import RESPONSE_LOSS
from smart_assets.core.safe_text import shorten
from smart_assets.report.content import ReportContent
from smart_assets.report.layout import Bullets

_TOLD = 6
"""Comparisons of one benchmark in the summary; of more of them, the first ones of the largest budget."""

_STOPS = 3


def summary(content: ReportContent) -> tuple[str, tuple[Bullets, ...]]:
    """Return the first paragraph as plain text (what there is), and what each benchmark's rows say, in sentences."""
    losses = [result for result in content.recipe_comparisons if result.metric == RESPONSE_LOSS]
    nothing = () if losses else ("No response loss has been measured row by row yet: nothing tells the recipes apart.",)
    first = filter(None, [_collection(content), *_mixtures(content), references_sentence(losses), *nothing])
    return " ".join(first), tuple(Bullets(shorten(each.title, 80), tuple(findings(each))) for each in losses)


def findings(result: ComparisonResult) -> list[str]:
    """Return a sentence for each budget, recipe and reference; the base model; how many rows are enough."""
    compared = comparison_sentences(result)
    sentences, budgets = compared, result.sufficient_budgets
    if len(compared) > _TOLD:
        sentences = comparison_sentences(result, result.budgets[-1])[:_TOLD]
        more = len(compared) - len(sentences)
        sentences = [*sentences, f"{count(more, 'more comparison')} in the chapter Differences."]
    lines = [*sentences, correction_sentence(result), *base_sentences(result)]
    lines += [budget_sentence(sufficient, result) for sufficient in budgets[:_STOPS]]
    if len(budgets) > _STOPS:
        lines.append(f"{count(len(budgets) - _STOPS, 'more recipe')} in the chapter How many rows are enough.")
    return list(filter(None, [*lines, omissions(result)]))


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
