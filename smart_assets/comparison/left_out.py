"""What falls out of a comparison because not every model was asked it: by name, and with the cause.

Models are compared on the rows that all of them were asked. Which models lack a row, and when each was evaluated, tells
why it falls out: some were evaluated before there was such a row, or before it was gone, or their template refuses it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from smart_assets.core.formatting import count, listing
from smart_assets.core.safe_text import shorten

_MODELS, _TASKS, _CAUSES = 3, 5, 3  # named; the rest is counted


@dataclass(frozen=True, slots=True)
class ModelCoverage:
    """What one evaluation asked a model."""

    model: str  # in words; the seeds of a recipe share a name
    keys: AbstractSet[tuple[str, str]]  # task and row id; "" where a task counts as a whole
    evaluated: str = ""  # when, ISO 8601 in UTC; empty where that is not known
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Rows that its chat template refuses, and the template's words."""
    unlike: str = ""  # in what its evaluation is unlike the newest one


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task of which rows are left out of a comparison."""

    task: str
    rows: int  # left out
    whole: bool  # none is left to compare
    cause: str


def model_name(budget: int | None, recipe: str | None) -> str:
    """Return a model in words; None and None stand for the base model."""
    return "the base model" if recipe is None else f"{listing([recipe])} at {budget or 0:,} rows"


def left_out(asked: Sequence[ModelCoverage]) -> tuple[LeftOut, ...]:
    """Return the tasks that lose rows because not all of some models were asked them, by name; whole tasks first."""
    if not asked:
        return ()
    everywhere = set.intersection(*(set(model.keys) for model in asked))
    anywhere = set[tuple[str, str]]().union(*(model.keys for model in asked))
    shared = {task for task, _ in everywhere}
    lost: dict[str, Counter[tuple[int, ...]]] = {}
    examples: dict[tuple[str, tuple[int, ...]], tuple[str, str]] = {}
    for key in sorted(anywhere - everywhere):
        lacking = tuple(place for place, model in enumerate(asked) if key not in model.keys)
        lost.setdefault(key[0], Counter())[lacking] += 1
        examples.setdefault((key[0], lacking), key)
    tasks = [
        LeftOut(task, ways.total(), task not in shared, _causes(asked, task, ways, examples))
        for task, ways in lost.items()
    ]
    return tuple(sorted(tasks, key=lambda model: (not model.whole, model.task)))


def models_left_out(asked: Iterable[ModelCoverage], others: Sequence[ModelCoverage]) -> str:
    """Return models that were asked nothing at all of what others were, in words; empty where there is none."""
    compared = list(asked)
    causes: list[str] = []
    for unlike in sorted({model.unlike for model in others}):
        these = [model for model in others if model.unlike == unlike]
        everyone = [*compared, *these]
        causes.append(_cause(everyone, tuple(range(len(compared), len(everyone))), None))
    return "; ".join(causes)


def in_words(left_out: Sequence[LeftOut]) -> str:
    """Return tasks by cause, such as "delta: the base model was evaluated before it was there"; the first few."""
    by_cause: dict[str, list[str]] = {}
    for task in left_out:
        by_cause.setdefault(task.cause, []).append(task.task)
    sentences = [f"{listing(tasks, _TASKS)}: {cause}" for cause, tasks in list(by_cause.items())[:_CAUSES]]
    more = sum(len(tasks) for tasks in list(by_cause.values())[_CAUSES:])
    return "; ".join([*sentences, f"{count(more, 'task')} more for other causes"] if more else sentences)


def _causes(
    asked: Sequence[ModelCoverage],
    task: str,
    ways: Counter[tuple[int, ...]],
    examples: Mapping[tuple[str, tuple[int, ...]], tuple[str, str]],
) -> str:
    rows_by_cause = Counter[str]()
    for lacking, rows in ways.items():
        rows_by_cause[_cause(asked, lacking, examples[task, lacking])] += rows
    if len(rows_by_cause) == 1:
        return next(iter(rows_by_cause))
    first = [f"{count(rows, 'row')}, {cause}" for cause, rows in rows_by_cause.most_common(_CAUSES)]
    more = sum(rows for _, rows in rows_by_cause.most_common()[_CAUSES:])
    return ", and ".join([*first, f"{count(more, 'row')} for other causes"] if more else first)


def _cause(asked: Sequence[ModelCoverage], lacking: tuple[int, ...], key: tuple[str, str] | None) -> str:
    """Return why some models lack what the others were asked."""
    without, having = (
        [asked[place] for place in lacking],
        [model for place, model in enumerate(asked) if place not in lacking],
    )
    if key is not None and all(key in model.refused for model in without):
        return f"refused by the chat template of {_models(without, asked)} ({shorten(without[0].refused[key], 80)})"
    if all(model.unlike for model in without):
        return (
            f"not compared: {_models(without, asked)}, evaluated with {without[0].unlike}; `smart run` evaluates again"
        )
    if all(model.evaluated for model in asked) and having:
        if max(model.evaluated for model in without) < min(model.evaluated for model in having):
            return f"not asked of {_models(without, asked)}, evaluated before the others were asked it"
        if min(model.evaluated for model in without) > max(model.evaluated for model in having):
            return f"asked of {_models(having, asked)} alone, evaluated before it was asked no more"
    return f"not asked of {_models(without, asked)}"


def _models(some: Sequence[ModelCoverage], everyone: Sequence[ModelCoverage]) -> str:
    """Return models in words; of one with several seeds how many, where it is not all."""
    seeds, all_seeds = (Counter(model.model for model in models) for models in (some, everyone))
    names = [
        name if seeds[name] == all_seeds[name] else f"{seeds[name]} of {all_seeds[name]} seeds of {name}"
        for name in seeds
    ]
    return listing(names, _MODELS)
