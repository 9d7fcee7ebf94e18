"""What the steps of a plan will cost: rows to embed, groups to order, tokens to train; seconds and memory.

The work is counted from the rows that changed. Seconds and memory are those of earlier runs of the same asset: a
straight line through work and seconds where runs of different sizes are on record, else in proportion to the work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa

from smart_assets.assets import catalog, raw_tasks
from smart_assets.assets.declaration import Asset
from smart_assets.assets.step import AssetPartition, DesiredState
from smart_assets.assets.work import AMOUNT_OF_ONE
from smart_assets.core.errors import StoreError
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances

_RUNS = 5  # earlier runs looked at, of each partition


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
    """Return the cost of every step of a plan that is to be done."""
    pending = frozenset(step.key for step in plan if step.to_do)
    planned = _Plan(project, {item.key: item for item in desired}, pending, current_state)
    return [ForecastStep(step, _cost(planned, step.key) if step.to_do else None) for step in plan]


def total(steps: Sequence[ForecastStep]) -> Cost:
    """Return all costs together: work and seconds added up, the highest peak."""
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


class _Plan:
    """What the plan knows, for those who count the work of a step: `assets.work.PlannedRows`."""

    def __init__(
        self,
        project: Project,
        desired: Mapping[AssetPartition, DesiredState],
        pending: frozenset[AssetPartition],
        current_state: CurrentState,
    ) -> None:
        self.project = project
        self.desired, self.current = desired.__getitem__, current_state.current
        self.history = cache(self._newest_manifests)
        self._keys, self._pending = tuple(desired), pending
        self._changed = current_state.details or ChangedRows(project, current_state.current)
        self._store = project.store.snapshot()
        self.preview = self._changed.preview

    def partitions(self, asset: str) -> list[AssetPartition]:
        """Return the partitions of an asset that are planned."""
        return [key for key in self._keys if key.asset == asset]

    def find(self, key: AssetPartition, version: str) -> Manifest | None:
        """Return the manifest of a content version."""
        return self._store.find(key.asset, key.partition, version)

    def rows_now(self, source: str | None) -> pa.Table | None:
        """Return the rows that a source will have; None where that cannot be told yet."""
        return self._changed.rows_now(source, read=AssetPartition(raw_tasks.NAME, source) not in self._pending)

    def rows_of(self, key: AssetPartition, version: str) -> pa.Table | None:
        """Return the rows that a version of a source's rows or vectors lists."""
        return self._changed.rows_of(key.asset, key.partition, version)

    def _newest_manifests(self, key: AssetPartition) -> list[Manifest]:
        """Return the newest manifests of a partition; none where one of them cannot be read."""
        try:
            return self._store.history(key.asset, key.partition, _RUNS)
        except StoreError:
            return []


def _cost(plan: _Plan, key: AssetPartition) -> Cost:
    """Return the work of a step, and its seconds and memory by earlier runs."""
    asset = catalog.asset(key.asset)
    work = {} if asset.work is None else asset.work.planned(plan, key)
    samples = _samples(plan, asset)
    amount = 1 if asset.work is None else work.get(asset.work.unit)
    if not samples or amount is None:
        return Cost(work)
    nearest = min(samples, key=lambda sample: abs(sample.amount - amount))
    return Cost(work, _seconds(samples, amount), nearest.peak_memory_bytes)


def _samples(plan: _Plan, asset: Asset) -> list[_Sample]:
    """Return the earlier runs of an asset, and of those whose runs cost the same."""
    names = (asset.name, *(asset.work.alike if asset.work is not None else ()))
    runs = [run for name in names for key in plan.partitions(name) for run in plan.history(key)]
    samples = (_sample(run) for run in runs)
    return [sample for sample in samples if sample is not None]


def _sample(manifest: Manifest) -> _Sample | None:
    """Return an earlier run as a sample; None where it says too little of itself."""
    made, work = Circumstances.read(manifest), catalog.asset(manifest.asset).work
    done = AMOUNT_OF_ONE if work is None else work.done(manifest)
    if made.seconds is None or made.peak_memory_bytes is None or done.amount is None:
        return None
    return _Sample(float(done.amount), made.seconds, max(made.peak_memory_bytes, *done.peaks, 0))


def _seconds(samples: Sequence[_Sample], amount: float) -> float:
    """Return the seconds of so much work: by the line through the samples, or in proportion to a single size."""
    amounts, seconds = (np.array([getattr(sample, name) for sample in samples]) for name in ("amount", "seconds"))
    if np.ptp(amounts) > 0:
        slope, start = np.polyfit(amounts, seconds, 1)
        if slope > 0 and start >= 0:
            return float(start + slope * amount)
    worked = amounts > 0
    if not worked.any():
        return float(np.median(seconds))
    return float(np.median(seconds[worked] / amounts[worked]) * amount)
