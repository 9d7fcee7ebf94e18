"""The rule of `smart.yaml` that promotes a new checkpoint which is known not to be worse than production by a margin.

The very weights that would become production are judged, one seed of the checkpoint, against the weights that are
production. Both were evaluated when each was the newest, maybe on other held-out rows: they are compared on the rows
that both were asked, task by task (`promotion_figures`), with an interval over the tasks (`statistics.task_means`).
So that many small steps down do not add up, the best production so far is compared with as well. Where nothing can be
compared nothing is promoted: people decide. Nothing is remembered of a candidate that is refused: a look at the same
state decides the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from smart_assets.assets import base_model_results
from smart_assets.assets.model_records import CheckpointParameters, EvaluationParameters
from smart_assets.assets.step import seed_folder
from smart_assets.comparison.task_means import MeanDifference, mean_over_tasks, not_inferior
from smart_assets.core.errors import UpstreamMissingError
from smart_assets.core.metrics import HELD_OUT, RESPONSE_LOSS, Direction, Metric
from smart_assets.promotion.figures import Evaluated, NotComparable, difference, evaluated, figures_of
from smart_assets.promotion.log import (
    CHECKPOINT,
    RULE,
    Promoted,
    Record,
    best_so_far,
    evaluation_of,
    history,
    link,
    newest,
    record,
    replay,
)
from smart_assets.settings import Project
from smart_assets.settings.automation import Promotion
from smart_assets.store import Manifest
from smart_assets.store.records import made_at


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model was promoted, and one sentence that says why."""

    promoted: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """A candidate against one model, as a loss (above 0 the candidate is worse)."""

    role: str  # `production`, `best` (so far) or `base model`
    model: str  # in words
    difference: MeanDifference
    tasks: int
    rows: int | None  # that both were asked; None for an lm-eval benchmark
    left_out: int  # rows (of a benchmark: tasks) that only one of the two was asked
    metric: Metric

    @property
    def figures(self) -> dict[str, Any]:
        """For the log."""
        bounds = {name: float(value) for name, value in asdict(self.difference).items()}
        return bounds | {"model": self.model, "tasks": self.tasks, "rows": self.rows, "left_out": self.left_out}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rule says of a candidate; None where there is none to judge."""

    candidate: Promoted | None
    because: str
    passes: bool = False
    comparisons: tuple[ModelComparison, ...] = ()

    @property
    def sentence(self) -> str:
        """What is done with it and why."""
        if self.candidate is None:
            return self.because
        return f"{self.candidate} is {'' if self.passes else 'not '}promoted: {self.because}"


def consider(project: Project) -> Decision:
    """Promote the newest checkpoint of the rule's budget and recipe where the rule allows it.

    Raises:
        StoreError: the log or an artifact cannot be read, or the record not be written.
    """
    judgement = judge(project)
    if judgement.passes and judgement.candidate is not None and project.settings.promotion is not None:
        figures = _figures(project.settings.promotion, judgement.candidate, judgement.comparisons)
        record(project, "promote", judgement.candidate, judgement.because, figures)
        link(project)
    return Decision(judgement.passes, judgement.sentence)


def judge(project: Project) -> Judgement:
    """Return what the rule says of the newest checkpoint of its budget and recipe; nothing is changed.

    Raises:
        StoreError: the log or an artifact cannot be read.
    """
    rule = project.settings.promotion
    if rule is None:
        return Judgement(None, "smart.yaml has no rule `promotion`: models are promoted by `smart promote` alone")
    try:
        candidate = newest(project, rule.budget, rule.recipe)
    except UpstreamMissingError as error:
        return Judgement(None, str(error))
    log = history(project)
    stack = replay(log)
    if stack and stack[-1].content_version == candidate.content_version:
        return Judgement(None, f"{stack[-1]} is production already")
    obstacle = _decided_by_a_person(project, candidate, log)
    if obstacle is not None:
        return Judgement(candidate, obstacle)
    try:
        comparisons = _compare(project, rule, candidate, log)
    except NotComparable as error:
        return Judgement(candidate, str(error))
    because = "; ".join(_in_words(rule, comparison) for comparison in comparisons)
    passes = bool(not_inferior([comparison.difference for comparison in comparisons], rule.margin))
    return Judgement(candidate, because, passes, tuple(comparisons))


def _figures(rule: Promotion, candidate: Promoted, comparisons: Sequence[ModelComparison]) -> dict[str, Any]:
    """For the log; where production is the best so far, its comparison stands under both names."""
    by_role = {comparison.role: comparison.figures for comparison in comparisons}
    if "production" in by_role:
        by_role.setdefault("best", by_role["production"])
    return {"rule": rule.model_dump(), "seed": candidate.seed, **by_role}


def _decided_by_a_person(project: Project, candidate: Promoted, log: Sequence[Record]) -> str | None:
    """Why the rule leaves a candidate to people: a decision stands until a newer checkpoint is there."""
    by_hand = [entry for entry in log if entry.who != RULE]
    if any((entry.action, entry.model.content_version) == ("rollback", candidate.content_version) for entry in by_hand):
        return "this version was rolled back; `smart promote` brings it back"
    manifest = project.store.current(CHECKPOINT, candidate.partition)
    if by_hand and manifest is not None and by_hand[-1].at >= datetime.fromisoformat(made_at(manifest)):
        return f"{by_hand[-1].who} decided on production after it was trained; the rule takes up the next checkpoint"
    return None


def _compare(project: Project, rule: Promotion, candidate: Promoted, log: Sequence[Record]) -> list[ModelComparison]:
    """Return a candidate against all that it must not be worse than.

    Raises:
        NotComparable: it, or one of those, was not evaluated, or not in a way that can be compared.
    """
    manifest = evaluation_of(project, candidate)
    if manifest is None:
        raise NotComparable("this version has no eval_results yet")
    mine = evaluated(project, manifest, seed_folder(candidate.seed))
    comparisons: list[ModelComparison] = []
    for role, name, theirs in _others(project, rule, candidate, log):
        try:
            differences = difference(project, rule, mine, theirs)
        except NotComparable as error:
            raise NotComparable(f"compared with {name}, {error}") from error
        bounds = mean_over_tasks(differences.values, differences.steps, rule.confidence)
        counts = (len(differences.values), differences.rows, differences.left_out)
        comparisons.append(ModelComparison(role, name, bounds, *counts, differences.metric))
    return comparisons


def _others(
    project: Project, rule: Promotion, candidate: Promoted, log: Sequence[Record]
) -> Iterator[tuple[str, str, Evaluated]]:
    """Role, name and evaluation of what a candidate must not be worse than: production and the best so far."""
    stack, best = replay(log), best_so_far(log, rule)
    if not stack:
        yield "base model", "the base model", _base_model(project, candidate)
        return
    name = f"production, {stack[-1]}" + (", which is the best production so far" if best == stack[-1] else "")
    yield "production", name, _evaluated(project, stack[-1], name)
    if best is not None and best != stack[-1]:
        name = f"the best production so far, {best}"
        yield "best", name, _evaluated(project, best, name)


def _evaluated(project: Project, model: Promoted, name: str) -> Evaluated:
    manifest = evaluation_of(project, model)
    if manifest is None:
        raise NotComparable(f"the store has no eval_results of {name}, to compare with; `smart promote` decides")
    return evaluated(project, manifest, seed_folder(model.seed))


def _base_model(project: Project, candidate: Promoted) -> Evaluated:
    """Return the evaluation of the model that the candidate was trained from."""
    manifest = project.store.current(base_model_results.NAME, None)
    again = "`smart run --select base_model_results` measures it, `smart promote` promotes without"
    if manifest is None or not project.store.is_whole(manifest):
        raise NotComparable(f"nothing is production yet, and there are no base_model_results to compare with: {again}")
    checkpoint = project.store.find(CHECKPOINT, candidate.partition, candidate.content_version)
    measured = EvaluationParameters.read(manifest).base_model
    if checkpoint is None or CheckpointParameters.read(checkpoint).base_model != measured:
        raise NotComparable(f"base_model_results are of another base model than it was trained from: {again}")
    return evaluated(project, manifest, "base")


def _in_words(rule: Promotion, comparison: ModelComparison) -> str:
    difference, metric = comparison.difference, comparison.metric
    unit = f" {metric.unit}" if metric.unit else ""
    turned = "" if metric.direction is Direction.LOWER else " (turned so that lower is better)"
    benchmark = "" if rule.benchmark == HELD_OUT else f" on {rule.benchmark}"
    rows = "" if comparison.rows is None else f" and {comparison.rows:,} rows"
    of_one = f"; {comparison.left_out:,} that only one was asked do not count" if comparison.left_out else ""
    open_question = difference.low <= rule.margin < difference.high
    would_tell = "; more tasks to evaluate on would tell" if open_question else ""
    return (
        f"{_verdict(difference, rule.margin)} {comparison.model}, by more than the margin of {rule.margin:g}{unit}: "
        f"{metric.title}{benchmark}{turned} differs by {difference.mean:+.4g}, {100 * rule.confidence:g}% interval "
        f"{difference.low:+.4g} to {difference.high:+.4g} "
        f"(Student's t over the {comparison.tasks:,} tasks{rows} that both were "
        f"asked{of_one}){would_tell}"
    )


def _verdict(difference: MeanDifference, margin: float) -> str:
    if difference.high <= margin:
        return "not worse than"
    return "worse than" if difference.low > margin else "not known whether worse than"


def main_figure(project: Project, evaluation: Manifest, seed: int) -> float | None:
    """Return the rule's metric of one seed, mean over tasks (held-out loss without a rule); None if not measured."""
    try:
        values = figures_of(project, project.settings.promotion, evaluation, seed_folder(seed)).values()
    except NotComparable:
        return None
    return float(np.mean(list(values))) if values else None


def measured_by(project: Project) -> str:
    """Return what `main_figure` is, in words."""
    rule = project.settings.promotion
    return f"{rule.benchmark} {rule.metric}" if rule else f"{HELD_OUT} {RESPONSE_LOSS.name}"
