"""Deciding to forget rows, and taking that back: both are records of the log of tombstones, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smart_assets.core.environment import user_name
from smart_assets.core.errors import SmartError
from smart_assets.forgetting.find import ForgetRequest, same_prompt, sources_of
from smart_assets.lineage.audit.groups import Share, shares_of
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.audit.row_history import RowHistory, row_histories
from smart_assets.settings import Project
from smart_assets.store.log import now
from smart_assets.tasks.tombstones import TombstoneRecord, Tombstones, read_tombstones, write_record

MOST_SHOWN = 20
"""Rows whose places are looked up."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is forgotten, and what holds it."""

    record: TombstoneRecord
    rows: dict[str, tuple[RowHistory, ...]]  # the first MOST_SHOWN rows, with their places
    held_by: tuple[Share, ...]  # subsets and checkpoints, now and in the past
    same_prompt: int  # other rows with the prompt of a forgotten one; they stay
    not_covered: tuple[str, ...] = ()  # what was not looked through, since it is not read


def forget(
    project: Project, reader: AuditReader, request: ForgetRequest, reason: str, dry_run: bool = False
) -> Forgetting:
    """Write a tombstone for rows, unless it is a dry run.

    Args:
        project: whose store it is.
        reader: what the rows were found in.
        request: the rows. Some may be forgotten already for another reason: they stay out while one tombstone holds.
        reason: why, for everyone who asks later.
        dry_run: only tell.

    Raises:
        SmartError: there is no reason, or all of it is forgotten already.
        StoreError: the log cannot be read or written, or files of the store cannot be read.
    """
    if not reason.strip():
        raise SmartError('say why, for those who will ask: --because "..."')
    if any(_says_all(tombstone, request, reason.strip()) for tombstone in read_tombstones(project.store).active):
        raise SmartError("all of it is forgotten already: `smart forget --list` shows why")
    record = TombstoneRecord(
        at=now(),
        action="forget",
        who=user_name(),
        reason=reason.strip(),
        ids=request.every,
        texts=request.texts,
        task=request.task,
        sources=request.sources,
    )
    if not dry_run:
        write_record(project.store, record)
    return Forgetting(
        record,
        _places_of(reader, request.ids),
        tuple(shares_of(reader, "id IN (SELECT unnest($p0))", list(request.ids))),
        same_prompt(reader, request.ids),
        request.not_covered,
    )


@dataclass(frozen=True, slots=True)
class Undoing:
    """What taking a tombstone back lets return."""

    tombstone: TombstoneRecord
    record: TombstoneRecord  # that takes it back
    returning: tuple[str, ...]  # ids that no other tombstone names; refused rows among them
    rows: dict[str, tuple[RowHistory, ...]]  # the first MOST_SHOWN of these, with their places

    @property
    def kept_out(self) -> int:
        """Rows that stay forgotten, since other tombstones name them, too."""
        return len(self.tombstone.ids) - len(self.returning)


def undo(project: Project, key: str, reason: str = "", dry_run: bool = False) -> Undoing:
    """Take a tombstone back: its rows may be kept again, and come back when their sources are read next.

    Args:
        project: whose store it is.
        key: of the tombstone, or a beginning that no other key has.
        reason: why, for everyone who asks later.
        dry_run: write nothing, only tell what would come back.

    Raises:
        SmartError: no tombstone that holds, or more than one, has a key that begins so; or its rows were removed from
            everything of the past, so that it is final.
        StoreError: the log cannot be read or written.
    """
    tombstones = read_tombstones(project.store)
    tombstone = _one_that_can_be_undone(tombstones, key)
    reader = AuditReader(project)
    # A source that the rows came to after they were forgotten has them among its rejected rows.
    have = sources_of(reader, tombstone.ids, (), tombstone.task)
    record = TombstoneRecord(
        at=now(),
        action="undo",
        who=user_name(),
        reason=reason.strip(),
        sources=tuple(sorted({*tombstone.sources, *have})),
        of=(tombstone.key,),
    )
    returning = _returning(reader, Tombstones((*tombstones.records, record)), tombstone)
    if not dry_run:
        write_record(project.store, record)
    return Undoing(tombstone, record, returning, _places_of(reader, returning))


def _one_that_can_be_undone(tombstones: Tombstones, key: str) -> TombstoneRecord:
    matching = [tombstone for tombstone in tombstones.active if key and tombstone.key.startswith(key)]
    if len(matching) != 1:
        raise SmartError(
            f"{key!r:.40} begins {len(matching) or 'no'} keys of tombstones; there are {_keys(tombstones)}"
        )
    [tombstone] = matching
    if tombstone.key in tombstones.final:
        raise SmartError(
            f"{tombstone.key} is final: `smart gc --forgotten` removed its rows from everything of the past, which is "
            "not brought back"
        )
    return tombstone


def _returning(reader: AuditReader, left: Tombstones, tombstone: TombstoneRecord) -> tuple[str, ...]:
    """Return the ids of a tombstone that those which are left do not name, neither the row nor its task."""
    chosen = "WHERE id IN (SELECT unnest($p0)) AND task IN (SELECT unnest($p1))"
    forgotten = left.forgotten
    by_task = reader.query(reader.instances, "DISTINCT id", chosen, list(tombstone.ids), list(forgotten.tasks))
    out = forgotten.ids | {id_ for (id_,) in by_task}
    return tuple(id_ for id_ in tombstone.ids if id_ not in out)


def _keys(tombstones: Tombstones) -> str:
    return ", ".join(tombstone.key for tombstone in tombstones.active) or "none that holds"


def _places_of(reader: AuditReader, ids: Sequence[str]) -> dict[str, tuple[RowHistory, ...]]:
    """Return where the first rows stand, without what is kept of them: what is forgotten is not shown once more."""
    histories = row_histories(reader, ids[:MOST_SHOWN])
    return {id_: tuple(replace(history, kept={}) for history in those) for id_, those in histories.items()}


def _says_all(tombstone: TombstoneRecord, request: ForgetRequest, reason: str) -> bool:
    """Return whether another tombstone would say nothing that this one does not say."""
    rows = {*request.every} <= {*tombstone.ids} and {*request.sources} <= {*tombstone.sources}
    return rows and tombstone.task == request.task and tombstone.reason == reason
