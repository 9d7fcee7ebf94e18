"""Which subsets hold some rows, and which checkpoints were trained on them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smart_assets.assets.step import split_grid_key
from smart_assets.lineage.audit.reader import CHECKPOINT, SUBSET, AuditReader
from smart_assets.lineage.history import Materialization, Presence


@dataclass(frozen=True, slots=True)
class Consumer:
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
class RowUse:
    """A row in a holder."""

    id: str
    rank: int  # from 0 inside (seed, task, template)
    gain: float | None  # None for rows drawn at random
    holder: Consumer


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that a checkpoint was given and did not train on."""

    id: str
    reason: str
    holder: Consumer


@dataclass(frozen=True, slots=True)
class UnknownConsumer:
    """A materialization whose rows cannot be told any more."""

    holder: Consumer
    why: str


@dataclass(frozen=True, slots=True)
class RowUses:
    """Where some rows are held, current holders first, the newest first among them."""

    held: tuple[RowUse, ...]
    dropped: tuple[Dropped, ...]


def consumer(reader: AuditReader, item: Materialization, seed: int | None) -> Consumer:
    """Return a materialization as a consumer."""
    manifest = item.manifest
    budget, recipe = split_grid_key(manifest.partition)
    promoted = reader.production if manifest.asset == CHECKPOINT else None
    return Consumer(
        asset=manifest.asset,
        budget=budget,
        recipe=recipe,
        seed=seed,
        content_version=manifest.content_version,
        made_at=item.made_at,
        run_id=item.run_id,
        current=item.current,
        named=item.named,
        artifact=reader.presence(item),
        production=promoted is not None
        and (promoted.partition, promoted.seed, promoted.content_version)
        == (manifest.partition, seed, manifest.content_version),
    )


def newest_first(holder: Consumer) -> tuple[object, ...]:
    """Return how holders are sorted, in reverse: current ones first, then by time."""
    return (holder.current, holder.made_at or "", holder.asset, holder.budget, holder.recipe, -(holder.seed or 0))


def row_uses(reader: AuditReader, ids: Sequence[str]) -> RowUses:
    """Return every subset and checkpoint that holds one of some rows."""
    columns = "version, id, rank, gain, seed"
    chosen = "WHERE id IN (SELECT unnest($p0))"
    by_version: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for version, *row in reader.query(reader.subsets, columns, chosen, list(ids)):
        by_version[version].append(tuple(row))
    held: list[RowUse] = []
    dropped: list[Dropped] = []
    for item in reader.history.of(SUBSET):
        rows = by_version.get(item.manifest.content_version, [])
        held += [RowUse(id_, rank, gain, consumer(reader, item, seed)) for id_, rank, gain, seed in rows]
    for model, id_, rank, gain, reason in reader.query_trained("model, id, rank, gain, reason", chosen, list(ids)):
        training = reader.trainings[model]
        by = consumer(reader, training.item, training.seed)
        if reason is None:
            held.append(RowUse(id_, rank, gain, by))
        else:
            dropped.append(Dropped(id_, reason, by))
    return RowUses(
        tuple(sorted(held, key=lambda use: newest_first(use.holder), reverse=True)),
        tuple(sorted(dropped, key=lambda use: newest_first(use.holder), reverse=True)),
    )


def unknown_consumers(reader: AuditReader) -> tuple[UnknownConsumer, ...]:
    """Return the subsets and checkpoints of which it cannot be told any more whether they hold a row."""
    unknown: list[UnknownConsumer] = []
    for item in reader.history.of(SUBSET):
        if item.manifest.content_version not in reader.subsets:
            unknown.append(UnknownConsumer(consumer(reader, item, None), _gone(reader.presence(item))))
    for training in reader.trainings:
        if training.subset not in reader.subsets:
            why = f"its subset {training.subset[:12]} is not there" if training.subset else "it names no subset"
            unknown.append(UnknownConsumer(consumer(reader, training.item, training.seed), f"{why} any more"))
    return tuple(sorted(unknown, key=lambda lost: newest_first(lost.holder), reverse=True))


def _gone(left: Presence) -> str:
    return {
        "collected": "collected; its manifest remains",
        "missing": "its files are missing: `smart run` makes what is wanted again",
        "damaged": "its files are damaged: see `smart verify`",
        "there": "",
    }[left]
