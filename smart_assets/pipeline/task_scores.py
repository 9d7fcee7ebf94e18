"""`task_scores`: all tasks of all sources in greedy order by every objective in use, with their gains."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.errors import SelectionError
from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import AssetPartition, Draft, Input, Inputs, Made, RunContext, Wanted
from smart_assets.selection.greedy import ENGINE_VERSION
from smart_assets.selection.objectives import Objective
from smart_assets.selection.task_budgets import negative_gain_warning, taylor_softmax
from smart_assets.selection.task_scores import effective_tasks, score_tasks, task_kernel
from smart_assets.settings import Project, Settings

NAME = "task_scores"
CODE_VERSION = "1"
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


def objectives_in_use(settings: Settings) -> list[Objective]:
    """The objectives by which some recipe scores tasks, each once, by label."""
    found = [recipe.task_objective for recipe in settings.recipes.values()]
    return sorted({objective for objective in found if objective is not None}, key=lambda objective: objective.label)


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from the task vectors of all sources, and from nothing else of them."""
    return Wanted(
        AssetPartition(NAME, partition),
        inputs=tuple(
            Input(AssetPartition("prompt_embeddings", source), facet="tasks") for source in project.settings.sources
        ),
        parameters={
            "objectives": [objective.label for objective in objectives_in_use(project.settings)],
            "engine": ENGINE_VERSION,
        },
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `tasks.parquet`, `task_vectors.npy` (T, d), `kernel.npy` (T, T) and `scores.parquet`.

    The weights are those at temperature 1 over all tasks; a recipe's own temperature and M' apply in its subset.

    Raises:
        SelectionError: two sources hold tasks of the same name.
    """
    tasks, vectors = _all_tasks(project, inputs)
    names = tasks["task"].to_pylist()
    _require_distinct(tasks)
    scores: list[pa.Table] = []
    figures: dict[str, object] = {}
    for objective in objectives_in_use(project.settings):
        ordering = score_tasks(vectors, objective)
        weights = taylor_softmax(ordering.gains)
        picked = tasks.take(pa.array(ordering.indices))
        scores.append(
            pa.table(
                {
                    "objective": [objective.label] * len(names),
                    "rank": np.arange(len(names)),
                    "source": picked["source"],
                    "task": picked["task"],
                    "gain": ordering.gains,
                    "weight": weights,
                },
                SCORES,
            )
        )
        warning = negative_gain_warning(ordering.gains)
        if warning is not None:
            run.log(f"{objective.label}: {warning}")
        figures[objective.label] = {
            "effective tasks": round(effective_tasks(weights), 2),
            "largest weight": round(float(weights.max()), 4),
            "smallest weight": round(float(weights.min()), 4),
            "negative gains": int((ordering.gains < 0).sum()),
        }
    write_table(tasks, out.content / "tasks.parquet")
    np.save(out.content / "task_vectors.npy", vectors, allow_pickle=False)
    np.save(out.content / "kernel.npy", task_kernel(vectors), allow_pickle=False)
    write_table(pa.concat_tables(scores) if scores else SCORES.empty_table(), out.content / "scores.parquet")
    return Made(summary={"tasks": len(names), "objectives": figures})


def _all_tasks(project: Project, inputs: Inputs) -> tuple[pa.Table, NDArray[np.float32]]:
    """Tasks (source, task, training_rows) by name, and their mean vectors (T, d)."""
    tables: list[pa.Table] = []
    means: list[NDArray[np.float32]] = []
    for source in project.settings.sources:
        folder = inputs.folder("prompt_embeddings", source)
        table = pq.read_table(folder / "tasks.parquet")
        tables.append(table.add_column(0, "source", pa.array([source] * table.num_rows, pa.string())))
        means.append(np.load(folder / "task_means.npy", allow_pickle=False))
    tasks = pa.concat_tables(tables)
    order = np.argsort(np.array(tasks["task"].to_pylist(), dtype=object), kind="stable")
    return tasks.take(pa.array(order)), np.concatenate(means)[order]


def _require_distinct(tasks: pa.Table) -> None:
    names, sources = tasks["task"].to_pylist(), tasks["source"].to_pylist()
    for index in range(1, len(names)):
        if names[index] == names[index - 1]:
            raise SelectionError(
                f"the task {names[index]!r} is in both sources {sources[index - 1]!r} and {sources[index]!r}: set "
                "`task_prefix` for one of them in smart.yaml, or take it out of one"
            )
