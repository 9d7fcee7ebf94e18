"""Reads a source of any kind: its parts in their order, those of unchanged files from an earlier result."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path

from smart_assets.core.errors import SourceError
from smart_assets.core.progress import Log, Progress
from smart_assets.tasks.collector import Collector, ReadContext
from smart_assets.tasks.earlier import Earlier
from smart_assets.tasks.file_rows import FileRows
from smart_assets.tasks.files import first_names
from smart_assets.tasks.forgotten import NOTHING, Forgotten
from smart_assets.tasks.judge import Chunk, FileVerdict, JudgeRules, RowJudge
from smart_assets.tasks.licences import LicenceGate
from smart_assets.tasks.raw_rows import BadRow, RawRow
from smart_assets.tasks.read_result import NoRowsError, ReadResult
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.shared_reading import WORTH_BYTES, FileToRead, ReadPiece, read_shared
from smart_assets.tasks.source_kind import Part, Snapshot, SourceFile, SourceKind, hashes_of
from smart_assets.tasks.texts import EarlierTexts, Texts
from smart_assets.tasks.work_pool import WorkPool
from smart_assets.tasks.worker import rules_as_json


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What makes reading cheaper. The result is the same without any of it."""

    scratch: Path | None = None  # a folder for texts, which must outlive the result; without it they stay in memory
    hashes: Path | None = None  # a file in which the hashes of files are remembered between processes
    earlier: Earlier | None = None  # of the same source under the same settings: unchanged files are not read again
    pool: WorkPool | None = None  # processes that read much at once; they need `scratch`


def read_source(
    source: SourceKind, root: Path, log: Log, options: ReadOptions = ReadOptions(), forgotten: Forgotten = NOTHING
) -> ReadResult:
    """Read a source: every row is accepted or rejected with a reason, and no bad row or file stops the rest.

    Paths of the source are relative to `root`. Rows that are `forgotten` are rejected as such.

    Raises:
        SourceError: The source as a whole cannot be read, or two files give the same task.
        NoRowsError: No row is accepted.
    """
    gate = source.licences and LicenceGate.from_settings(source.licences, source.license)
    context = ReadContext(source.label, source.task_prefix, log, forgotten, gate)
    snapshot, earlier = source.snapshot(root, options.hashes), options.earlier
    _log_files(source.label, snapshot, log)
    if earlier:
        require_readable(source.label, hashes_of(tuple(earlier.files.values())), hashes_of(snapshot.files))
    files = {file.path: file for file in snapshot.files}
    reused = _reused(source, snapshot, earlier) if earlier else {}
    if earlier and reused:
        log(f"source {source.label}: {len(reused):,} of {len(files):,} files are as they were when last read")
    texts = Texts(options.scratch, EarlierTexts(earlier.instances, earlier.ids) if earlier and reused else None)
    collector = Collector(context, texts)
    readings = _readings(source, [part for part in snapshot.parts if part.name not in reused], options, context)
    for part in snapshot.parts:
        group = part.group or part.name
        if part.name in reused:
            collector.reuse_file(reused[part.name], group)
            files[part.name] = reused[part.name]
            continue
        verdict = FileVerdict()
        for chunk, verdict in next(readings):  # noqa: B007  (the last one counts)
            collector.add_chunk(chunk)
        task = collector.end_file(part.name, group, _default_task(source, part), verdict)
        if part.file:
            files[part.file.path] = _as_read(part.file, task, part.is_unchanged())
    collector.log_absent(source.columns.named)
    try:
        result = collector.finish(tuple(files.values()), snapshot.revision, earlier if reused else None)
    except NoRowsError as error:
        raise NoRowsError(str(error), replace(error.result, not_read=snapshot.not_read)) from None
    return replace(result, not_read=snapshot.not_read)


_Reading = Iterator[tuple[Chunk, FileVerdict]]  # of a part: the chunks of its rows, each with the verdict up to it


def _readings(
    source: SourceKind, parts: Sequence[Part], options: ReadOptions, context: ReadContext
) -> Iterator[_Reading]:
    """Yield the reading of each part, in one process or in several."""
    sizes = [part.file.bytes if part.file else 1 for part in parts]
    advance = _advance(context, sizes)
    shared = [FileToRead(part.rows, _default_task(source, part)) for part in parts if isinstance(part.rows, FileRows)]
    pool, scratch = options.pool, options.scratch
    if pool and scratch and pool.processes > 1 and len(shared) == len(parts) and sum(sizes) >= WORTH_BYTES:
        rules = rules_as_json(source.columns, source.task_prefix, context.forgotten.texts, context.licences)
        pieces = read_shared(shared, rules, pool, scratch)
        for place, of_file in groupby(pieces, key=lambda piece: piece.place):
            yield _shared_reading(place, of_file, advance)
        return
    names = FieldNames(source.columns, context.licences)
    rules = JudgeRules(names, source.task_prefix, context.forgotten.texts, context.licences)
    for place, part in enumerate(parts):
        yield _own_reading(place, RowJudge(rules, _default_task(source, part)), part.rows(rules.names), advance)


def _shared_reading(place: int, pieces: Iterator[ReadPiece], advance: "_Advance") -> _Reading:
    verdict = FileVerdict()
    for piece in pieces:
        verdict.add(piece.verdict)
        advance(place, piece.chunk)
        yield piece.chunk, verdict


def _own_reading(place: int, judge: RowJudge, rows: Iterable[RawRow | BadRow], advance: "_Advance") -> _Reading:
    for chunk in judge.chunks(rows):
        advance(place, chunk)
        yield chunk, judge.verdict


_Advance = Callable[[int, Chunk], None]


def _advance(context: ReadContext, sizes: Sequence[int]) -> _Advance:
    """Return what tells of a chunk that was read of the part at a place."""
    progress, total = Progress(f"reading {context.label}", context.log), max(1, sum(sizes))
    before = list(accumulate(sizes, initial=0))
    rows = 0

    def advance(place: int, chunk: Chunk) -> None:
        nonlocal rows
        rows += chunk.rows
        progress.at(rows, (before[place] + chunk.done * sizes[place]) / total)

    return advance


def require_readable(label: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to take the rows of a file for gone only because it cannot be read now.

    Args:
        label: The source, for the message.
        before: The hashes of its files when they were read last.
        now: Their hashes now.

    Raises:
        SourceError: A file has no hash now and had one before.
    """
    if lost := [name for name, sha256 in now.items() if not sha256 and before.get(name)]:
        raise SourceError(
            f"source folder {label}: {first_names(lost)} cannot be read, and could be when it was read last. "
            "Grant access to it, mount its disk, or remove it."
        )


def _default_task(source: SourceKind, part: Part) -> str | None:
    return None if source.columns.task else part.default_task


def _reused(source: SourceKind, snapshot: Snapshot, earlier: Earlier) -> dict[str, SourceFile]:
    """Return the files whose rows are those of an earlier result; not where another task comes of the same name."""
    reused: dict[str, SourceFile] = {}
    for part in snapshot.parts:
        if part.file is not None and earlier.has(part.file):
            before = earlier.files[part.name]
            if before.task in (None, source.task_prefix + (_default_task(source, part) or "")):
                reused[part.name] = before
    return reused


def _log_files(label: str, snapshot: Snapshot, log: Log) -> None:
    """Name the files that are not read, a line for each reason; `files.json` holds all of them."""
    names: dict[str, list[str]] = {}
    for file in snapshot.not_read:
        names.setdefault(file.reason, []).append(file.name)
    for reason, files in names.items():
        log(f"source {label}: {len(files):,} file{'s' * (len(files) > 1)} not read: {first_names(files)} ({reason})")


def _as_read(file: SourceFile, task: str | None, unchanged: bool) -> SourceFile:
    """Return the record of a file; what was read of one that changed meanwhile is not what was hashed."""
    return replace(file, sha256=file.sha256 if unchanged else "", task=task)
