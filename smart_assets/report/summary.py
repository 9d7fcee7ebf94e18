"""The page's first paragraph: what was read and mixed, and what the held-out response loss says about the recipes.

It is written for someone about to spend a budget on it, so it claims nothing without an interval that excludes zero.
"""

from smart_assets.report.content import ReportContent
from smart_assets.report.evidence import Evidence
from smart_assets.report.findings import (
    base_sentences,
    comparison_sentences,
    correction_sentence,
    omissions,
    references_sentence,
    stop_sentence,
    stops,
)
from smart_assets.report.metrics import RESPONSE_LOSS, benchmark_title
from smart_assets.report.wording import count, listing, shorten

_TOLD = 12
"""Comparisons of one benchmark in the paragraph; with more of them it tells those of the largest budget."""


def summary(content: ReportContent) -> str:
    """The paragraph, as plain text."""
    losses = [evidence for evidence in content.evidence if evidence.metric == RESPONSE_LOSS]
    nothing = ["No response loss has been measured row by row yet, so nothing tells the recipes apart."]
    told = [sentence for evidence in losses for sentence in findings(evidence)] or nothing
    return " ".join(filter(None, [_collection(content), *_mixtures(content), *told, references_sentence(losses)]))


def findings(evidence: Evidence) -> list[str]:
    """A sentence for each budget, recipe and reference; the base model; how many rows are enough."""
    compared = comparison_sentences(evidence)
    sentences = compared
    if len(compared) > _TOLD:
        sentences = comparison_sentences(evidence, evidence.budgets[-1])[:_TOLD]
    told = [*sentences, *_more(len(compared) - len(sentences))]
    told += [correction_sentence(evidence), *base_sentences(evidence)]
    told += [stop_sentence(stop, evidence.metric) for stop in stops(evidence)]
    told.append(omissions(evidence))
    on = benchmark_title(shorten(evidence.benchmark, 60), evidence.unseen)
    return [f"On {on[0].lower() + on[1:] if on.startswith('Held-out') else on}:", *filter(None, told)]


def _more(comparisons: int) -> list[str]:
    return [f"{count(comparisons, 'more comparison')} in the chapter Differences."] if comparisons else []


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
