"""`instance_orderings`: a greedy ordering of every (task, template) group by every objective in use.

A group is keyed by its ids, its vectors, the objective and what orders it: a group whose key stood in an earlier
materialization of the source is copied, so one changed row reorders one group.
"""

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings, similarity_index
from smart_assets.assets.parquet import write_table
from smart_assets.assets.records import OrderingCost, OrderingParameters, OrderingSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.core.errors import StoreError
from smart_assets.core.progress import Progress
from smart_assets.embedding.index import nearest_rows, read_index
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
    OnProgress,
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
_HASHED_ROWS = 16_384


def objectives_in_use(settings: Settings) -> list[Objective]:
    """Return the objectives by which some recipe orders instances, each once, by label."""
    objectives = [recipe.instance_objective for recipe in settings.recipes.values()]
    return sorted(
        {objective for objective in objectives if objective is not None}, key=lambda objective: objective.label
    )


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the source's vectors, and its index where orderings may be approximate."""
    selection = project.settings.selection
    inputs = [Input(AssetPartition(prompt_embeddings.NAME, partition))]
    if selection.searches_index:
        inputs.append(Input(AssetPartition(similarity_index.NAME, partition)))
    approximate = [selection.approximate_above, selection.approximation.label, APPROXIMATION_VERSION]
    parameters = OrderingParameters(
        objectives=[objective.label for objective in objectives_in_use(project.settings)],
        engine=ENGINE_VERSION if selection.engine != "submodlib" else SUBMODLIB_VERSION,
        approximate=None if selection.approximate_above is None else approximate,
    )
    return DesiredState(AssetPartition(NAME, partition), tuple(inputs), parameters.as_kept(), CODE_VERSION)


@dataclass(frozen=True, slots=True)
class Group:
    """The training rows of one (task, template), by id."""

    task: str
    template: str
    rows: NDArray[np.int64]  # (n,) where they stand in the source
    id_column: pa.Array  # (n,)
    source: NDArray[np.float32]  # (N, d) the vectors of the whole source, which stay in their file

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[str]:
        """The ids (n,)."""
        return self.id_column.to_pylist()

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors (n, d), read anew each time."""
        return self.source[self.rows]

    def keys(self, objectives: Sequence[Objective], selection: Selection, index: str | None) -> list[str]:
        """Return what decides this group's ordering by each objective.

        Args:
            objectives: the objectives.
            selection: what orders.
            index: version of the source's index, where it is searched.
        """
        digest = hashlib.sha256()
        for first in range(0, len(self), _HASHED_ROWS):
            digest.update(self.source[self.rows[first : first + _HASHED_ROWS]].data)
        content = [self.task, self.template, self.ids, digest.hexdigest()]
        keys: list[str] = []
        for objective in objectives:
            engine = [selection.version_of(objective, len(self))]
            if isinstance(selection.approximation_of(objective, len(self)), NearestNeighbours):
                engine.append(str(index))
            keys.append(json_version([*content, objective.label, *engine, CODE_VERSION]))
        return keys


def groups_of(rows: pa.Table, vectors: NDArray[np.float32]) -> list[Group]:
    """Return the groups of a source's training rows, by task and template; rows inside a group by id.

    Args:
        rows: (N,) with `id`, `task`, `template` and `split`.
        vectors: (N, d), as a memory map where they are many; none is read.
    """
    numbered = rows.select(["id", "task", "template"]).append_column("row", pa.array(np.arange(rows.num_rows)))
    train = numbered.filter(pc.equal(rows["split"], "train"))
    if not train.num_rows:
        return []
    ordered = train.sort_by([("task", "ascending"), ("template", "ascending"), ("id", "ascending")])
    tasks, templates = (ordered[name].combine_chunks().dictionary_encode() for name in ("task", "template"))
    ids, positions = ordered["id"].combine_chunks(), ordered["row"].to_numpy()
    changed = np.diff(tasks.indices.to_numpy()).astype(bool) | np.diff(templates.indices.to_numpy()).astype(bool)
    starts = [0, *(np.flatnonzero(changed) + 1).tolist(), len(ids)]
    return [
        Group(tasks[start].as_py(), templates[start].as_py(), positions[start:stop], ids[start:stop], vectors)
        for start, stop in pairwise(starts)
    ]


@dataclass(frozen=True, slots=True)
class _Ordered:
    """One group's ordering by one objective: its row of `groups.parquet`, and ids and gains, best first."""

    group: Mapping[str, Any]
    ids: pa.Array  # (n,)
    gains: NDArray[np.float64]  # (n,)


@dataclass(frozen=True, slots=True)
class _Job:
    """One group under one objective."""

    group: Group
    objective: Objective
    key: str


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `orderings.parquet` (a row each pick) and `groups.parquet` (a row each group, with its key)."""
    selection = project.settings.selection
    folder = inputs.folder(prompt_embeddings.NAME, partition)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    groups = groups_of(pq.read_table(folder / "rows.parquet"), vectors)
    objectives = objectives_in_use(project.settings)
    searched = inputs.manifest(similarity_index.NAME, partition).content_version if selection.searches_index else None
    index = inputs.folder(similarity_index.NAME, partition) / "index.faiss" if selection.searches_index else None
    keys = [group.keys(objectives, selection, searched) for group in groups]
    jobs = [
        _Job(group, objective, own[place])
        for place, objective in enumerate(objectives)
        for group, own in zip(groups, keys, strict=True)
    ]
    earlier = _earlier_orderings(project, partition, run)
    todo = [job for job in jobs if job.key not in earlier]
    ordered = earlier | dict(zip((job.key for job in todo), _order(todo, selection, index, run), strict=True))
    orderings = [ordered[job.key] for job in jobs]
    write_table(_orderings_table(orderings), out.content / "orderings.parquet")
    write_table(
        pa.Table.from_pylist([ordering.group for ordering in orderings], GROUPS), out.content / "groups.parquet"
    )
    return StepResult(
        summary=OrderingSummary(
            groups=len(groups),
            objectives=[objective.label for objective in objectives],
            rows=sum(map(len, groups)),
            largest_group=max(map(len, groups), default=0),
            approximate_orderings=sum(not ordering.group["exact"] for ordering in orderings),
        ).as_kept(),
        cost=OrderingCost(
            groups_ordered=len(todo),
            groups_reused=len(jobs) - len(todo),
            rows_ordered=sum(len(job.group) for job in todo),
        ).as_kept(),
    )


def _order(jobs: list[_Job], selection: Selection, index: Path | None, run: RunContext) -> list[_Ordered]:
    """Order the groups over the cores, the biggest first."""
    progress = Progress("ordering", run.log)

    def order(position: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        job = jobs[position]
        vectors = job.group.vectors
        approximation = selection.approximation_of(job.objective, len(vectors))
        if approximation is None:
            return greedy_ordering(vectors, job.objective, None, selection.engine, limits, on_progress)
        neighbours = None
        if isinstance(approximation, NearestNeighbours):
            neighbours = _neighbours(job.group, vectors, index, approximation.neighbours)
        return approximate_ordering(
            vectors, job.objective, approximation, neighbours=neighbours, on_progress=on_progress
        )

    sizes = [len(job.group) for job in jobs]
    with _on_device(run.device, selection):
        orderings = order_many(sizes, order, int(selection.memory_gib * 2**30), progress.at)
    return [_ordered(job, ordering, selection) for job, ordering in zip(jobs, orderings, strict=True)]


@contextmanager
def _on_device(device: str, selection: Selection) -> Generator[None]:
    """Let the engine `cuda` mean the run's own GPU."""
    if selection.engine == "cuda" and device != "cpu":
        import torch

        with torch.cuda.device(device):
            yield
    else:
        yield


def _neighbours(group: Group, vectors: NDArray[np.float32], index: Path | None, count: int) -> NDArray[np.int64] | None:
    """Return the group's rows nearest to each, by the source's index.

    None where most of the source lies outside the group.
    """
    if index is None or 2 * len(group) < len(group.source):
        return None
    nearest = nearest_rows(read_index(index), vectors, NEIGHBOURS_SEARCHED * count)
    place = np.full(len(group.source) + 1, -1)  # the last stands for no row
    place[group.rows] = np.arange(len(group))
    return place[nearest]


def _ordered(job: _Job, ordering: GreedyOrdering, selection: Selection) -> _Ordered:
    rows, gains = len(job.group), ordering.gains
    tenth = -(-rows // 10)
    approximation = selection.approximation_of(job.objective, rows)
    value_of_a_tenth = float(gains[:tenth].sum())
    if isinstance(approximation, NearestNeighbours):  # whose gains are those of a sparse kernel
        value_of_a_tenth = float(sampled_values(job.group.vectors, ordering.indices[:tenth])[-1])
    group = {
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
    return _Ordered(group, job.group.id_column.take(pa.array(ordering.indices)), gains)


def _orderings_table(ordered: Sequence[_Ordered]) -> pa.Table:
    """Return all orderings, one under the other; each is a chunk of every column, which is copied no more."""
    if not ordered:
        return ORDERINGS.empty_table()
    ranks = pa.array(np.arange(max(len(ordering.gains) for ordering in ordered)))
    chunks: dict[str, list[pa.Array]] = {
        name: [pa.repeat(ordering.group[name], len(ordering.gains)) for ordering in ordered]
        for name in ("objective", "task", "template")
    }
    chunks["rank"] = [ranks[: len(ordering.gains)] for ordering in ordered]
    chunks["id"] = [ordering.ids for ordering in ordered]
    chunks["gain"] = [pa.array(ordering.gains) for ordering in ordered]
    return pa.table([pa.chunked_array(chunks[name]) for name in ORDERINGS.names], ORDERINGS)


def _earlier_orderings(project: Project, partition: str | None, run: RunContext) -> dict[str, _Ordered]:
    """Return the groups of the source's last materialization by key; none where it cannot be read."""
    manifest = project.store.current(NAME, partition)
    if manifest is None:
        return {}
    try:
        folder = project.store.artifact(manifest)
        orderings = pq.read_table(folder / "orderings.parquet", columns=["id", "gain"])
        groups = pq.read_table(folder / "groups.parquet").select(GROUPS.names).cast(GROUPS).to_pylist()
    except (StoreError, pa.ArrowException, OSError, KeyError) as error:
        run.log(f"the earlier orderings cannot be used, all groups are ordered again: {error}")
        return {}
    ids, gains = orderings["id"].combine_chunks(), orderings["gain"].to_numpy()
    starts = [0, *accumulate(group["rows"] for group in groups)]
    if starts[-1] != len(ids):
        run.log(f"the earlier orderings are of {len(ids)} rows, their groups of {starts[-1]}: all are ordered again")
        return {}
    return {
        group["key"]: _Ordered(group, ids[start:stop], gains[start:stop])
        for group, (start, stop) in zip(groups, pairwise(starts), strict=True)
    }
