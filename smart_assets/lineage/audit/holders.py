"""Which subsets and checkpoints hold some rows: read from the subsets, and for checkpoints from the subset of each.

A checkpoint was trained on the rows of the subset that its manifest names, of its seed's own row set where rows are
random, less the rows that its record names as dropped.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_assets.assets.step import split_grid_key
from smart_assets.lineage.audit.reader import CHECKPOINT, SUBSET, Past
from smart_assets.lineage.history import Materialization, Presence


@dataclass(frozen=True, slots=True)
class Holder:
    """A materialization of a subset or of a checkpoint; of the latter one seed."""

    asset: str
    budget: int
    recipe: str
    seed: int | None  # whose weights, or whose row set; None where a subset has one set for all seeds
    content_version: str
    made_at: str | None  # UTC
    run_id: str | None
    current: bool
    named: bool  # `smart.yaml` still names the budget and recipe
    artifact: Presence
    production: bool  # it is the promoted model


@dataclass(frozen=True, slots=True)
class Held:
    """A row in a holder."""

    id: str
    rank: int  # from 0 inside (seed, task, template)
    gain: float | None  # None for rows drawn at random
    holder: Holder


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that a checkpoint was given and did not train on."""

    id: str
    reason: str
    holder: Holder


@dataclass(frozen=True, slots=True)
class Unknown:
    """A materialization whose rows cannot be told any more."""

    holder: Holder
    why: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """Where some rows are held, current holders first, the newest first among them."""

    held: tuple[Held, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """One seed of a checkpoint, and what its record says."""

    item: Materialization
    seed: int
    record: Mapping[str, Any]

    @property
    def subset(self) -> str | None:
        """The version of its subset."""
        return self.item.manifest.inputs.get(f"{SUBSET}[{self.item.manifest.partition}]")

    @property
    def dropped(self) -> dict[str, str]:
        """Row -> why it was not trained on."""
        return {row["id"]: row["reason"] for row in self.record.get("dropped", [])}


def trainings(past: Past) -> Iterator[Training]:
    """All checkpoints, seed by seed."""
    for item in past.history.of(CHECKPOINT):
        for seed, record in item.manifest.summary.get("seeds", {}).items():
            yield Training(item, int(seed), record)


def holder(past: Past, item: Materialization, seed: int | None) -> Holder:
    """A materialization as a holder."""
    manifest = item.manifest
    budget, recipe = split_grid_key(manifest.partition)
    promoted = past.production if manifest.asset == CHECKPOINT else None
    return Holder(
        asset=manifest.asset,
        budget=budget,
        recipe=recipe,
        seed=seed,
        content_version=manifest.content_version,
        made_at=item.made_at,
        run_id=item.run_id,
        current=item.current,
        named=item.named,
        artifact=past.presence(item),
        production=promoted is not None
        and (promoted.partition, promoted.seed, promoted.content_version)
        == (manifest.partition, seed, manifest.content_version),
    )


def newest_first(holder: Holder) -> tuple[object, ...]:
    """How holders are sorted, in reverse: current ones first, then by time."""
    return (holder.current, holder.made_at or "", holder.asset, holder.budget, holder.recipe, -(holder.seed or 0))


def holdings(past: Past, ids: Sequence[str]) -> Holdings:
    """Every subset and checkpoint that holds one of some rows."""
    columns = "version, id, rank, gain, seed"
    by_version: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for version, *row in past.ask(past.subsets, columns, "WHERE id IN (SELECT unnest($p0))", list(ids)):
        by_version[version].append(tuple(row))
    held: list[Held] = []
    dropped: list[Dropped] = []
    for item in past.history.of(SUBSET):
        rows = by_version.get(item.manifest.content_version, [])
        held += [Held(id_, rank, gain, holder(past, item, seed)) for id_, rank, gain, seed in rows]
    for training in trainings(past):
        left_out = training.dropped
        for id_, rank, gain, seed in by_version.get(training.subset or "", []):
            if seed in (None, training.seed):
                by = holder(past, training.item, training.seed)
                if id_ in left_out:
                    dropped.append(Dropped(id_, left_out[id_], by))
                else:
                    held.append(Held(id_, rank, gain, by))
    return Holdings(
        tuple(sorted(held, key=lambda one: newest_first(one.holder), reverse=True)),
        tuple(sorted(dropped, key=lambda one: newest_first(one.holder), reverse=True)),
    )


def unknown(past: Past) -> tuple[Unknown, ...]:
    """The subsets and checkpoints of which it cannot be told any more whether they hold a row."""
    found: list[Unknown] = []
    for item in past.history.of(SUBSET):
        if item.manifest.content_version not in past.subsets:
            found.append(Unknown(holder(past, item, None), _gone(past.presence(item))))
    for training in trainings(past):
        if training.subset not in past.subsets:
            why = f"its subset {training.subset[:12]} is not there" if training.subset else "it names no subset"
            found.append(Unknown(holder(past, training.item, training.seed), f"{why} any more"))
    return tuple(sorted(found, key=lambda one: newest_first(one.holder), reverse=True))


def _gone(left: Presence) -> str:
    return {
        "collected": "collected; its manifest remains",
        "missing": "its files are missing: `smart run` makes what is wanted again",
        "damaged": "its files are damaged: see `smart verify`",
        "there": "",
    }[left]
