"""How much work a step is: counted from the rows that changed, and read from the manifests of earlier runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.assets import prompt_embeddings, raw_tasks
from smart_assets.assets.model_records import CheckpointSummary, evaluation_costs, training_costs
from smart_assets.assets.records import (
    EmbeddingCost,
    EmbeddingParameters,
    EmbeddingSummary,
    OrderingCost,
    OrderingParameters,
    RawTasksCost,
    RawTasksSummary,
)
from smart_assets.assets.step import AssetPartition, DesiredState, split_grid_key
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.changes import RowChanges, changes_between

_WIDE = ("task", "template")


class PlannedRows(Protocol):
    """What a plan knows of the store and of the rows that its sources will have."""

    @property
    def project(self) -> Project:
        """The project that is planned."""
        ...

    def desired(self, key: AssetPartition, /) -> DesiredState:
        """Return what a partition is to be made from."""
        ...

    def partitions(self, asset: str, /) -> list[AssetPartition]:
        """Return the partitions of an asset."""
        ...

    def current(self, key: AssetPartition, /) -> Manifest | None:
        """Return what a partition is now."""
        ...

    def history(self, key: AssetPartition, /) -> list[Manifest]:
        """Return the newest manifests of a partition."""
        ...

    def find(self, key: AssetPartition, version: str, /) -> Manifest | None:
        """Return the manifest of a content version."""
        ...

    def preview(self, source: str | None, /) -> RowChanges | None:
        """Return what reading a source would change; None where only reading all of it would tell."""
        ...

    def rows_now(self, source: str | None, /) -> pa.Table | None:
        """Return the rows that a source will have; None where that cannot be told yet."""
        ...

    def rows_of(self, key: AssetPartition, version: str, /) -> pa.Table | None:
        """Return the rows that a version of a source's rows or vectors lists; None where it is not there any more."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What an earlier run came to."""

    amount: int | None  # in the units of the work; None where that is not recorded
    peaks: tuple[int, ...] = ()  # bytes: the peak memory of the programs that it started


AMOUNT_OF_ONE = Done(1)


@dataclass(frozen=True, slots=True)
class Work:
    """What an asset's cost is reckoned by."""

    unit: str  # such as "rows to embed"
    planned: Callable[[PlannedRows, AssetPartition], Mapping[str, int]]  # `unit` among others; without it: not known
    done: Callable[[Manifest], Done]
    alike: tuple[str, ...] = ()  # other assets whose runs cost the same


def rows_to_read(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    """Count the source's rows as they were last; of these a share as large as that of the files that changed."""
    manifest, now = plan.current(key), plan.desired(key).outside
    if manifest is None:
        return {}
    summary = RawTasksSummary.read(manifest)
    rows = summary.rows + summary.rejected_rows
    if plan.preview(key.partition) is None:
        return {"rows to read": rows}
    changed = sum(manifest.outside.get(name) != version for name, version in now.items())
    return {"rows to read": round(rows * changed / max(1, len(now)))}


def rows_read(manifest: Manifest) -> Done:
    """Return how many rows a source's files gave that were read."""
    return Done(RawTasksCost.read(manifest).rows_read)


def rows_to_embed(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    """Count the prompts that no source's newest vectors of the same encoder have.

    Nothing where some of these may not count any more, since more or fewer windows of a long prompt are read now.
    """
    rows = plan.rows_now(key.partition)
    if rows is None:
        return {}
    unseen = pc.unique(rows["prompt_hash"])
    wanted = EmbeddingParameters.model_validate(plan.desired(key).parameters)
    for vectors in plan.partitions(key.asset):
        same = (made for made in plan.history(vectors) if EmbeddingParameters.read(made).encoder == wanted.encoder)
        newest = next(same, None)
        known = newest and plan.rows_of(vectors, newest.content_version)
        if newest is not None and known is not None:
            if not _all_count(newest, wanted):
                return {}
            unseen = unseen.filter(pc.invert(pc.is_in(unseen, known["prompt_hash"].combine_chunks())))
    return {"rows to embed": len(unseen)}


def _all_count(made: Manifest, wanted: EmbeddingParameters) -> bool:
    """Return whether all vectors of an encoder are what it would give now."""
    long = EmbeddingSummary.read(made).long_prompts
    return long is not None and (not long or EmbeddingParameters.read(made).windows == wanted.windows)


def prompts_embedded(manifest: Manifest) -> Done:
    """Return how many prompts had no vector."""
    return Done(EmbeddingCost.read(manifest).prompts_embedded)


def rows_to_order(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    """Count the groups that lost or won rows, for each objective; all groups of an objective that is new."""
    rows = plan.rows_now(key.partition)
    if rows is None:
        return {}
    objectives = OrderingParameters.model_validate(plan.desired(key).parameters).objectives
    sizes = rows.group_by(_WIDE).aggregate([([], "count_all")])
    before = _rows_ordered(plan, key)
    if before is None:
        return {
            "groups to order": len(objectives) * sizes.num_rows,
            "rows to order": len(objectives) * rows.num_rows,
        }
    manifest, earlier = before
    ordered = OrderingParameters.read(manifest).objectives
    kept = sum(objective in ordered for objective in objectives)
    new = len(objectives) - kept
    changes = changes_between(earlier, rows)
    touched = pa.concat_tables([changes.added, changes.removed]).group_by(_WIDE).aggregate([])
    again = sizes.join(touched, list(_WIDE), join_type="inner")
    return {
        "groups to order": new * sizes.num_rows + kept * again.num_rows,
        "rows to order": new * rows.num_rows + kept * (pc.sum(again["count_all"]).as_py() or 0),
    }


def _rows_ordered(plan: PlannedRows, key: AssetPartition) -> tuple[Manifest, pa.Table] | None:
    """Return the newest orderings and the rows they are of; None where all have to be made anew."""
    manifest, desired = plan.current(key), plan.desired(key)
    embedding = AssetPartition(prompt_embeddings.NAME, key.partition)
    if manifest is None or manifest.code_version != desired.code_version:
        return None
    then, now = OrderingParameters.read(manifest), OrderingParameters.model_validate(desired.parameters)
    if (then.engine, then.approximate) != (now.engine, now.approximate):
        return None
    version = manifest.inputs[str(embedding)]
    vectors = plan.find(embedding, version)
    wanted = EmbeddingParameters.model_validate(plan.desired(embedding).parameters)
    if vectors is None or EmbeddingParameters.read(vectors).encoder != wanted.encoder:
        return None
    if not _all_count(vectors, wanted):
        return None
    rows = plan.rows_of(embedding, version)
    return None if rows is None else (manifest, rows)


def rows_ordered(manifest: Manifest) -> Done:
    """Return how many rows the groups had that were ordered anew."""
    return Done(OrderingCost.read(manifest).rows_ordered)


def tokens_to_train(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    """Count the rows of all seeds and epochs, and their tokens by the median row of earlier fine-tunes."""
    finetune = plan.project.settings.finetune
    budget = int(min(split_grid_key(key.partition)[0], _training_rows(plan)))
    rows = round(budget * finetune.epochs) * len(finetune.seeds)
    runs = [run for other in plan.partitions(key.asset) for run in plan.history(other)[:1]]
    lengths = [tokens / trained for run in runs for tokens, trained in _trained(run) if trained]
    tokens = {"tokens to train": round(rows * median(lengths))} if lengths else {}
    return {"rows to train": rows} | tokens


def _training_rows(plan: PlannedRows) -> float:
    """Return how many rows there are to train on at most; infinite where a source is not read yet."""
    rows = 0
    for source in plan.project.settings.sources:
        known, made = plan.rows_now(source), plan.current(AssetPartition(raw_tasks.NAME, source))
        if known is None:
            return inf
        summary = None if made is None else RawTasksSummary.read(made)
        unchanged = summary is not None and summary.rows == known.num_rows
        rows += summary.training_rows if summary is not None and unchanged else known.num_rows
    return rows


def tokens_trained(manifest: Manifest) -> Done:
    """Add up the tokens of a checkpoint's seeds; None where all of them were taken over."""
    costs = training_costs(manifest).values()
    trained = sum(cost.tokens_trained or 0 for cost in costs if not cost.reused)
    return Done(trained or None, tuple(cost.peak_memory_bytes for cost in costs))


def _trained(manifest: Manifest) -> list[tuple[float, float]]:
    """Return tokens and rows (epochs counted) of each seed's fine-tune."""
    costs = training_costs(manifest)
    return [
        (costs[seed].tokens, result.rows * result.hyperparameters["epochs"])
        for seed, result in CheckpointSummary.read(manifest).seeds.items()
        if seed in costs
    ]


def models_to_evaluate(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    """Count the models of a checkpoint; the base model is one."""
    return {"models to evaluate": 1 if key.partition is None else len(plan.project.settings.finetune.seeds)}


def models_evaluated(manifest: Manifest) -> Done:
    """Count the models that an evaluation was of."""
    costs = evaluation_costs(manifest).values()
    return Done(len(costs), tuple(cost.peak_memory_bytes for cost in costs))
