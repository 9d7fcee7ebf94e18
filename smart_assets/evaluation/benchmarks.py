"""Named lm-eval tasks: where they are found, and their results as metrics.

lm-eval's own index takes 12 to 16 s to read, a folder of a few YAMLs no time: the former is read only when a name is
not in the latter. Most of lm-eval's tasks fetch their rows from the Hugging Face hub; a copy of their YAML that names
local files (`dataset_path: json`, `dataset_kwargs: {data_files: ...}`) needs no network; see `local_data`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.directions import require_measured, settle_directions
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.evaluation.metrics import TaskMetric
from smart_assets.evaluation.settings import Evaluate

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict

# For standard errors without a formula, such as that of F1; lm-eval's 100,000 take a minute and tell no more.
_BOOTSTRAP_DRAWS = 1000
# What the YAML of a task, its Python, its dataset and lm-eval's own rules fail with, beside their own exceptions.
_TASK_ERRORS = (OSError, ValueError, TypeError, LookupError, ImportError, AssertionError)


@dataclass(frozen=True, slots=True)
class DocResult:
    """What a model did on one row of an lm-eval task."""

    benchmark: str
    task: str
    doc: int  # the row's index in its dataset
    filter: str  # how lm-eval read the answer; `none` goes without saying
    target: str  # text, or JSON of what is not text
    prediction: str  # the answer as lm-eval read it; text, or JSON: of choices their log-likelihoods
    metrics: str  # JSON: metric -> value


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What lm-eval found on one task or group."""

    metrics: tuple[TaskMetric, ...]
    docs: tuple[DocResult, ...]
    tasks: dict[str, dict[str, Any]]  # of each lm-eval task: version, num_fewshot, higher_is_better by metric, rows


def find_benchmarks(evaluate: Evaluate) -> "TaskManager":
    """Return the index that knows all of `evaluate.tasks`.

    Raises:
        EvaluationError: `include_path` is no folder, or a name is unknown; the message lists names like it.
    """
    from lm_eval.tasks import TaskManager

    folder = evaluate.include_path
    if folder is not None and not Path(folder).is_dir():
        raise EvaluationError(f"evaluate.include_path {folder}: no such folder; name one that holds lm-eval task YAMLs")
    index = TaskManager(include_path=folder, include_defaults=False)
    if not set(evaluate.tasks) <= set(index.all_tasks):
        index = TaskManager(include_path=folder)
    for name in evaluate.tasks:
        if name not in index.all_tasks:
            near = ", ".join(get_close_matches(name, index.all_tasks)) or "none"
            raise EvaluationError(
                f"evaluate.tasks {name!r}: lm-eval has no task, group or tag of this name; names like it: {near}"
            )
    return index


def run_benchmark(name: str, index: "TaskManager", model: LanguageModel, job: EvaluationJob) -> BenchmarkResult:
    """Evaluate on one lm-eval task, group or tag; a group also has figures of its own, named as a task of its name.

    Raises:
        EvaluationError: its rows cannot be fetched or read, lm-eval refuses to run it, or `evaluate.metric_directions`
            contradicts it.
    """
    from datasets.exceptions import DatasetsError
    from jinja2 import TemplateError
    from lm_eval.evaluator import evaluate

    try:
        loaded = index.load([name])
        directions = job.evaluate.metric_directions.get(name, {})
        for task in loaded["tasks"].values():  # what lm-eval contradicts shows before the model is asked
            settle_directions(name, task.higher_is_better() or {}, directions)
        _prepare_fewshot(loaded, job.evaluate.num_fewshot, job.seed)
        results: Any = evaluate(
            lm=model.lm,
            task_dict=loaded,
            limit=job.evaluate.limit,
            bootstrap_iters=_BOOTSTRAP_DRAWS,
            log_samples=True,
            apply_chat_template=model.prompt_format == "chat",
            fewshot_as_multiturn=model.prompt_format == "chat",
        )
    except (*_TASK_ERRORS, DatasetsError, TemplateError) as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise EvaluationError(f"evaluate.tasks {name!r}: lm-eval cannot run it: {reason}") from error
    return _benchmark_result(name, results, directions)


def _prepare_fewshot(loaded: "TaskDict", num_fewshot: int | None, seed: int) -> None:
    """Set the number of worked examples as `lm_eval.simple_evaluate` does: a task that fixes 0 keeps it.

    That function is not used: it spends 2.4 s on a report of the machine and asks the hub for the model.
    """
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        if own is None or (own != 0 and num_fewshot is not None):
            task.set_config("num_fewshot", num_fewshot or 0)
        task.set_fewshot_seed(seed)


def _benchmark_result(name: str, results: Mapping[str, Any], directions: Mapping[str, str]) -> BenchmarkResult:
    declared = {
        task: settle_directions(name, results["higher_is_better"].get(task) or {}, directions)
        for task in results["results"]
    }
    metrics = [
        metric
        for task, figures in results["results"].items()
        for metric in _metrics(name, task, figures, declared[task])
    ]
    require_measured(name, directions, {metric.metric for metric in metrics})
    tasks = {
        task: {
            "version": results["versions"][task],
            "num_fewshot": results["n-shot"][task],
            "higher_is_better": _of_measured(task, metrics),
            "rows": count["effective"],
        }
        for task, count in results["n-samples"].items()
    }
    return BenchmarkResult(tuple(metrics), tuple(_docs(name, results["samples"])), tasks)


def _of_measured(task: str, metrics: Sequence[TaskMetric]) -> dict[str, bool | None]:
    return {metric.metric.partition(",")[0]: metric.higher_is_better for metric in metrics if metric.task == task}


def _docs(benchmark: str, samples: Mapping[str, Any]) -> Iterator[DocResult]:
    for task, of_task in samples.items():
        for sample in of_task:
            answers = sample["filtered_resps"]
            metrics = {name: sample[name] for name in sample["metrics"]}
            yield DocResult(
                benchmark=benchmark,
                task=task,
                doc=int(sample["doc_id"]),
                filter=sample["filter"],
                target=_as_text(sample["target"]),
                prediction=_as_text(answers[0] if len(answers) == 1 else answers),
                metrics=json.dumps(metrics, sort_keys=True, ensure_ascii=False, default=str),
            )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _metrics(
    benchmark: str, task: str, figures: Mapping[str, Any], higher_is_better: Mapping[str, bool | None]
) -> Sequence[TaskMetric]:
    """Return a task's metrics: lm-eval keeps `acc,FILTER` beside `acc_stderr,FILTER`; filter `none` is not named."""
    metrics: list[TaskMetric] = []
    for key, value in figures.items():
        name, comma, filtered = key.partition(",")
        if comma and not name.endswith("_stderr") and isinstance(value, Real):
            stderr = figures.get(f"{name}_stderr,{filtered}")
            metrics.append(
                TaskMetric(
                    task=task,
                    benchmark=benchmark,
                    metric=name if filtered == "none" else key,
                    value=float(value),
                    stderr=float(stderr) if isinstance(stderr, Real) else None,
                    rows=int(figures["sample_len"]),
                    higher_is_better=higher_is_better.get(name),
                )
            )
    return metrics
