"""`task_scores`: all tasks of all sources in greedy order by every objective in use, with their gains."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.parquet import write_table
from smart_assets.assets.reading.unseen_tasks import seen_tasks, unseen_parameter
from smart_assets.assets.records import ObjectiveFigures, TaskScoresSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.core.errors import SelectionError
from smart_assets.mixture.task_budgets import negative_gain_warning, taylor_softmax
from smart_assets.mixture.task_scores import propose_max_tasks, task_kernel, weights_by_temperature
from smart_assets.selection.greedy import ENGINE_VERSION, GreedyOrdering, greedy_ordering
from smart_assets.selection.objectives import Objective
from smart_assets.settings import Project, Settings

NAME = "task_scores"
CODE_VERSION = "2"
TASKS = pa.schema([("source", pa.string()), *prompt_embeddings.TASKS])
SCORES = pa.schema(
    [
        ("objective", pa.string()),
        ("rank", pa.int64()),
        ("source", pa.string()),
        ("task", pa.string()),
        ("gain", pa.float64()),
        ("weight", pa.float64()),
    ]
)
TEMPERED = pa.schema(
    [
        ("objective", pa.string()),
        ("temperature", pa.float64()),
        ("effective_tasks", pa.float64()),
        ("largest_weight", pa.float64()),
        ("smallest_weight", pa.float64()),
        ("largest_over_equal", pa.float64()),
    ]
)


def objectives_in_use(settings: Settings) -> list[Objective]:
    """Return the objectives by which some recipe scores tasks, each once, by label."""
    objectives = [recipe.task_objective for recipe in settings.recipes.values()]
    return sorted(
        {objective for objective in objectives if objective is not None}, key=lambda objective: objective.label
    )


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the task vectors of all sources, and from nothing else of them.

    Unseen tasks are left out.
    """
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=tuple(
            Input(AssetPartition(prompt_embeddings.NAME, source), facet="tasks") for source in project.settings.sources
        ),
        parameters={
            "objectives": [objective.label for objective in objectives_in_use(project.settings)],
            "engine": ENGINE_VERSION,
            **unseen_parameter(project),
        },
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `tasks.parquet`, `task_vectors.npy` (T, d), `kernel.npy` (T, T), `scores.parquet`, `temperatures.parquet`.

    The weights of `scores.parquet` are those at temperature 1 over all tasks; a recipe's own temperature and M'
    apply in its subset.

    Raises:
        SelectionError: two sources hold tasks of the same name, or the unseen tasks are none or all of them.
    """
    tasks, vectors = _all_tasks(project, inputs)
    _require_distinct(tasks)
    tasks, vectors = _seen(project, tasks, vectors)
    orderings = {
        objective.label: greedy_ordering(vectors, objective) for objective in objectives_in_use(project.settings)
    }
    for label, ordering in orderings.items():
        warning = negative_gain_warning(ordering.gains)
        if warning is not None:
            run.log(f"{label}: {warning}")
    scores = [_scores(label, tasks, ordering) for label, ordering in orderings.items()]
    tempered = [_tempered(label, ordering.gains) for label, ordering in orderings.items()]
    write_table(tasks, out.content / "tasks.parquet")
    np.save(out.content / "task_vectors.npy", vectors, allow_pickle=False)
    np.save(out.content / "kernel.npy", task_kernel(vectors), allow_pickle=False)
    write_table(pa.concat_tables([SCORES.empty_table(), *scores]), out.content / "scores.parquet")
    write_table(pa.concat_tables([TEMPERED.empty_table(), *tempered]), out.content / "temperatures.parquet")
    figures = {label: _figures(ordering.gains) for label, ordering in orderings.items()}
    return StepResult(summary=TaskScoresSummary(tasks=tasks.num_rows, objectives=figures).as_kept())


def _scores(label: str, tasks: pa.Table, ordering: GreedyOrdering) -> pa.Table:
    picked = tasks.take(pa.array(ordering.indices))
    return pa.table(
        {
            "objective": [label] * picked.num_rows,
            "rank": np.arange(picked.num_rows),
            "source": picked["source"],
            "task": picked["task"],
            "gain": ordering.gains,
            "weight": taylor_softmax(ordering.gains),
        },
        SCORES,
    )


def _tempered(label: str, gains: NDArray[np.float64]) -> pa.Table:
    rows = [{"objective": label, **asdict(weights)} for weights in weights_by_temperature(gains)]
    return pa.Table.from_pylist(rows, TEMPERED)


def _figures(gains: NDArray[np.float64]) -> ObjectiveFigures:
    [weights] = weights_by_temperature(gains, [1.0])
    return ObjectiveFigures(
        effective_tasks=round(weights.effective_tasks, 2),
        largest_weight=round(weights.largest_weight, 4),
        smallest_weight=round(weights.smallest_weight, 4),
        negative_gains=int((gains < 0).sum()),
        proposed_max_tasks=propose_max_tasks(gains),
    )


def _all_tasks(project: Project, inputs: Inputs) -> tuple[pa.Table, NDArray[np.float32]]:
    """Return the tasks (source, task, training_rows) by name, and their mean vectors (T, d)."""
    tables: list[pa.Table] = []
    means: list[NDArray[np.float32]] = []
    for source in project.settings.sources:
        folder = inputs.folder(prompt_embeddings.NAME, source)
        table = pq.read_table(folder / "tasks.parquet")
        tables.append(table.add_column(0, "source", pa.array([source] * table.num_rows, pa.string())))
        means.append(np.load(folder / "task_means.npy", allow_pickle=False))
    tasks = pa.concat_tables(tables)
    order = np.argsort(np.array(tasks["task"].to_pylist(), dtype=object), kind="stable")
    return tasks.take(pa.array(order)), np.concatenate(means)[order]


def _seen(project: Project, tasks: pa.Table, vectors: NDArray[np.float32]) -> tuple[pa.Table, NDArray[np.float32]]:
    """Return the tasks that may be selected from, and their vectors."""
    seen = seen_tasks(project.settings.evaluate.unseen_tasks, tasks["task"].to_pylist())
    kept = np.asarray(pc.is_in(tasks["task"], pa.array(seen, pa.string())))
    return tasks.filter(kept), vectors[kept]


def _require_distinct(tasks: pa.Table) -> None:
    names, sources = tasks["task"].to_pylist(), tasks["source"].to_pylist()
    for index in range(1, len(names)):
        if names[index] == names[index - 1]:
            raise SelectionError(
                f"the task {names[index]!r} is in both sources {sources[index - 1]!r} and {sources[index]!r}: set "
                "`task_prefix` for one of them in smart.yaml, or take it out of one"
            )
