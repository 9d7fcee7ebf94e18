"""`instance_orderings`: a greedy ordering of every (task, template) group by every objective in use.

A group is keyed by its ids, its vectors, the objective and what orders it: a group whose key stood in an earlier
materialization of the source is copied, so one changed row reorders one group.
"""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.embedding.index import nearest_rows, read_index
from smart_assets.errors import StoreError
from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import AssetPartition, Draft, Input, Inputs, Made, RunContext, Wanted
from smart_assets.progress import Progress
from smart_assets.selection.approximate import (
    APPROXIMATION_VERSION,
    NearestNeighbours,
    approximate_ordering,
    sampled_values,
)
from smart_assets.selection.greedy import (
    ENGINE_VERSION,
    SUBMODLIB_VERSION,
    GreedyOrdering,
    Limits,
    Tell,
    greedy_ordering,
)
from smart_assets.selection.many import order_many
from smart_assets.selection.objectives import Objective
from smart_assets.selection.settings import Selection
from smart_assets.settings import Project, Settings
from smart_assets.store.hashing import json_version

NAME = "instance_orderings"
CODE_VERSION = "2"
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
# `value of a tenth`: the objective's value of the first tenth of the picks, estimated from 2,000 rows for nearest
# neighbours, whose gains are not the objective's; so that what an approximation loses can be seen.
GROUPS = pa.schema(
    [
        ("key", pa.string()),
        ("objective", pa.string()),
        ("task", pa.string()),
        ("template", pa.string()),
        ("rows", pa.int64()),
        ("value", pa.float64()),
        ("value of a tenth", pa.float64()),
        ("engine", pa.string()),
        ("exact", pa.bool_()),
    ]
)
NEIGHBOURS_SEARCHED = 2
"""Times as many as are kept: some of them lie outside the group."""


def objectives_in_use(settings: Settings) -> list[Objective]:
    """The objectives by which some recipe orders instances, each once, by label."""
    found = [recipe.instance_objective for recipe in settings.recipes.values()]
    return sorted({objective for objective in found if objective is not None}, key=lambda objective: objective.label)


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from the source's vectors by the objectives in use, and its index where orderings may be approximate."""
    selection = project.settings.selection
    inputs = [Input(AssetPartition("prompt_embeddings", partition))]
    if selection.searches_index:
        inputs.append(Input(AssetPartition("similarity_index", partition)))
    parameters: dict[str, Any] = {
        "objectives": [objective.label for objective in objectives_in_use(project.settings)],
        "engine": ENGINE_VERSION if selection.engine != "submodlib" else SUBMODLIB_VERSION,
    }
    if selection.approximate_above is not None:
        parameters["approximate"] = [selection.approximate_above, selection.approximation.label, APPROXIMATION_VERSION]
    return Wanted(AssetPartition(NAME, partition), tuple(inputs), parameters, CODE_VERSION)


@dataclass(frozen=True, slots=True)
class Group:
    """The training rows of one (task, template), by id."""

    task: str
    template: str
    ids: tuple[str, ...]
    rows: NDArray[np.int64]  # (n,) where they stand in the source
    vectors: NDArray[np.float32]  # (n, d)

    def key(self, objective: Objective, selection: Selection, index: str | None) -> str:
        """What decides this group's ordering; `index` is the version of the source's index, where it is searched."""
        vectors = hashlib.sha256(np.ascontiguousarray(self.vectors).tobytes()).hexdigest()
        engine = [selection.version_of(objective, len(self.ids))]
        if isinstance(selection.approximation_of(objective, len(self.ids)), NearestNeighbours):
            engine.append(str(index))
        return json_version([self.task, self.template, list(self.ids), vectors, objective.label, *engine, CODE_VERSION])


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
        yield Group(
            tasks[start],
            templates[start],
            tuple(ids[start:stop]),
            positions[start:stop],
            vectors[positions[start:stop]],
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """One group under one objective, and its ordering where it was made before."""

    group: Group
    objective: Objective
    key: str
    earlier: pa.Table | None


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `orderings.parquet` (a row each pick) and `groups.parquet` (a row each group, with its key)."""
    selection = project.settings.selection
    folder = inputs.folder("prompt_embeddings", partition)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    groups = list(groups_of(pq.read_table(folder / "rows.parquet"), vectors))
    earlier = _earlier_orderings(project, partition, run)
    objectives = objectives_in_use(project.settings)
    searched = inputs.manifest("similarity_index", partition).content_version if selection.searches_index else None
    keys = [(group, one, group.key(one, selection, searched)) for one in objectives for group in groups]
    jobs = [_Job(*key, earlier.get(key[2])) for key in keys]
    todo = [job for job in jobs if job.earlier is None]
    index = inputs.folder("similarity_index", partition) / "index.faiss" if selection.searches_index else None
    made = iter(_order(todo, selection, index, run))
    tables = [job.earlier if job.earlier is not None else next(made) for job in jobs]
    summary = [_group_row(job, table, selection) for job, table in zip(jobs, tables, strict=True)]
    write_table(pa.concat_tables(tables) if tables else ORDERINGS.empty_table(), out.content / "orderings.parquet")
    write_table(pa.Table.from_pylist(summary, GROUPS), out.content / "groups.parquet")
    return Made(
        summary={
            "groups": len(groups),
            "objectives": [objective.label for objective in objectives],
            "rows": sum(len(group.ids) for group in groups),
            "largest group": max((len(group.ids) for group in groups), default=0),
            "approximate orderings": sum(not row["exact"] for row in summary),
        },
        cost={"groups ordered": len(todo), "groups reused": len(jobs) - len(todo)},
    )


def _order(jobs: list[_Job], selection: Selection, index: Path | None, run: RunContext) -> list[pa.Table]:
    """Order the groups over the cores, the biggest first."""
    progress = Progress("ordering", run.log)

    def order(position: int, limits: Limits, tell: Tell) -> GreedyOrdering:
        job = jobs[position]
        vectors = job.group.vectors
        approximation = selection.approximation_of(job.objective, len(vectors))
        if approximation is None:
            return greedy_ordering(vectors, job.objective, None, selection.engine, limits, tell)
        neighbours = None
        if isinstance(approximation, NearestNeighbours):
            neighbours = _neighbours(job.group, index, approximation.neighbours)
        return approximate_ordering(vectors, job.objective, approximation, neighbours=neighbours, tell=tell)

    sizes = [len(job.group.ids) for job in jobs]
    with _on_device(run.device, selection):
        orderings = order_many(sizes, order, int(selection.memory_gib * 2**30), progress.at)
    return [_table(job, ordering) for job, ordering in zip(jobs, orderings, strict=True)]


@contextmanager
def _on_device(device: str, selection: Selection) -> Generator[None]:
    """Let the engine `cuda` mean the run's own GPU."""
    if selection.engine == "cuda" and device != "cpu":
        import torch

        with torch.cuda.device(device):
            yield
    else:
        yield


def _neighbours(group: Group, index: Path | None, count: int) -> NDArray[np.int64] | None:
    """The group's rows nearest to each, by the source's index; None where most of the source lies outside the group."""
    if index is None:
        return None
    source = read_index(index)
    if 2 * len(group.rows) < source.ntotal:
        return None
    found = nearest_rows(source, group.vectors, NEIGHBOURS_SEARCHED * count)
    place = np.full(source.ntotal + 1, -1)  # the last stands for no row
    place[group.rows] = np.arange(len(group.rows))
    return place[found]


def _table(job: _Job, ordering: GreedyOrdering) -> pa.Table:
    count = len(ordering.indices)
    return pa.table(
        {
            "objective": [job.objective.label] * count,
            "task": [job.group.task] * count,
            "template": [job.group.template] * count,
            "rank": np.arange(count),
            "id": [job.group.ids[index] for index in ordering.indices],
            "gain": ordering.gains,
        },
        ORDERINGS,
    )


def _group_row(job: _Job, table: pa.Table, selection: Selection) -> dict[str, Any]:
    rows, gains = table.num_rows, table["gain"].to_numpy()
    tenth = -(-rows // 10)
    approximation = selection.approximation_of(job.objective, rows)
    value_of_a_tenth = float(gains[:tenth].sum())
    if isinstance(approximation, NearestNeighbours):  # whose gains are those of a sparse kernel
        place = {row_id: index for index, row_id in enumerate(job.group.ids)}
        first = np.array([place[row_id] for row_id in table["id"].slice(0, tenth).to_pylist()], dtype=np.int64)
        value_of_a_tenth = float(sampled_values(job.group.vectors, first)[-1])
    return {
        "key": job.key,
        "objective": job.objective.label,
        "task": job.group.task,
        "template": job.group.template,
        "rows": rows,
        "value": float(gains.sum()),
        "value of a tenth": value_of_a_tenth,
        "engine": selection.version_of(job.objective, rows),
        "exact": approximation is None,
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
