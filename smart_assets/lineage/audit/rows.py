"""The audit of a row by its id, and of rows by their text."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from smart_assets.core.errors import SmartError
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.audit.row_history import Duplicate, RowHistory, duplicates, row_histories
from smart_assets.lineage.audit.row_uses import Dropped, RowUse, UnknownConsumer, row_uses, unknown_consumers
from smart_assets.lineage.audit.similar_rows import SimilarRows, prompt_of_row, prompt_of_text, similar_rows
from smart_assets.settings import Project
from smart_assets.tasks.rows import content_hash
from smart_assets.tasks.tombstones import read_tombstones

ID_LENGTH = 32
SHORTEST_PREFIX = 8
MOST_ROWS = 100
"""Rows of one kind (same prompt, same response, alike) that are followed; of more, so many are followed."""

_NAMED = 5
_Kept = TypeVar("_Kept", RowUse, Dropped)


@dataclass(frozen=True, slots=True)
class RowTrace:
    """A row, where it stands and stood, and what holds it."""

    id: str
    cosine: float | None  # of its prompt with what was asked for; None where it is what was asked for
    standings: tuple[RowHistory, ...]  # newest first; none where only subsets still name the row
    twins: tuple[Duplicate, ...]
    held_out: bool  # it is kept for evaluation now
    unseen: bool  # `evaluate.unseen_tasks` names its task
    held_by: tuple[RowUse, ...]
    dropped_by: tuple[Dropped, ...]
    forgotten: str | None = None  # when and why, where it is


@dataclass(frozen=True, slots=True)
class RowsFound:
    """Rows of one kind: how many there are, and the first MOST_ROWS of them."""

    total: int
    rows: tuple[RowTrace, ...]


@dataclass(frozen=True, slots=True)
class RowAudit:
    """All that is known of a row, and of rows like it."""

    row: RowTrace
    threshold: float  # cosine
    compared: int | None  # rows that it was compared with; None where it has no vector any more
    alike: RowsFound
    unknown: tuple[UnknownConsumer, ...]
    unreadable: int  # manifests that cannot be relied on and are left out


@dataclass(frozen=True, slots=True)
class TextAudit:
    """All rows with a text, and those whose prompts are like it."""

    same_prompt: RowsFound
    same_response: RowsFound
    threshold: float  # cosine
    compared: int  # rows
    alike: RowsFound
    unknown: tuple[UnknownConsumer, ...]
    unreadable: int  # manifests that cannot be relied on and are left out


def audit_row(project: Project, name: str, threshold: float) -> RowAudit:
    """Follow one row, by its id or a unique beginning of it.

    Args:
        project: the project.
        name: hex digits, at least SHORTEST_PREFIX.
        threshold: cosine from which on rows are alike.

    Raises:
        SmartError: no row, or more than one, has such an id.
        StoreError: files of the store cannot be read.
    """
    reader = AuditReader(project)
    unknown = unknown_consumers(reader)
    id_ = resolve_id(reader, name, unknown)
    prompt = prompt_of_row(reader, id_)
    near = similar_rows(reader, prompt, threshold) if prompt is not None else SimilarRows({}, 0)
    cosines = {other: cosine for other, cosine in near.cosines.items() if other != id_}
    followed = list(cosines)[:MOST_ROWS]
    traced = _traces(reader, [id_, *followed], cosines)
    if not (traced[0].standings or traced[0].held_by or traced[0].dropped_by):
        raise SmartError(_no_such_row(name, unknown))
    compared = None if prompt is None else near.compared
    return RowAudit(
        traced[0], threshold, compared, RowsFound(len(cosines), tuple(traced[1:])), unknown, reader.unreadable
    )


def audit_text(project: Project, text: str, threshold: float) -> TextAudit:
    """Follow the rows whose prompt or response is a text, and those whose prompts are like it.

    Raises:
        SmartError: the text is empty.
        EmbeddingError: the encoder cannot be loaded.
        StoreError: files of the store cannot be read.
    """
    if not text.strip():
        raise SmartError("the text is empty: give the prompt or the response of a row")
    reader = AuditReader(project)
    prompts = _ids(reader, "WHERE prompt_hash = $p0", content_hash(text))
    responses = _ids(reader, "WHERE response = $p0", text)
    near = similar_rows(reader, prompt_of_text(reader, text), threshold)
    cosines = {id_: cosine for id_, cosine in near.cosines.items() if id_ not in set(prompts)}
    kinds = (prompts, responses, list(cosines))
    followed = list(dict.fromkeys(id_ for ids in kinds for id_ in ids[:MOST_ROWS]))
    traced = {trace.id: trace for trace in _traces(reader, followed, cosines)}
    same_prompt, same_response, others = (
        RowsFound(len(ids), tuple(traced[id_] for id_ in ids[:MOST_ROWS])) for ids in kinds
    )
    return TextAudit(
        same_prompt, same_response, threshold, near.compared, others, unknown_consumers(reader), reader.unreadable
    )


def _ids(reader: AuditReader, where: str, value: str) -> list[str]:
    return [id_ for (id_,) in reader.query(reader.instances, "DISTINCT id", f"{where} ORDER BY id", value)]


def resolve_id(reader: AuditReader, name: str, unknown: Sequence[UnknownConsumer]) -> str:
    """Return the one id that begins so; a whole id is not looked up.

    Raises:
        SmartError: no row, or more than one, has such an id.
    """
    prefix = name.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},{ID_LENGTH}}}", prefix):
        raise SmartError(
            f"{name!r:.60} is no row's id: an id is {ID_LENGTH} hex digits, of which the first {SHORTEST_PREFIX} or "
            'more are enough; `smart audit text "..."` finds rows by their prompt or response'
        )
    if len(prefix) == ID_LENGTH:
        return prefix
    between = "WHERE id >= $p0 AND id < $p0 || 'g' ORDER BY id"  # lets row groups be passed over by their statistics
    ids = {
        id_
        for files in (reader.instances, reader.subsets)
        for (id_,) in reader.query(files, "DISTINCT id", between, prefix)
    }
    if not ids:
        raise SmartError(_no_such_row(prefix, unknown))
    if len(ids) > 1:
        raise SmartError(
            f"{len(ids)} rows have ids that begin with {prefix}: {', '.join(sorted(ids)[:_NAMED])}"
            f"{' ...' if len(ids) > _NAMED else ''}; give more digits"
        )
    return ids.pop()


def _no_such_row(name: str, unknown: Sequence[UnknownConsumer]) -> str:
    more = f"; of {len(unknown)} subsets and checkpoints it cannot be told any more" if unknown else ""
    return (
        f"no row of any source or subset in the store, now or in the past, has an id that begins with {name}{more}; "
        '`smart audit text "..."` finds rows by their prompt or response'
    )


def _traces(reader: AuditReader, ids: Sequence[str], cosines: dict[str, float]) -> list[RowTrace]:
    if not ids:
        return []
    stands, repeats, holds = row_histories(reader, ids), duplicates(reader, ids), row_uses(reader, ids)
    held, dropped = _by_id(holds.held), _by_id(holds.dropped)
    unseen = set(reader.project.settings.evaluate.unseen_tasks)
    tombstones = read_tombstones(reader.store).of(ids, [stands[id_][0].task if stands[id_] else "" for id_ in ids])
    return [
        RowTrace(
            id=id_,
            cosine=cosines.get(id_),
            standings=stands[id_],
            twins=repeats[id_],
            held_out=any(history.current and history.split == "validation" for history in stands[id_]),
            unseen=any(history.current and history.task in unseen for history in stands[id_]),
            held_by=tuple(held[id_]),
            dropped_by=tuple(dropped[id_]),
            forgotten=None if tombstone is None else f"on {tombstone.at:%Y-%m-%d} because {tombstone.reason}",
        )
        for id_, tombstone in zip(ids, tombstones, strict=True)
    ]


def _by_id(rows: Iterable[_Kept]) -> defaultdict[str, list[_Kept]]:
    by_id: defaultdict[str, list[_Kept]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    return by_id
