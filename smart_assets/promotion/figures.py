"""The figures of evaluated models that promotion goes by: one model's, and how two differ from task to task.

Two models were maybe evaluated months apart. They are compared on the rows that both were asked, and only where all
that decides a figure was the same: every parameter of an evaluation counts that is not named here as one that does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from smart_assets.assets import base_model_results, eval_results
from smart_assets.assets.model_records import EvaluationParameters
from smart_assets.core.errors import SmartError
from smart_assets.core.metrics import (
    HELD_OUT,
    OWN_METRICS,
    Direction,
    Metric,
    agreed,
    recorded_metric,
    undeclared,
)
from smart_assets.evaluation.metrics import row_metrics
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.settings import Project
from smart_assets.settings.automation import Promotion
from smart_assets.store import Manifest

# Which rows and tasks were asked: those that both were asked are compared.
_WHICH_ROWS = {"held_out", "max_rows_per_task", "unseen_tasks", "tasks"}
_OF_LM_EVAL = {"limit", "num_fewshot", "metric_directions"}
_FILES_OF_LM_EVAL = {"include", "local_data"}
_TOKENS = "tokens"  # the denominator that depends on the tokenizer
_OF_ROWS = {"choices": "choices", "generate": "answers"}
"""What decides metrics of some rows alone: a setting, and what these are measured on."""


class NotComparable(SmartError):  # noqa: N818  (a verdict, not a failure)
    """Two evaluations whose figures say nothing of each other; the message goes on from "not promoted: "."""


@dataclass(frozen=True)
class Evaluated:
    """One model as it was evaluated."""

    manifest: Manifest
    recorded: RecordedEvaluation  # of one seed, or of the base model


@dataclass(frozen=True, slots=True)
class TaskDifferences:
    """A model's figures minus another's, as losses (above 0 it is worse), of t >= 2 tasks."""

    values: NDArray[np.float64]  # (t,)
    steps: NDArray[np.float64]  # (t,) the least by which a figure can change: 1 / rows for a share, 0 for a loss
    rows: int | None  # that both were asked; None for an lm-eval benchmark
    left_out: int  # rows (of a benchmark: tasks) that only one of the two was asked
    metric: Metric


@dataclass(frozen=True, slots=True)
class _Figure:
    """One task's figure, of how many rows it is the mean, and which way is better."""

    value: float
    rows: int
    direction: Direction


def evaluated(project: Project, manifest: Manifest, name: str) -> Evaluated:
    """One model of an evaluation: `seed-N`, or `base`.

    Raises:
        NotComparable: the evaluation has no such model.
        StoreError: its files are not in the store.
    """
    folder = project.store.artifact(manifest) / name
    if not (folder / "result.json").exists():
        raise NotComparable(f"{manifest.asset} of {manifest.content_version[:12]} measured no {name}")
    return Evaluated(manifest, RecordedEvaluation(folder))


def difference(project: Project, rule: Promotion, mine: Evaluated, theirs: Evaluated) -> TaskDifferences:
    """How two models differ on what both were asked.

    Raises:
        NotComparable: they were evaluated under other settings, count other tokens, share fewer than two tasks, have
            a figure that is no number, or nobody declared which way is better.
        StoreError: a file of them cannot be read.
    """
    of_rows = _of_rows(project, rule)
    _require_equal_conditions(rule, of_rows, mine, theirs)
    if of_rows:
        figures, rows, left_out = _on_shared_rows(rule, mine, theirs)
    else:
        figures, rows = [_recorded_figures(rule, model) for model in (mine, theirs)], None
        left_out = len(figures[0].keys() ^ figures[1].keys())
    tasks = sorted(figures[0].keys() & figures[1].keys())
    if len(tasks) < 2:
        raise NotComparable(
            f"{len(tasks)} tasks have {rule.metric} of {rule.benchmark} in both evaluations, and an interval needs 2"
            + _measured_instead(rule, mine)
        )
    values = np.array([[side[task].value for task in tasks] for side in figures])
    if not np.isfinite(values).all():
        raise NotComparable(f"{rule.metric} of {rule.benchmark} is no number on some task")
    metric = OWN_METRICS[rule.metric] if of_rows else _declared(rule, figures, tasks)
    losses = metric.as_loss(values)
    counts = np.array([[side[task].rows for task in tasks] for side in figures])
    shares = OWN_METRICS[rule.metric].is_fraction if of_rows else _whole_rows(values, counts)
    steps = 1 / counts.min(axis=0) if shares else np.zeros(len(tasks))
    return TaskDifferences(losses[0] - losses[1], steps, rows, left_out, metric)


def figures_of(project: Project, rule: Promotion | None, manifest: Manifest, name: str) -> dict[str, float]:
    """Task -> figure of one evaluated model by the rule's metric, or held-out response loss without a rule."""
    shown = rule or Promotion(budget=1, recipe="", margin=1.0)  # for its metric and benchmark
    figures = _recorded_figures(shown, evaluated(project, manifest, name))
    return {task: figure.value for task, figure in figures.items()}


def _of_rows(project: Project, rule: Promotion) -> bool:
    """Whether the benchmark's rows were recorded one by one: held-out ones, or those of a collection."""
    return rule.benchmark == HELD_OUT or rule.benchmark in project.settings.evaluate.collections


def _declared(rule: Promotion, figures: Sequence[Mapping[str, _Figure]], tasks: Sequence[str]) -> Metric:
    """Return the metric of an lm-eval benchmark; each task that counts declares it in one evaluation at least.

    Raises:
        NotComparable: nobody declared it, or the evaluations or the tasks contradict each other.
    """
    by_task = [{side[task].direction for side in figures} - {Direction.UNKNOWN} for task in tasks]
    direction = agreed(agreed(directions) for directions in by_task)
    if not direction.is_known:
        raise NotComparable(undeclared(rule.metric, rule.benchmark))
    return recorded_metric(rule.metric, direction)


def _measured_instead(rule: Promotion, model: Evaluated) -> str:
    """Return the setting to change where a benchmark has other metrics than the rule's."""
    table = model.recorded.metrics
    measured = sorted(set(table.filter(pc.field("benchmark") == rule.benchmark)["metric"].to_pylist()))
    if rule.metric in measured or not measured:
        return ""
    return f"; `promotion.metric` is one of what was measured there: {', '.join(measured)}"


def _whole_rows(values: NDArray[np.float64], counts: NDArray[np.int64]) -> bool:
    """Whether figures of lm-eval, each of so many rows, are shares of rows: each right or wrong."""
    right = values * counts
    return bool(((np.abs(right - np.round(right)) < 1e-6) & (values >= 0) & (values <= 1)).all())


def _require_equal_conditions(rule: Promotion, of_rows: bool, mine: Evaluated, theirs: Evaluated) -> None:
    now, then = (_conditions(rule, of_rows, model) for model in (mine, theirs))
    others = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if not of_rows and _benchmark_tasks_differ(rule, mine, theirs):
        others.append("version, num_fewshot or rows of an lm-eval task")
    if others:
        raise NotComparable(f"it was evaluated under another {', '.join(others)}; `smart promote` decides")


def _conditions(rule: Promotion, of_rows: bool, model: Evaluated) -> dict[str, Any]:
    """All that decides the figures of a benchmark, the model and the rows apart; what is not set is left out."""
    recorded = EvaluationParameters.read(model.manifest)
    evaluate, collections = recorded.evaluate, recorded.collections or {}
    parameters = recorded.others()
    for name in _WHICH_ROWS | (_OF_LM_EVAL if of_rows else _OF_ROWS.keys()):
        evaluate = {key: value for key, value in evaluate.items() if key != name}
    if of_rows:
        measured_on = OWN_METRICS[rule.metric].measured_on
        evaluate = {key: value for key, value in evaluate.items() if _OF_ROWS.get(key, measured_on) == measured_on}
        parameters = {name: value for name, value in parameters.items() if name not in _FILES_OF_LM_EVAL}
        if measured_on == "choices":  # the choices that are ranked are the responses of the whole collection
            parameters["collections"] = collections.get(rule.benchmark)
    else:
        parameters["version of lm-eval"] = model.recorded.result.get("lm_eval")
    resolved = {f"{name} of the model": model.recorded.result.get(name) for name in ("prompt_format", "precision")}
    conditions = parameters | evaluate | resolved | {"code version": _code_version(model.manifest)}
    return {name: value for name, value in conditions.items() if value not in (None, {}, [])}


def _code_version(manifest: Manifest) -> str:
    """Those of the base model's and of checkpoints' evaluations count apart: they are alike where both are today's."""
    newest = {module.NAME: module.CODE_VERSION for module in (base_model_results, eval_results)}
    return "today's" if manifest.code_version == newest[manifest.asset] else f"{manifest.asset} {manifest.code_version}"


def _benchmark_tasks_differ(rule: Promotion, *both: Evaluated) -> bool:
    mine, theirs = (model.recorded.result.get("benchmarks", {}).get(rule.benchmark, {}) for model in both)
    return any(
        mine[task].get(name) != theirs[task].get(name)
        for task in mine.keys() & theirs.keys()
        for name in ("version", "num_fewshot", "rows")
    )


def _on_shared_rows(rule: Promotion, *both: Evaluated) -> tuple[list[dict[str, _Figure]], int, int]:
    """Task -> figure of each model over the rows that both were asked, how many those are, and how many not."""
    metric = OWN_METRICS[rule.metric]
    asked = [  # choices are ranked, and answers written, for some rows alone
        {row.id: row for row in model.recorded.row_results(rule.benchmark) if metric.numerator in row.measured}
        for model in both
    ]
    shared = sorted(asked[0].keys() & asked[1].keys())
    chosen = [[rows[id_] for id_ in shared] for rows in asked]
    if metric.denominator == _TOKENS and len({tuple(row.measured[_TOKENS] for row in rows) for rows in chosen}) > 1:
        alike = [name for name, other in OWN_METRICS.items() if other.numerator == metric.numerator]
        instead = " or ".join(name for name in alike if name != metric.name)
        raise NotComparable(
            f"it counts other tokens in the same rows: set `promotion.metric` to {instead}, "
            "which compares models of different tokenizers"
        )
    figures = [
        {
            figure.task: _Figure(figure.value, figure.rows, Direction.recorded(figure.higher_is_better))
            for figure in row_metrics(rows)
            if figure.metric == rule.metric
        }
        for rows in chosen
    ]
    return figures, len(shared), len(asked[0].keys() ^ asked[1].keys())


def _recorded_figures(rule: Promotion, model: Evaluated) -> dict[str, _Figure]:
    """Task -> figure as it was recorded, without those of lm-eval's groups: they are means of the others."""
    return {
        row["task"]: _Figure(row["value"], row["rows"], Direction.recorded(row["higher_is_better"]))
        for row in model.recorded.task_metrics
        if (row["benchmark"], row["metric"]) == (rule.benchmark, rule.metric)
    }
