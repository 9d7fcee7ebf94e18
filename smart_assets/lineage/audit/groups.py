"""The audit of a task and of a source: how many of its rows every subset and checkpoint holds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksSummary
from smart_assets.core.errors import SmartError
from smart_assets.lineage.audit.reader import ROWS, SUBSET, AuditReader
from smart_assets.lineage.audit.row_uses import (
    Consumer,
    UnknownConsumer,
    consumer,
    newest_first,
    unknown_consumers,
)
from smart_assets.lineage.history import Materialization, Presence
from smart_assets.lineage.trained_rows import Training
from smart_assets.settings import Project

Kind = Literal["task", "source"]
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Share:
    """How many rows of a task or source a holder has."""

    rows: int
    of: int | None  # rows of the holder in all; None where its subset is gone, and only its record tells of the task
    holder: Consumer


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """What one or several materializations of a source say of a task, all the same."""

    source: str
    training: int
    held_out: int
    rejected: int | None  # None where what was rejected is not there any more
    current: bool
    first_made_at: str | None
    last_made_at: str | None


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A materialization of a source."""

    rows: int
    training: int
    held_out: int
    rejected: int
    content_version: str
    made_at: str | None
    run_id: str | None
    current: bool
    artifact: Presence
    not_read: Mapping[str, int] | None  # rows with a value in what is not read; None where that was not recorded


@dataclass(frozen=True, slots=True)
class TaskAudit:
    """All that is known of a task."""

    task: str
    unseen: bool  # `evaluate.unseen_tasks` names it
    rows: tuple[TaskHistory, ...]  # newest first
    held_by: tuple[Share, ...]
    unknown: tuple[UnknownConsumer, ...]
    unreadable: int  # manifests that cannot be relied on and are left out


@dataclass(frozen=True, slots=True)
class SourceAudit:
    """All that is known of a source."""

    source: str
    settings: Mapping[str, Any] | None  # in `smart.yaml`; None where it names the source no more
    rows: tuple[SourceVersion, ...]  # newest first
    held_by: tuple[Share, ...]
    unknown: tuple[UnknownConsumer, ...]
    unreadable: int  # manifests that cannot be relied on and are left out


def audit_task(project: Project, task: str) -> TaskAudit:
    """Follow a task.

    Raises:
        SmartError: no source ever had a task of that name.
        StoreError: files of the store cannot be read.
    """
    reader = AuditReader(project)
    rows, held = tuple(_task_rows(reader, task)), [*shares_of(reader, "task = $p0", task), *_by_record(reader, task)]
    known = {share.holder for share in held}
    unknown = tuple(candidate for candidate in unknown_consumers(reader) if candidate.holder not in known)
    if not rows and not held:
        raise SmartError(no_such("task", task, known_tasks(reader), unknown))
    return TaskAudit(
        task, task in project.settings.evaluate.unseen_tasks, rows, _sorted(held), unknown, reader.unreadable
    )


def audit_source(project: Project, source: str) -> SourceAudit:
    """Follow a source.

    Raises:
        SmartError: there is no source of that name, and never was one.
        StoreError: files of the store cannot be read.
    """
    reader = AuditReader(project)
    made = [item for item in reader.history.of(ROWS) if item.manifest.partition == source]
    settings = project.settings.sources.get(source)
    unknown = unknown_consumers(reader)
    if not made and settings is None:
        known = {*project.settings.sources, *(str(item.manifest.partition) for item in reader.history.of(ROWS))}
        raise SmartError(no_such("source", source, known, unknown))
    rows = tuple(_source_rows(reader, item) for item in made)
    shown = settings.model_dump(mode="json") if settings is not None else None
    return SourceAudit(
        source, shown, rows, _sorted(shares_of(reader, "source = $p0", source)), unknown, reader.unreadable
    )


def _sorted(shares: list[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: newest_first(share.holder), reverse=True))


def shares_of(reader: AuditReader, condition: str, value: object) -> list[Share]:
    """Return every subset and checkpoint with rows of some kind.

    Args:
        reader: what is looked through.
        condition: of such a row, in SQL.
        value: what `$p0` stands for in it.

    Raises:
        StoreError: files of the store cannot be read.
    """
    counts: dict[str, list[tuple[int | None, int, int]]] = defaultdict(list)
    columns = f"version, seed, count(*) FILTER ({condition}), count(*)"
    for version, *count in reader.query(reader.subsets, columns, "GROUP BY version, seed", value):
        counts[version].append((count[0], count[1], count[2]))
    shares = [
        Share(rows, total, consumer(reader, item, seed))
        for item in reader.history.of(SUBSET)
        for seed, rows, total in counts.get(item.manifest.content_version, [])
        if rows
    ]
    columns = f"model, count(*) FILTER ({condition}), count(*)"
    for model, rows, total in reader.query_trained(columns, "WHERE reason IS NULL GROUP BY model", value):
        if rows:
            training = reader.trainings[model]
            shares.append(Share(rows, total, consumer(reader, training.item, training.seed)))
    return shares


def _by_record(reader: AuditReader, task: str) -> Iterator[Share]:
    """Return checkpoints whose subset is gone, but whose own record counts the rows of each task."""
    for training in reader.trainings:
        rows = _recorded(training).get(task, 0)
        if training.subset not in reader.subsets and rows:
            yield Share(rows, None, consumer(reader, training.item, training.seed))


def _recorded(training: Training) -> Mapping[str, int]:
    return training.record.tasks or {}  # earlier fine-tunes did not count them


def _task_rows(reader: AuditReader, task: str) -> list[TaskHistory]:
    columns = "version, count(*) FILTER (split = 'train'), count(*) FILTER (split <> 'train')"
    counts = {
        version: (training, held_out)
        for version, training, held_out in reader.query(
            reader.instances, columns, "WHERE task = $p0 GROUP BY version", task
        )
    }
    files = reader.files(ROWS, "tasks.parquet", ORIGINS_FOLDER)
    rejected = dict(reader.query(files, "version, rejected", "WHERE task = $p0", task))
    histories: dict[tuple[object, ...], TaskHistory] = {}
    for item in reader.history.of(ROWS):
        attachment = item.manifest.attachments.get(ORIGINS_FOLDER)
        refused = rejected.get(attachment.version) if attachment is not None else None
        if item.manifest.content_version not in counts and refused is None:
            continue
        facts = (*counts.get(item.manifest.content_version, (0, 0)), refused)
        key = (item.manifest.partition, *facts)
        if key in histories:
            histories[key] = replace(histories[key], first_made_at=item.made_at)
        else:
            histories[key] = TaskHistory(str(item.manifest.partition), *facts, item.current, item.made_at, item.made_at)
    return sorted(histories.values(), key=lambda history: (history.current, history.last_made_at or ""), reverse=True)


def _source_rows(reader: AuditReader, item: Materialization) -> SourceVersion:
    summary = RawTasksSummary.read(item.manifest)
    return SourceVersion(
        rows=summary.rows,
        training=summary.training_rows,
        held_out=summary.validation_rows,
        rejected=summary.rejected_rows,
        content_version=item.manifest.content_version,
        made_at=item.made_at,
        run_id=item.run_id,
        current=item.current,
        artifact=reader.presence(item),
        not_read=summary.not_read,
    )


def known_tasks(reader: AuditReader) -> set[str]:
    """Return the tasks of all sources, subsets and checkpoints, as far as their files or records are there."""
    files = reader.files(ROWS, "tasks.parquet", ORIGINS_FOLDER)
    read = {task for readable in (files, reader.subsets) for (task,) in reader.query(readable, "DISTINCT task", "")}
    return read | {task for training in reader.trainings for task in _recorded(training)}


def no_such(kind: Kind, name: str, known: set[str], consumers: tuple[UnknownConsumer, ...]) -> str:
    """Return what to say of a name that nothing has or had."""
    near = get_close_matches(name, sorted(known), _NAMED, 0.5)
    named = ", ".join(repr(near_name) for near_name in near or sorted(known)[:_NAMED])
    names = f"names like it: {named}" if near else f"there are {named}" if known else "nothing was made yet"
    unknown = f"; of {len(consumers)} subsets and checkpoints it cannot be told any more" if consumers else ""
    return f"no {kind} {name!r:.100} is or was in the store ({names}{unknown}); `smart tasks` lists the tasks"
