"""Which rows somebody means: by id, by task, by a text that stands in them, or by a condition; now or in the past."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from smart_assets.assets.declaration import NO_DIGEST
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import RawTasksSummary
from smart_assets.core.errors import SmartError
from smart_assets.core.formatting import count
from smart_assets.forgetting.where import Selected, select
from smart_assets.lineage.audit.groups import known_tasks, no_such
from smart_assets.lineage.audit.reader import ROWS, AuditReader
from smart_assets.lineage.audit.row_uses import unknown_consumers
from smart_assets.lineage.audit.rows import resolve_id
from smart_assets.tasks.forgotten import refusal_id, text_id

SHORTEST_MATCH = 4
_MATCHES = " OR ".join(
    f"contains(lower({column}), lower({text}))"
    for column, text in (("prompt", "$p0"), ("response", "$p0"), ("messages", "$p0"), ("messages", "$p1"))
)

_VALUES = "array_to_string(json_extract_string(kept, '$.*'), chr(10))"  # of any column; no names
_KEPT_MATCHES = " OR ".join(f"contains(lower({_VALUES}), lower({text}))" for text in ("$p0", "$p1"))


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """The rows that were asked for, as far as the store knows or knew them."""

    ids: tuple[str, ...]
    refused: tuple[str, ...]  # of refused rows, the ids of their excerpts
    task: str | None
    sources: tuple[str, ...]  # that have or had one of them
    not_covered: tuple[str, ...] = ()  # what is not read of rows, and was not looked through, or asked
    texts: tuple[str, ...] = ()  # what the rows say, by hash; none for a task, whose rows may stand in others, too

    @property
    def every(self) -> tuple[str, ...]:
        """Rows and refused rows."""
        return self.ids + self.refused


def by_ids(reader: AuditReader, names: Sequence[str]) -> ForgetRequest:
    """Return rows by their ids, or unique beginnings of these; with those that say the same under another task.

    Raises:
        SmartError: an id is none, or is that of no row or of several.
    """
    unknown = unknown_consumers(reader)
    ids = tuple(dict.fromkeys(resolve_id(reader, name, unknown) for name in names))
    repeats = reader.files(ROWS, "rejected.parquet", ORIGINS_FOLDER)
    known = {
        id_
        for files in (reader.instances, reader.subsets, repeats)
        for (id_,) in reader.query(files, "DISTINCT id", "WHERE id IN (SELECT unnest($p0))", list(ids))
    }
    if lost := [id_ for id_ in ids if id_ not in known]:
        raise SmartError(
            f"no row of any source or subset in the store, now or in the past, has the id {lost[0]}; "
            '`smart audit text "..."` finds rows by their prompt or response'
        )
    texts, ids = _said_by(reader, ids)
    return ForgetRequest(ids, (), None, sources_of(reader, ids, ()), texts=texts)


def by_task(reader: AuditReader, task: str) -> ForgetRequest:
    """Return all rows that a task has or had.

    Raises:
        SmartError: no source ever had such a task.
    """
    files = reader.files(ROWS, "tasks.parquet", ORIGINS_FOLDER)
    versions = [version for (version,) in reader.query(files, "DISTINCT version", "WHERE task = $p0", task)]
    ids = [id_ for (id_,) in reader.query(reader.instances, "DISTINCT id", "WHERE task = $p0 ORDER BY id", task)]
    if not versions and not ids:
        raise SmartError(no_such("task", task, known_tasks(reader), unknown_consumers(reader)))
    sources = {*sources_of(reader, ids, (), task), *_partitions(reader, versions)}
    return ForgetRequest(tuple(ids), (), task, tuple(sorted(sources)))


def by_text(reader: AuditReader, text: str) -> ForgetRequest:
    """Return all rows in whose prompt, response, turns or kept values a text stands, whatever its case.

    Also those of which an exact duplicate has it in its kept values, and refused ones by their excerpts.

    Raises:
        SmartError: the text is too short to mean anything, or stands nowhere.
    """
    if len(text.strip()) < SHORTEST_MATCH:
        raise SmartError(
            f"{text!r} stands in too many rows by chance: give {SHORTEST_MATCH} characters or more, or ids"
        )
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]  # as it stands in JSON
    rows = reader.query(reader.instances, "DISTINCT id", f"WHERE {_MATCHES}", text, quoted)
    excerpts = reader.query(
        reader.files(ROWS, "rejected.parquet", ORIGINS_FOLDER),
        "DISTINCT excerpt",
        "WHERE contains(lower(excerpt), lower($p0)) OR contains(lower(excerpt), lower($p1)) ORDER BY excerpt",
        text,
        quoted,
    )
    rows += reader.query(reader.kept, "DISTINCT id", f"WHERE {_KEPT_MATCHES}", text, quoted)
    not_covered = _not_looked_through(reader)
    if not rows and not excerpts:
        raise SmartError(
            "the text stands in no row of the store, now or in the past, whatever its case; what files hold that were "
            "not read yet is not looked through: `smart run` reads them" + "".join(f"\n{line}" for line in not_covered)
        )
    ids = tuple(sorted({id_ for (id_,) in rows}))
    refused = tuple(refusal_id(excerpt) for (excerpt,) in excerpts)
    texts, ids = _said_by(reader, ids)
    sources = sources_of(reader, ids, [excerpt for (excerpt,) in excerpts])
    return ForgetRequest(ids, refused, None, sources, not_covered, texts)


def _not_looked_through(reader: AuditReader) -> tuple[str, ...]:
    """Return, a sentence for each source as it is now, what its files hold that was not read."""
    lines: list[str] = []
    for item in reader.history.of(ROWS):
        not_read = RawTasksSummary.read(item.manifest).not_read if item.current else {}
        if not_read is None:
            lines.append(f"not looked through: what is not read of {item.manifest.partition}, which was not recorded")
        elif not_read:
            names = ", ".join(f"{name} ({count(rows, 'row')})" for name, rows in not_read.items())
            lines.append(f"not looked through, since it is not read: of {item.manifest.partition}: {names}")
    return tuple(sorted(lines))


def by_condition(reader: AuditReader, condition: str) -> tuple[ForgetRequest, Selected]:
    """Return the accepted rows that a condition of SQL means, and what it selected.

    With rows that say the same under another task.

    Raises:
        ConditionError: it cannot be answered.
        SmartError: it means no row.
    """
    selected = select(reader, condition)
    not_covered = tuple(lacking.in_words for lacking in selected.not_covered)
    if not selected.ids:
        raise SmartError(
            f"no accepted row in the store, now or in the past, is meant by --where {condition}; what files hold that "
            "were not read yet is not looked through: `smart run` reads them"
            + "".join(f"\n{line}" for line in not_covered)
        )
    texts, ids = _said_by(reader, selected.ids)
    return ForgetRequest(ids, (), None, sources_of(reader, ids, ()), not_covered, texts), selected


def _said_by(reader: AuditReader, ids: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what rows say, by hash, and all rows that say the same: these first, then those of other tasks."""
    chosen = "WHERE prompt_hash <> $p1 AND prompt_hash IN (SELECT unnest($p0))"
    hashes = reader.query(reader.instances, "DISTINCT prompt_hash", "WHERE id IN (SELECT unnest($p0))", list(ids))
    columns = "DISTINCT id, prompt, response, messages"
    rows = reader.query(reader.instances, columns, chosen, [value for (value,) in hashes], NO_DIGEST)
    said = {id_: text_id(*texts) for id_, *texts in rows}
    texts = {said[id_] for id_ in ids if id_ in said}
    twins = sorted(id_ for id_, text in said.items() if text in texts)
    return tuple(sorted(texts)), tuple(dict.fromkeys([*ids, *twins]))


def same_prompt(reader: AuditReader, ids: Sequence[str]) -> int:
    """Return how many other rows have the prompt of one of these; they stay, since they are rows of their own."""
    hashes = reader.query(reader.instances, "DISTINCT prompt_hash", "WHERE id IN (SELECT unnest($p0))", list(ids))
    rest = "WHERE prompt_hash IN (SELECT unnest($p0)) AND id NOT IN (SELECT unnest($p1))"
    known = [value for (value,) in hashes if value != NO_DIGEST]
    counts = reader.query(reader.instances, "count(DISTINCT id)", rest, known, list(ids))
    return counts[0][0] if counts else 0


def sources_of(
    reader: AuditReader, ids: Sequence[str], excerpts: Sequence[str], task: str | None = None
) -> tuple[str, ...]:
    """Return the sources that have or had some rows, by name; a row that is forgotten already counts where it stood.

    Args:
        reader: what is looked through.
        ids: of rows.
        excerpts: of refused rows.
        task: a task all of whose rows are meant.
    """
    chosen = "WHERE (id IN (SELECT unnest($p0)) OR task = $p1)"
    rejected = reader.files(ROWS, "rejected.parquet", ORIGINS_FOLDER)
    rest = f"{chosen} OR excerpt IN (SELECT unnest($p2))"
    versions = [
        *reader.query(reader.instances, "DISTINCT version", chosen, list(ids), task),
        *reader.query(rejected, "DISTINCT version", rest, list(ids), task, list(excerpts)),
    ]
    named = {source for (source,) in reader.query(reader.subsets, "DISTINCT source", chosen, list(ids), task)}
    return tuple(sorted(named | _partitions(reader, [version for (version,) in versions])))


def _partitions(reader: AuditReader, versions: Sequence[str]) -> set[str]:
    """Return the sources of some versions of rows or of their origins."""
    wanted, sources = set(versions), set[str]()
    for item in reader.history.of(ROWS):
        artifacts = item.manifest.artifacts
        if any(artifact.version in wanted for artifact in artifacts):
            sources.add(str(item.manifest.partition))
    return sources
