"""What the steps of a plan will cost: rows to embed, groups to order, tokens to train; seconds and memory.

The work is counted from the rows that changed. Seconds and memory are those of earlier runs of the same asset: a
straight line through work and seconds where runs of different sizes are on record, else in proportion to the work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.assets.records import (
    CheckpointSummary,
    EmbeddingCost,
    OrderingCost,
    OrderingParameters,
    RawTasksCost,
    RawTasksSummary,
    evaluation_costs,
    training_costs,
)
from smart_assets.assets.step import AssetPartition, DesiredState, split_grid_key
from smart_assets.core.errors import StoreError
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances
from smart_assets.tasks.changes import changes_between

_RUNS = 5  # earlier runs looked at, of each partition
# What an asset's cost is reckoned by, and the figure of an earlier run that says how much of it there was.
_UNITS = {
    "raw_tasks": ("rows to read", "rows read"),
    "prompt_embeddings": ("rows to embed", "prompts embedded"),
    "instance_orderings": ("rows to order", "rows ordered"),
    "finetuned_checkpoint": ("tokens to train", "tokens trained"),
}
_WIDE = ("task", "template")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step will cost; None for what no earlier run tells."""

    work: Mapping[str, int] = field(default_factory=dict[str, int])  # such as "rows to embed" -> 12
    seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """A step of the plan and its cost; that of a waiting step arises only if its inputs really change."""

    step: PlanStep
    cost: Cost | None  # None where there is nothing to do, or nothing can be done


def forecast(
    project: Project, desired: Sequence[DesiredState], plan: Sequence[PlanStep], current_state: CurrentState
) -> list[ForecastStep]:
    """The cost of every step of a plan that is to be done."""
    changed = current_state.details or ChangedRows(project, current_state.current)
    pending = frozenset(step.key for step in plan if step.to_do)
    reckoner = _Reckoner(project, {item.key: item for item in desired}, pending, current_state, changed)
    return [ForecastStep(step, reckoner.cost(step) if step.to_do else None) for step in plan]


def total(steps: Sequence[ForecastStep]) -> Cost:
    """All costs together: work and seconds added up, the highest peak."""
    costs = [step.cost for step in steps if step.cost is not None]
    work: dict[str, int] = {}
    for cost in costs:
        for what, amount in cost.work.items():
            work[what] = work.get(what, 0) + amount
    return Cost(
        work,
        sum(cost.seconds or 0 for cost in costs),
        max((cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None), default=None),
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    """An earlier run: how much work it was, and what it took."""

    amount: float
    seconds: float
    peak_memory_bytes: int


class _Reckoner:
    def __init__(
        self,
        project: Project,
        desired: Mapping[AssetPartition, DesiredState],
        pending: frozenset[AssetPartition],
        current_state: CurrentState,
        changed: ChangedRows,
    ) -> None:
        self._project, self._desired, self._current, self._changed = project, desired, current_state.current, changed
        self._pending = pending
        self._store = project.store.snapshot()
        self._samples = cache(self._earlier_runs)
        self._history = cache(self._newest_manifests)
        self._tokens_a_row = cache(self._median_tokens)

    def cost(self, step: PlanStep) -> Cost:
        """The work of a step, and its seconds and memory by earlier runs."""
        work = {
            "raw_tasks": self._reading,
            "prompt_embeddings": self._embedding,
            "instance_orderings": self._ordering,
            "finetuned_checkpoint": self._training,
            "eval_results": self._evaluating,
            "base_model_results": lambda _: {"models to evaluate": 1},
        }.get(step.key.asset, lambda _: {})(step)
        return replace(self._by_earlier_runs(step.key.asset, work), work=work)

    def _by_earlier_runs(self, asset: str, work: Mapping[str, int]) -> Cost:
        samples = self._samples(asset)
        unit = _UNITS.get(asset, ("models to evaluate", ""))[0]
        if not samples or (asset in _UNITS and unit not in work):
            return Cost()
        amount = work.get(unit, 1)
        nearest = min(samples, key=lambda sample: abs(sample.amount - amount))
        return Cost(seconds=_seconds(samples, amount), peak_memory_bytes=nearest.peak_memory_bytes)

    def _earlier_runs(self, asset: str) -> list[_Sample]:
        keys = [key for key in self._desired if key.asset == asset]
        runs = [run for key in keys for run in self._history(key)]
        if asset == "eval_results":  # the same program; the base model is often measured first
            runs += self._history(AssetPartition("base_model_results"))
        samples = [_sample(run) for run in runs]
        return [sample for sample in samples if sample is not None]

    def _newest_manifests(self, key: AssetPartition) -> list[Manifest]:
        """The newest manifests of a partition; none where one of them cannot be read."""
        try:
            return self._store.history(key.asset, key.partition, _RUNS)
        except StoreError:
            return []

    def _reading(self, step: PlanStep) -> dict[str, int]:
        """The source's rows as they were last; of these a share as large as that of the files that changed."""
        key = step.key
        manifest, now = self._current(key), self._desired[key].outside
        if manifest is None:
            return {}
        summary = RawTasksSummary.read(manifest)
        rows = summary.rows + summary.rejected_rows
        if self._changed.preview(key.partition) is None:
            return {"rows to read": rows}
        changed = sum(manifest.outside.get(name) != version for name, version in now.items())
        return {"rows to read": round(rows * changed / max(1, len(now)))}

    def _embedding(self, step: PlanStep) -> dict[str, int]:
        key = step.key
        rows = self._rows_now(key.partition)
        if rows is None:
            return {}
        unseen = pc.unique(rows["prompt_hash"])
        for source in self._project.settings.sources:
            for made in self._history(AssetPartition("prompt_embeddings", source)):
                if made.parameters == self._desired[key].parameters:
                    known = self._changed.rows_of("prompt_embeddings", source, made.content_version)
                    if known is not None:
                        unseen = unseen.filter(pc.invert(pc.is_in(unseen, known["prompt_hash"].combine_chunks())))
                    break
        return {"rows to embed": len(unseen)}

    def _ordering(self, step: PlanStep) -> dict[str, int]:
        """The groups that lost or won rows, for each objective; all groups of an objective that is new."""
        key = step.key
        rows = self._rows_now(key.partition)
        desired = self._desired[key]
        if rows is None:
            return {}
        objectives = OrderingParameters.model_validate(desired.parameters).objectives
        sizes = rows.group_by(_WIDE).aggregate([([], "count_all")])
        before = self._rows_ordered(key)
        if before is None:
            return {
                "groups to order": len(objectives) * sizes.num_rows,
                "rows to order": len(objectives) * rows.num_rows,
            }
        manifest, earlier = before
        ordered = OrderingParameters.read(manifest).objectives
        kept = sum(one in ordered for one in objectives)
        new = len(objectives) - kept
        changes = changes_between(earlier, rows)
        touched = pa.concat_tables([changes.added, changes.removed]).group_by(_WIDE).aggregate([])
        again = sizes.join(touched, list(_WIDE), join_type="inner")
        return {
            "groups to order": new * sizes.num_rows + kept * again.num_rows,
            "rows to order": new * rows.num_rows + kept * (pc.sum(again["count_all"]).as_py() or 0),
        }

    def _rows_now(self, source: str | None) -> pa.Table | None:
        return self._changed.rows_now(source, read=AssetPartition("raw_tasks", source) not in self._pending)

    def _rows_ordered(self, key: AssetPartition) -> tuple[Manifest, pa.Table] | None:
        """The newest orderings and the rows they are of; None where all have to be made anew."""
        manifest, desired = self._current(key), self._desired[key]
        embedding = AssetPartition("prompt_embeddings", key.partition)
        if manifest is None or manifest.code_version != desired.code_version:
            return None
        then, now = OrderingParameters.read(manifest), OrderingParameters.model_validate(desired.parameters)
        if (then.engine, then.approximate) != (now.engine, now.approximate):
            return None
        version = manifest.inputs[str(embedding)]
        vectors = self._store.find(embedding.asset, embedding.partition, version)
        if vectors is None or vectors.parameters != self._desired[embedding].parameters:
            return None
        rows = self._changed.rows_of(embedding.asset, embedding.partition, version)
        return None if rows is None else (manifest, rows)

    def _training(self, step: PlanStep) -> dict[str, int]:
        finetune = self._project.settings.finetune
        budget = split_grid_key(step.key.partition)[0]
        rows = round(budget * finetune.epochs) * len(finetune.seeds)
        tokens = self._tokens_a_row()
        return {"rows to train": rows} | ({} if tokens is None else {"tokens to train": round(rows * tokens)})

    def _median_tokens(self) -> float | None:
        """Tokens of a trained row, by the earlier fine-tunes."""
        runs = [run for key in self._desired if key.asset == "finetuned_checkpoint" for run in self._history(key)[:1]]
        lengths = [tokens / trained for run in runs for tokens, trained in _trained(run) if trained]
        return median(lengths) if lengths else None

    def _evaluating(self, _: PlanStep) -> dict[str, int]:
        return {"models to evaluate": len(self._project.settings.finetune.seeds)}


def _sample(manifest: Manifest) -> _Sample | None:
    """An earlier run as a sample; None where it says too little of itself."""
    made = Circumstances.read(manifest)
    amount, peaks = _work(manifest)
    if made.seconds is None or made.peak_memory_bytes is None or amount is None:
        return None
    return _Sample(float(amount), made.seconds, max(made.peak_memory_bytes, *peaks, 0))


def _work(manifest: Manifest) -> tuple[int | None, list[int]]:
    """How much work a run was, None where that is not recorded; and the peak memory of the programs it started."""
    match manifest.asset:
        case "raw_tasks":
            return RawTasksCost.read(manifest).rows_read, []
        case "prompt_embeddings":
            return EmbeddingCost.read(manifest).prompts_embedded, []
        case "instance_orderings":
            return OrderingCost.read(manifest).rows_ordered, []
        case "finetuned_checkpoint":
            costs = training_costs(manifest).values()
            trained = sum(cost.tokens_trained or 0 for cost in costs if not cost.reused)
            return trained or None, [cost.peak_memory_bytes for cost in costs]  # None: all seeds were taken over
        case "eval_results" | "base_model_results":
            measured = evaluation_costs(manifest).values()
            return len(measured), [cost.peak_memory_bytes for cost in measured]
        case _:
            return 1, []


def _trained(manifest: Manifest) -> list[tuple[float, float]]:
    """Tokens and rows (epochs counted) of each seed's fine-tune."""
    costs = training_costs(manifest)
    return [
        (costs[seed].tokens, result.rows * result.hyperparameters["epochs"])
        for seed, result in CheckpointSummary.read(manifest).seeds.items()
        if seed in costs
    ]


def _seconds(samples: Sequence[_Sample], amount: float) -> float:
    """Seconds of so much work: by the line through the samples, or in proportion to a single size."""
    amounts, seconds = (np.array([getattr(one, name) for one in samples]) for name in ("amount", "seconds"))
    if np.ptp(amounts) > 0:
        slope, start = np.polyfit(amounts, seconds, 1)
        if slope > 0 and start >= 0:
            return float(start + slope * amount)
    worked = amounts > 0
    if not worked.any():
        return float(np.median(seconds))
    return float(np.median(seconds[worked] / amounts[worked]) * amount)
