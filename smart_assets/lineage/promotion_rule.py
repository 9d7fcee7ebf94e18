"""The rule of `smart.yaml` that promotes a new checkpoint which is not worse than production.

Both were evaluated when each was the newest, maybe on other held-out rows: they are compared on the rows that both were
asked, task by task, each task's figure the mean over seeds. The difference over tasks is paired, and its interval a
bootstrap over the tasks. Nothing is remembered of a candidate that is refused, and the bootstrap draws the same numbers
each time: a look at the same state decides the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from smart_assets.errors import SmartError, UpstreamMissingError
from smart_assets.evaluation.metrics import row_metrics
from smart_assets.evaluation.record import read_metrics, read_results
from smart_assets.lineage.promotion import (
    CHECKPOINT,
    RULE,
    Promoted,
    Record,
    evaluation_of,
    history,
    link,
    newest,
    record,
    replay,
)
from smart_assets.metrics import HELD_OUT, OWN_METRICS, Direction, Metric, agreed, recorded_metric, undeclared
from smart_assets.settings import Project
from smart_assets.settings.automation import Promotion
from smart_assets.statistics.resampling import mean_interval
from smart_assets.store import Manifest


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model was promoted, and one sentence that says why."""

    promoted: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus the other model, as a loss (below 0 the candidate is better): mean over tasks, its interval."""

    mean: float
    low: float
    high: float
    tasks: int
    rows: int | None  # rows that both were asked; None for an lm-eval benchmark
    left_out: int  # rows (of a benchmark: tasks) that only one of the two was asked
    direction: Direction  # of the metric; the difference is turned where higher is better


class NotComparable(SmartError):  # noqa: N818  (a verdict, not a failure)
    """Two evaluations whose figures say nothing of each other; the message goes on from "not promoted: "."""


def consider(project: Project) -> Decision:
    """Promote the newest checkpoint of the rule's budget and recipe where the rule allows it.

    Raises:
        StoreError: the log or an artifact cannot be read, or the record not be written.
    """
    rule = project.settings.promotion
    if rule is None:
        return Decision(False, "smart.yaml has no rule `promotion`: models are promoted by `smart promote` alone")
    try:
        candidate = newest(project, rule.budget, rule.recipe)
    except UpstreamMissingError as error:
        return Decision(False, str(error))
    log = history(project)
    stack = replay(log)
    if stack and stack[-1].content_version == candidate.content_version:
        return Decision(False, f"{candidate} is production already")
    obstacle = _decided_by_a_person(project, candidate, log)
    mine = evaluation_of(project, candidate)
    if obstacle is not None or mine is None:
        return Decision(False, f"{candidate} is not promoted: {obstacle or 'this version has no eval_results yet'}")
    try:
        figures, because = _judge(project, rule, mine, stack[-1] if stack else None)
    except NotComparable as error:
        return Decision(False, f"{candidate} is not promoted: {error}")
    promoted = figures is None or figures.low <= rule.margin
    if promoted:
        record(
            project, "promote", candidate, because, {"rule": rule.model_dump(), **(asdict(figures) if figures else {})}
        )
        link(project)
    return Decision(promoted, f"{candidate} is {'' if promoted else 'not '}promoted: {because}")


def _decided_by_a_person(project: Project, candidate: Promoted, log: Sequence[Record]) -> str | None:
    """Why the rule leaves a candidate to people: a decision stands until a newer checkpoint is there."""
    by_hand = [entry for entry in log if entry.who != RULE]
    if any((entry.action, entry.model.content_version) == ("rollback", candidate.content_version) for entry in by_hand):
        return "this version was rolled back; `smart promote` brings it back"
    manifest = project.store.current(CHECKPOINT, candidate.partition)
    if by_hand and manifest is not None and by_hand[-1].at >= datetime.fromisoformat(manifest.made["at"]):
        return f"{by_hand[-1].who} decided on production after it was trained; the rule takes up the next checkpoint"
    return None


def _judge(
    project: Project, rule: Promotion, mine: Manifest, production: Promoted | None
) -> tuple[Difference | None, str]:
    """How a candidate differs from what it must not be worse than (None: there is nothing), and that in words."""
    if production is None:
        name, theirs = "the base model", project.store.current("base_model_results", None)
        if theirs is None or not project.store.is_whole(theirs):
            return None, "nothing is production yet, and there are no base_model_results to compare with"
    else:
        name, theirs = f"production, {production}", evaluation_of(project, production)
        if theirs is None:
            raise NotComparable(f"the store has no eval_results of {name}, to compare with; `smart promote` decides")
    try:
        found = difference(project, rule, mine, theirs)
    except NotComparable as error:
        raise NotComparable(f"compared with {name}, {error}") from error
    return found, _in_words(rule, found, name)


def _in_words(rule: Promotion, found: Difference, name: str) -> str:
    metric = recorded_metric(rule.metric, found.direction)
    unit = f" {metric.unit}" if metric.unit else ""
    turned = "" if found.direction is Direction.LOWER else " (turned so that lower is better)"
    benchmark = "" if rule.benchmark == HELD_OUT else f" on {rule.benchmark}"
    verdict = "worse than" if found.low > rule.margin else "not worse than"
    margin = f" by more than {rule.margin:g}" if rule.margin else ""
    rows = "" if found.rows is None else f" and {found.rows:,} rows"
    of_one = f"; {found.left_out:,} that only one was asked do not count" if found.left_out else ""
    return (
        f"{verdict} {name}{margin}: {metric.title}{benchmark}{turned} differs by {found.mean:+.4g}{unit}, "
        f"{100 * rule.confidence:g}% interval {found.low:+.4g} to {found.high:+.4g}, over the {found.tasks:,} tasks"
        f"{rows} that both were asked{of_one}"
    )


def difference(project: Project, rule: Promotion, mine: Manifest, theirs: Manifest) -> Difference:
    """The paired difference of two evaluations over what both were asked.

    Raises:
        NotComparable: they were made under other settings, count other tokens, share fewer than two tasks, or hold a
            figure that is no number.
        StoreError: a file of them cannot be read.
    """
    _require_equal_settings(_of_rows(rule, project), mine, theirs)
    folders = [
        sorted(path.parent for path in project.store.artifact(one).glob("*/result.json")) for one in (mine, theirs)
    ]
    if _of_rows(rule, project):
        values, rows, left_out = _on_shared_rows(rule, folders)
    else:
        values, rows = [_mean_over_seeds([_figures(rule, folder) for folder in side]) for side in folders], None
        left_out = len(values[0].keys() ^ values[1].keys())
    tasks = sorted(values[0].keys() & values[1].keys())
    if len(tasks) < 2:
        raise NotComparable(
            f"{len(tasks)} tasks have {rule.metric} of {rule.benchmark} in both evaluations, and an interval needs 2"
        )
    pairs = np.array([[side[task] for task in tasks] for side in values])
    if not np.isfinite(pairs).all():
        raise NotComparable(f"{rule.metric} of {rule.benchmark} is no number on some task")
    metric = _metric(project, rule, [folder for side in folders for folder in side])
    losses = metric.as_loss(pairs)
    differences = losses[0] - losses[1]
    low, high = mean_interval(differences, rule.confidence)
    return Difference(float(differences.mean()), low, high, len(tasks), rows, left_out, metric.direction)


def _metric(project: Project, rule: Promotion, folders: Sequence[Path]) -> Metric:
    """The rule's metric with its direction: of rows by our registry, else as the evaluations recorded it.

    Raises:
        NotComparable: nobody declared it, or the evaluations contradict each other.
    """
    if _of_rows(rule, project):
        return OWN_METRICS[rule.metric]
    rows = [row for folder in folders for row in _figure_rows(rule, folder)]
    directions = {Direction.recorded(row["higher_is_better"]) for row in rows}
    found = agreed(directions - {Direction.UNKNOWN})
    if not found.is_known:
        raise NotComparable(undeclared(rule.metric, rule.benchmark))
    return recorded_metric(rule.metric, found)


def _of_rows(rule: Promotion, project: Project) -> bool:
    """Whether the benchmark's rows were recorded one by one: held-out ones, or those of a collection."""
    return rule.benchmark == HELD_OUT or rule.benchmark in project.settings.evaluate.collections


def main_figure(project: Project, evaluation: Manifest) -> float | None:
    """The rule's metric (held-out response loss without a rule), mean over tasks and seeds; None if not measured."""
    rule = _shown_rule(project)
    folders = sorted(path.parent for path in project.store.artifact(evaluation).glob("*/result.json"))
    values = _mean_over_seeds([_figures(rule, folder) for folder in folders])
    return float(np.mean(list(values.values()))) if values else None


def measured_by(project: Project) -> str:
    """What `main_figure` is, in words."""
    rule = _shown_rule(project)
    return f"{rule.benchmark} {rule.metric}"


def _shown_rule(project: Project) -> Promotion:
    return project.settings.promotion or Promotion(budget=1, recipe="")


def _require_equal_settings(of_rows: bool, mine: Manifest, theirs: Manifest) -> None:
    now, then = mine.parameters, theirs.parameters
    others = [name for name in ("prompt_format", "precision", "max_length") if now.get(name) != then.get(name)]
    if not of_rows:
        others += [name for name in ("limit", "num_fewshot") if now["evaluate"].get(name) != then["evaluate"].get(name)]
        others += ["include_path"] * (now.get("include") != then.get("include"))
        others += ["local_data"] * (now.get("local_data", {}) != then.get("local_data", {}))
    if mine.asset == theirs.asset and mine.code_version != theirs.code_version:
        others.append("code version")
    if others:
        raise NotComparable(f"it was evaluated under another {', '.join(others)}; `smart promote` decides")


def _on_shared_rows(rule: Promotion, folders: Sequence[Sequence[Path]]) -> tuple[list[dict[str, float]], int, int]:
    """Task -> figure of each side over the rows that all were asked, how many those are, and how many not."""
    models = [[{row.id: row for row in read_results(folder, rule.benchmark)} for folder in side] for side in folders]
    asked = [set(model) for side in models for model in side]
    shared = set[str].intersection(*asked)
    chosen = [[[model[id_] for id_ in sorted(shared)] for model in side] for side in models]
    counts = {tuple(row.tokens for row in rows) for side in chosen for rows in side}
    if rule.metric == "response_loss" and len(counts) > 1:
        raise NotComparable(
            "it counts other tokens in the same rows: set `promotion.metric` to response_loss_per_byte, "
            "which compares models of different tokenizers"
        )
    values = [
        _mean_over_seeds(
            [
                {figure.task: figure.value for figure in row_metrics(rows) if figure.metric == rule.metric}
                for rows in side
            ]
        )
        for side in chosen
    ]
    return values, len(shared), len(set[str].union(*asked)) - len(shared)


def _figures(rule: Promotion, folder: Path) -> dict[str, float]:
    """Task -> figure of one evaluated model, without those of lm-eval's groups: they are means of the others."""
    found = {row["task"]: row["value"] for row in _figure_rows(rule, folder)}
    if rule.benchmark == HELD_OUT:
        return found
    benchmarks = json.loads((folder / "result.json").read_text(encoding="utf-8"))["benchmarks"]
    single = benchmarks.get(rule.benchmark, found)  # a collection has no groups
    return {task: value for task, value in found.items() if task in single}


def _figure_rows(rule: Promotion, folder: Path) -> list[dict[str, Any]]:
    wanted = (pc.field("benchmark") == rule.benchmark) & (pc.field("metric") == rule.metric)
    return read_metrics(folder).filter(wanted).to_pylist()


def _mean_over_seeds(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Task -> the mean of its figures, for the tasks that every seed has."""
    tasks = set[str].intersection(*(set(found) for found in seeds)) if seeds else set[str]()
    return {task: float(np.mean([found[task] for found in seeds])) for task in tasks}
