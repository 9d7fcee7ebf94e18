"""What people decided to forget: an append-only log in the store, and what it comes to for a source.

A tombstone names rows by their ids, which are hashes, and never by their texts. It stays for good, also when the rows
are nowhere any more: who asks what a model of the past was trained on is told that a row was here, and why it went.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from pydantic import Field, ValidationError

from smart_assets.core.errors import StoreError
from smart_assets.core.section import Section
from smart_assets.store import Store
from smart_assets.store.hashing import json_version
from smart_assets.store.log import append, records
from smart_assets.tasks.forgotten import Forgotten

LOG = "forgotten"
KEY_LENGTH = 12


class TombstoneRecord(Section):
    """One decision, or the removal that made it final."""

    at: datetime = Field(description="When, in UTC.")
    action: Literal["forget", "undo", "removed"] = Field(
        description="`removed`: `smart gc --forgotten` took the content out of everything of the past."
    )
    who: str = Field(description="The name of the user.")
    reason: str = Field(default="", description="Why, in the words of who did it.")
    ids: tuple[str, ...] = Field(default=(), description="Of rows, 32 hex digits each; of refused rows by excerpt.")
    texts: tuple[str, ...] = Field(default=(), description="Hashes of what the rows say, whatever their task.")
    task: str | None = Field(default=None, description="A task that is forgotten as a whole, rows to come included.")
    sources: tuple[str, ...] = Field(default=(), description="The sources that have or had the rows.")
    of: tuple[str, ...] = Field(default=(), description="The keys of the tombstones that are undone or carried out.")

    @cached_property
    def key(self) -> str:
        """What a record is told by."""
        return json_version(self.model_dump(mode="json"))[:KEY_LENGTH]

    @property
    def what(self) -> str:
        """What is forgotten, in a word or two."""
        rows = f"{len(self.ids):,} row{'s' * (len(self.ids) != 1)}"
        return rows if self.task is None else f"task {self.task!r} ({rows})"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The log, oldest first."""

    records: tuple[TombstoneRecord, ...]

    @property
    def active(self) -> tuple[TombstoneRecord, ...]:
        """The tombstones that hold: those that were not undone."""
        undone = self._keys("undo")
        return tuple(record for record in self.records if record.action == "forget" and record.key not in undone)

    @property
    def final(self) -> frozenset[str]:
        """The keys of the tombstones whose rows are nowhere in the store any more."""
        return self._keys("removed")

    def removed_before(self, time: datetime) -> frozenset[str]:
        """Return the keys of the tombstones whose rows were nowhere in the store any more at a time."""
        return frozenset(
            key for record in self.records if record.action == "removed" and record.at < time for key in record.of
        )

    @property
    def forgotten(self) -> Forgotten:
        """All that no source may give."""
        return Forgotten(
            frozenset(id_ for record in self.active for id_ in record.ids),
            frozenset(record.task for record in self.active if record.task is not None),
            frozenset(text for record in self.active for text in record.texts),
        )

    def parameter(self, source: str | None) -> list[str]:
        """Return what of the log concerns a source, in words that change with it."""
        reasons: list[str] = []
        for record in self.records:
            if source in record.sources and record.action == "forget":
                reasons.append(f"{record.what} on {record.at:%Y-%m-%d} ({record.key})")
            elif source in record.sources and record.action == "undo":
                reasons.append(f"{', '.join(record.of)} undone on {record.at:%Y-%m-%d} ({record.key})")
        return reasons

    def of(self, ids: Iterable[str], tasks: Iterable[str]) -> list[TombstoneRecord | None]:
        """Return the tombstone of each row, the first where there are several; None for a row that is not forgotten."""
        by_id: dict[str, TombstoneRecord] = {}
        by_task: dict[str | None, TombstoneRecord] = {}
        for record in self.active:
            for id_ in record.ids:
                by_id.setdefault(id_, record)
            if record.task is not None:
                by_task.setdefault(record.task, record)
        return [by_id.get(id_) or by_task.get(task) for id_, task in zip(ids, tasks, strict=True)]

    def _keys(self, action: str) -> frozenset[str]:
        return frozenset(key for record in self.records if record.action == action for key in record.of)


def read_tombstones(store: Store) -> Tombstones:
    """Read the log.

    Raises:
        StoreError: a record cannot be read: without it rows would come back that must not.
    """
    decisions: list[TombstoneRecord] = []
    for record in records(store, LOG):
        try:
            decisions.append(TombstoneRecord.model_validate(record))
        except ValidationError as error:
            raise StoreError(f"a record of {store.root / LOG} is none of ours: restore it: {error}") from error
    return Tombstones(tuple(decisions))


def write_record(store: Store, record: TombstoneRecord) -> None:
    """Append a record.

    Raises:
        StoreError: it cannot be written.
    """
    append(store, LOG, record.model_dump(mode="json"))
