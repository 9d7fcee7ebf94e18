"""`instance_orderings`: a greedy ordering of every (task, template) group by every objective in use.

A group is keyed by its ids, its vectors, the objective and the engine: a group whose key stood in an earlier
materialization of the source is copied, so one changed row reorders one group.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.errors import StoreError
from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import AssetPartition, Draft, Input, Inputs, Made, RunContext, Wanted
from smart_assets.progress import Progress
from smart_assets.selection.greedy import ENGINE_VERSION, greedy_ordering
from smart_assets.selection.objectives import Objective
from smart_assets.settings import Project, Settings
from smart_assets.store.hashing import json_version

NAME = "instance_orderings"
CODE_VERSION = "1"
ORDERINGS = pa.schema(
    [
        ("objective", pa.string()),
        ("task", pa.string()),
        ("template", pa.string()),
        ("rank", pa.int64()),
        ("id", pa.string()),
        ("gain", pa.float64()),
    ]
)
GROUPS = pa.schema(
    [
        ("key", pa.string()),
        ("objective", pa.string()),
        ("task", pa.string()),
        ("template", pa.string()),
        ("rows", pa.int64()),
        ("value", pa.float64()),
    ]
)


def objectives_in_use(settings: Settings) -> list[Objective]:
    """The objectives by which some recipe orders instances, each once, by label."""
    found = [recipe.instance_objective for recipe in settings.recipes.values()]
    return sorted({objective for objective in found if objective is not None}, key=lambda objective: objective.label)


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from the source's vectors by the objectives in use."""
    return Wanted(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition("prompt_embeddings", partition)),),
        parameters={
            "objectives": [objective.label for objective in objectives_in_use(project.settings)],
            "engine": ENGINE_VERSION,
        },
        code_version=CODE_VERSION,
    )


@dataclass(frozen=True, slots=True)
class Group:
    """The training rows of one (task, template), by id."""

    task: str
    template: str
    ids: tuple[str, ...]
    vectors: NDArray[np.float32]  # (n, d)

    def key(self, objective: Objective) -> str:
        """What decides this group's ordering."""
        vectors = hashlib.sha256(np.ascontiguousarray(self.vectors).tobytes()).hexdigest()
        return json_version(
            [self.task, self.template, list(self.ids), vectors, objective.label, ENGINE_VERSION, CODE_VERSION]
        )


def groups_of(rows: pa.Table, vectors: NDArray[np.float32]) -> Iterator[Group]:
    """The groups of a source's training rows, by task and template; rows inside a group by id."""
    numbered = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    train = numbered.filter(pc.equal(numbered["split"], "train"))
    ordered = train.sort_by([("task", "ascending"), ("template", "ascending"), ("id", "ascending")])
    tasks, templates = ordered["task"].to_pylist(), ordered["template"].to_pylist()
    ids, positions = ordered["id"].to_pylist(), ordered["row"].to_numpy()
    starts = [
        index
        for index in range(len(ids))
        if index == 0 or (tasks[index], templates[index]) != (tasks[index - 1], templates[index - 1])
    ]
    for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
        yield Group(tasks[start], templates[start], tuple(ids[start:stop]), vectors[positions[start:stop]])


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `orderings.parquet` (a row each pick) and `groups.parquet` (a row each group, with its key)."""
    folder = inputs.folder("prompt_embeddings", partition)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    groups = list(groups_of(pq.read_table(folder / "rows.parquet"), vectors))
    earlier = _earlier_orderings(project, partition, run)
    objectives = objectives_in_use(project.settings)
    total = sum(len(group.ids) for group in groups) * len(objectives)
    progress, done = Progress("ordering", run.log), 0
    orderings: list[pa.Table] = []
    summary: list[dict[str, Any]] = []
    reused = 0
    for objective in objectives:
        for group in groups:
            key = group.key(objective)
            table = earlier.get(key)
            reused += table is not None
            table = table if table is not None else _order(group, objective)
            orderings.append(table)
            summary.append(_group_row(group, objective, key, table))
            done += len(group.ids)
            progress.at(done, done / total)
    write_table(
        pa.concat_tables(orderings) if orderings else ORDERINGS.empty_table(), out.content / "orderings.parquet"
    )
    write_table(pa.Table.from_pylist(summary, GROUPS), out.content / "groups.parquet")
    return Made(
        summary={
            "groups": len(groups),
            "objectives": [objective.label for objective in objectives],
            "rows": sum(len(group.ids) for group in groups),
            "largest group": max((len(group.ids) for group in groups), default=0),
        },
        cost={"groups ordered": len(summary) - reused, "groups reused": reused},
    )


def _order(group: Group, objective: Objective) -> pa.Table:
    ordering = greedy_ordering(group.vectors, objective)
    count = len(ordering.indices)
    return pa.table(
        {
            "objective": [objective.label] * count,
            "task": [group.task] * count,
            "template": [group.template] * count,
            "rank": np.arange(count),
            "id": [group.ids[index] for index in ordering.indices],
            "gain": ordering.gains,
        },
        ORDERINGS,
    )


def _group_row(group: Group, objective: Objective, key: str, table: pa.Table) -> dict[str, Any]:
    return {
        "key": key,
        "objective": objective.label,
        "task": group.task,
        "template": group.template,
        "rows": table.num_rows,
        "value": float(np.sum(table["gain"].to_numpy())),
    }


def _earlier_orderings(project: Project, partition: str | None, run: RunContext) -> dict[str, pa.Table]:
    """The groups of the source's last materialization by key; none where it cannot be read."""
    manifest = project.store.current(NAME, partition)
    if manifest is None:
        return {}
    try:
        folder = project.store.artifact(manifest)
        orderings = pq.read_table(folder / "orderings.parquet").cast(ORDERINGS)
        groups = pq.read_table(folder / "groups.parquet", columns=["key", "rows"]).to_pylist()
    except (StoreError, pa.ArrowException, OSError) as error:
        run.log(f"the earlier orderings cannot be used, all groups are ordered again: {error}")
        return {}
    found: dict[str, pa.Table] = {}
    start = 0
    for group in groups:
        found[group["key"]] = orderings.slice(start, group["rows"])
        start += group["rows"]
    return found
