"""Where a row stands in its source, now and in every materialization of it that is still there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksParameters
from smart_assets.lineage.audit.reader import ROWS, AuditReader
from smart_assets.lineage.history import Materialization
from smart_assets.store import Manifest
from smart_assets.tasks import reasons
from smart_assets.tasks.kept import values_of
from smart_assets.tasks.source_kind import REVISION, Origin
from smart_assets.tasks.sources import recorded_source

_PLACE = "version, id, file, line"


@dataclass(frozen=True, slots=True)
class RowHistory:
    """What one or several materializations of a source say of a row, all the same."""

    source: str
    task: str
    template: str
    split: str  # "train" or "validation", which is held out
    origin: Origin
    current: bool  # it is so now
    first_made_at: str | None
    last_made_at: str | None
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])  # values of kept columns, by name


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A rejected row with the same task, prompt and response."""

    source: str
    task: str | None
    template: str | None
    origin: Origin
    current: bool
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])  # values of its own kept columns, by name


def row_histories(reader: AuditReader, ids: Sequence[str]) -> dict[str, tuple[RowHistory, ...]]:
    """Return of each id its histories, the newest first; none where no rows are left that have it."""
    chosen = "WHERE id IN (SELECT unnest($p0))"
    rows = {
        (version, id_): facts
        for version, id_, *facts in reader.query(
            reader.instances, "version, id, task, template, split", chosen, list(ids)
        )
    }
    files = reader.files(ROWS, "origins.parquet", ORIGINS_FOLDER)
    places = {(version, id_): place for version, id_, *place in reader.query(files, _PLACE, chosen, list(ids))}
    kept = {
        (version, id_): text
        for version, id_, text in reader.query(
            reader.kept, "version, id, kept", f"{chosen} AND NOT duplicate", list(ids)
        )
    }
    histories: dict[str, dict[tuple[object, ...], RowHistory]] = {id_: {} for id_ in ids}
    for item in reader.history.of(ROWS):
        for id_ in ids:
            facts = rows.get((item.manifest.content_version, id_))
            if facts is not None:
                key = _origins_version(item.manifest), id_
                origin = _origin(item.manifest, *places.get(key, (None, None)))
                _add(histories[id_], item, facts, origin, kept.get(key))
    return {id_: tuple(sorted(those.values(), key=_newest, reverse=True)) for id_, those in histories.items()}


def duplicates(reader: AuditReader, ids: Sequence[str]) -> dict[str, tuple[Duplicate, ...]]:
    """Return of each id the rejected rows that repeat all that is read of it, now or in the past."""
    files = reader.files(ROWS, "rejected.parquet", ORIGINS_FOLDER)
    rest = "WHERE reason IN (SELECT unnest($p0)) AND id IN (SELECT unnest($p1)) ORDER BY file, line"
    columns = f"{_PLACE}, task, template"
    rows = reader.query(files, columns, rest, list(reasons.DUPLICATES), list(ids))
    kept_rest = "WHERE duplicate AND id IN (SELECT unnest($p0))"
    kept = {tuple(place): text for *place, text in reader.query(reader.kept, f"{_PLACE}, kept", kept_rest, list(ids))}
    by_id: dict[str, dict[tuple[object, ...], Duplicate]] = {id_: {} for id_ in ids}
    for item in reader.history.of(ROWS):
        for version, id_, file, line, task, template in rows:
            if version == _origins_version(item.manifest):
                origin = _origin(item.manifest, file, line)
                text = kept.get((version, id_, file, line))
                key = (item.manifest.partition, origin, task, template, text)
                before = by_id[id_].get(key)
                current = item.current or (before is not None and before.current)
                by_id[id_][key] = Duplicate(
                    str(item.manifest.partition), task, template, origin, current, values_of(text)
                )
    return {id_: tuple(those.values()) for id_, those in by_id.items()}


def _add(
    histories: dict[tuple[object, ...], RowHistory],
    item: Materialization,
    facts: Sequence[str],
    origin: Origin,
    kept: str | None,
) -> None:
    """Note a standing; histories are read newest first, so one that is known began earlier than it seemed."""
    key = (item.manifest.partition, *facts, origin, kept)
    known = histories.get(key)
    if known is None:
        task, template, split = facts
        source = str(item.manifest.partition)
        histories[key] = RowHistory(
            source, task, template, split, origin, item.current, item.made_at, item.made_at, values_of(kept)
        )
    else:
        histories[key] = replace(known, first_made_at=item.made_at)


def _newest(standing: RowHistory) -> tuple[bool, str]:
    return standing.current, standing.last_made_at or ""


def _origins_version(manifest: Manifest) -> str:
    attachment = manifest.attachments.get(ORIGINS_FOLDER)
    return attachment.version if attachment is not None else ""


def _origin(manifest: Manifest, file: str | None, line: int | None) -> Origin:
    source = recorded_source(RawTasksParameters.read(manifest).source)
    return source.place_of(file, line, manifest.outside.get(REVISION))
