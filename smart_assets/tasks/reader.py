"""Reads a source, and tells cheaply whether it would have to be read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from smart_assets.core.errors import SourceError
from smart_assets.core.progress import Log, Progress
from smart_assets.tasks.collector import Collector, ReadContext
from smart_assets.tasks.earlier import Earlier
from smart_assets.tasks.files import FoundFile, Listing, hashed, is_as_found, list_folder
from smart_assets.tasks.forgotten import NOTHING, Forgotten
from smart_assets.tasks.formats import READERS, read_file
from smart_assets.tasks.hub import dataset_rows, load, local_folder, resolve_revision
from smart_assets.tasks.read_result import ReadResult, SourceFile
from smart_assets.tasks.rows import FieldNames
from smart_assets.tasks.sources import FolderSource, HuggingFaceSource, Source
from smart_assets.tasks.texts import EarlierTexts, Texts


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What makes reading cheaper. The result is the same without any of it."""

    scratch: Path | None = None  # a folder for texts, which must outlive the result; without it they stay in memory
    hashes: Path | None = None  # a file in which the hashes of files are remembered between processes
    earlier: Earlier | None = None  # of the same source under the same settings: unchanged files are not read again


def read_source(
    source: Source, root: Path, log: Log, options: ReadOptions = ReadOptions(), forgotten: Forgotten = NOTHING
) -> ReadResult:
    """Read a source: every row is accepted or rejected with a reason, and no bad row or file stops the rest.

    Paths of the source are relative to `root`. Files are hashed before they are read: one that changes meanwhile
    differs from its recorded hash afterwards, and so is read again. Rows that are `forgotten` are rejected as such.

    Raises:
        SourceError: The source as a whole cannot be read, two files give the same task, or no row is accepted.
    """
    context = ReadContext(source.path, FieldNames.from_columns(source.columns), source.task_prefix, log, forgotten)
    if isinstance(source, FolderSource):
        return _collect_folder(source, root, context, options)
    return _collect_dataset(source, root, context, options)


def source_state(source: Source, root: Path, memory: Path | None = None) -> dict[str, str]:
    """Return what of the outside world its rows depend on: it has to be read again only when this changes.

    For a folder, the SHA-256 of each file by its path; for a dataset on the hub, its commit under "revision".

    Args:
        source: The source.
        root: What its path is relative to.
        memory: A file in which hashes are remembered between processes; it need not exist.

    Raises:
        SourceError: The folder or dataset is missing or cannot be reached, or a file in it cannot be examined.
    """
    if isinstance(source, FolderSource):
        return hashes_of(source_files(source, root, memory))
    folder = local_folder(source, root)
    return hashes_of(hashed(_listed(folder).files, memory)) if folder else {"revision": resolve_revision(source)}


def hashes_of(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path."""
    return {file.path: file.sha256 for file in files}


def require_readable(path: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to take the rows of a file for gone only because it cannot be read now.

    Args:
        path: The source's path, for the message.
        before: The hashes of its files when they were read last.
        now: Their hashes now.

    Raises:
        SourceError: A file has no hash now and had one before.
    """
    if lost := [name for name, sha256 in now.items() if not sha256 and before.get(name)]:
        raise SourceError(
            f"source folder {path}: {_shown(lost)} cannot be read, and could be when it was read last. "
            "Grant access to it, mount its disk, or remove it."
        )


def source_files(source: FolderSource, root: Path, memory: Path | None = None) -> tuple[SourceFile, ...]:
    """Return the task files of a folder as they are now, sorted by path.

    Raises:
        SourceError: The folder or a file in it cannot be examined, or there are no task files.
    """
    return hashed(_task_files(source, root)[0], memory)


def last_change(source: Source, root: Path) -> datetime | None:
    """Return when a file or folder of a source last changed in any way; None for a dataset on the hub.

    Nothing is read, and it is the time at which the change came to this disk: copies that keep the times of their
    originals count as changed now. Whoever sees a change of this moment may wait for the rest of a file.

    Raises:
        SourceError: The folder or a file in it cannot be examined, or there are no task files.
    """
    folder = _folder_of(source, root) if isinstance(source, FolderSource) else local_folder(source, root)
    if folder is None:
        return None
    listing = _listed(folder)
    files = _readable(listing.files, folder) if isinstance(source, FolderSource) else listing.files
    newest = max([listing.folders_changed_ns, *(file.changed_ns for file in files)])
    return datetime.fromtimestamp(newest / 1e9, UTC)


def _collect_folder(source: FolderSource, root: Path, context: ReadContext, options: ReadOptions) -> ReadResult:
    found, others = _task_files(source, root)
    if others:
        context.log(f"source {source.path}: {len(others)} files of other formats left out: {', '.join(others)}")
    earlier, files = options.earlier, hashed(found, options.hashes)
    if earlier:
        require_readable(source.path, hashes_of(tuple(earlier.files.values())), hashes_of(files))
    reused = {file.path: earlier.files[file.path] for file in files if earlier.has(file)} if earlier else {}
    if earlier and reused:
        context.log(f"source {source.path}: {len(reused):,} of {len(files):,} files are as they were when last read")
    total = max(1, sum(file.bytes for file in files if file.path not in reused))
    texts = Texts(options.scratch, EarlierTexts(earlier.instances, earlier.ids) if earlier and reused else None)
    progress, collector, read = Progress(f"reading {source.path}", context.log), Collector(context, texts), 0
    taken: list[SourceFile] = []
    for file, as_hashed in zip(found, files, strict=True):
        if file.name in reused:
            collector.reuse_file(reused[file.name])
            taken.append(reused[file.name])
            continue

        def advance(done: float, before: int = read, size: int = as_hashed.bytes) -> None:
            progress.at(collector.rows_read, (before + done * size) / total)

        rows = read_file(Path(file.path), context.names, source.max_line_bytes)
        task = collector.add_file(file.name, rows, None if source.columns.task else file.stem, advance)
        # What was read of a file that changed meanwhile is not what was hashed: it must not be taken over later.
        sha256 = as_hashed.sha256 if is_as_found(file) else ""
        taken.append(replace(as_hashed, sha256=sha256, task=task))
        read += as_hashed.bytes
    return collector.finish(tuple(taken), None, earlier if reused else None)


def _collect_dataset(source: HuggingFaceSource, root: Path, context: ReadContext, options: ReadOptions) -> ReadResult:
    folder = local_folder(source, root)
    revision = None if folder else resolve_revision(source)
    files = hashed(_listed(folder).files, options.hashes) if folder else ()
    dataset = load(source, str(folder or source.path), revision)
    progress, collector = Progress(f"reading {source.path}", context.log), Collector(context, Texts(options.scratch))
    collector.add_file(
        f"{source.path}@{revision}" if revision else source.path,
        dataset_rows(dataset, context.names),
        None if source.columns.task else _dataset_task(source),
        lambda done: progress.at(collector.rows_read, done),
    )
    return collector.finish(files, revision, None)


def _dataset_task(source: HuggingFaceSource) -> str:
    name = PurePosixPath(source.path).name or source.path
    return f"{name}/{source.name}" if source.name else name


def _folder_of(source: FolderSource, root: Path) -> Path:
    return root / Path(source.path).expanduser()


def _task_files(source: FolderSource, root: Path) -> tuple[list[FoundFile], list[str]]:
    """Return the files of a known format, and the names of the others."""
    folder = _folder_of(source, root)
    found = _listed(folder).files
    return _readable(found, folder), [file.name for file in found if file.suffix not in READERS]


def _listed(folder: Path) -> Listing:
    """List a folder of which every file counts: a link to a folder may be one, so none may lead nowhere."""
    listing = list_folder(folder)
    if lost := [file.name for file in listing.files if file.status is None]:
        raise SourceError(
            f"source folder {folder}: {_shown(lost)} cannot be examined. Mount its disk, or remove the link."
        )
    return listing


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _readable(found: list[FoundFile], folder: Path) -> list[FoundFile]:
    task_files = [file for file in found if file.suffix in READERS]
    if not task_files:
        raise SourceError(
            f"source folder {folder} holds no task files among its {len(found)} files. "
            f"Put files ending in {', '.join(READERS)} there, or correct `path` of the source."
        )
    return task_files
