"""Reads a source into a collection, and tells cheaply whether it would have to be read again."""

from pathlib import Path, PurePosixPath

from smart_assets.errors import SourceError
from smart_assets.progress import Log, Progress
from smart_assets.tasks.collection import Collection
from smart_assets.tasks.collector import Collector, Reading
from smart_assets.tasks.files import FoundFile, find_files, folder_state
from smart_assets.tasks.formats import READERS, read_file
from smart_assets.tasks.hub import dataset_rows, load, local_folder, resolve_revision
from smart_assets.tasks.rows import FieldNames
from smart_assets.tasks.sources import FolderSource, HuggingFaceSource, Source


def collect(source: Source, root: Path, log: Log) -> Collection:
    """Read a source: every row is accepted or rejected with a reason, and no bad row or file stops the rest.

    Paths of the source are relative to `root`. Files are hashed before they are read: one that changes meanwhile
    differs from its recorded hash afterwards, and so is read again.

    Raises:
        SourceError: The source as a whole cannot be read, two files give the same task, or no row is accepted.
    """
    reading = Reading(source.path, FieldNames.from_columns(source.columns), source.task_prefix, log)
    if isinstance(source, FolderSource):
        return _collect_folder(source, root, reading)
    return _collect_dataset(source, root, reading)


def source_state(source: Source, root: Path) -> dict[str, str]:
    """Return what of the outside world a collection depends on: it has to be read again only when this changes.

    For a folder, the SHA-256 of each file by its path; for a dataset on the hub, its commit under "revision".

    Raises:
        SourceError: The folder or dataset is missing or cannot be reached.
    """
    if isinstance(source, FolderSource):
        return {file.path: file.sha256 for file in (found.hashed() for found in _task_files(source, root)[0])}
    folder = local_folder(source, root)
    return folder_state(folder) if folder else {"revision": resolve_revision(source)}


def _collect_folder(source: FolderSource, root: Path, reading: Reading) -> Collection:
    found, others = _task_files(source, root)
    if others:
        reading.log(f"source {source.path}: {len(others)} files of other formats left out: {', '.join(others)}")
    files = tuple(file.hashed() for file in found)
    total = max(1, sum(file.bytes for file in files))
    progress, collector, read = Progress(f"reading {source.path}", reading.log), Collector(reading), 0
    for file, hashed in zip(found, files, strict=True):

        def advance(done: float, before: int = read, size: int = hashed.bytes) -> None:
            progress.at(collector.rows, (before + done * size) / total)

        rows = read_file(file.path, reading.names, source.max_line_bytes)
        collector.add_file(file.name, rows, None if source.columns.task else file.stem, advance)
        read += hashed.bytes
    return collector.finish(files, None)


def _collect_dataset(source: HuggingFaceSource, root: Path, reading: Reading) -> Collection:
    folder = local_folder(source, root)
    revision = None if folder else resolve_revision(source)
    files = tuple(file.hashed() for file in find_files(folder)) if folder else ()
    dataset = load(source, str(folder or source.path), revision)
    progress, collector = Progress(f"reading {source.path}", reading.log), Collector(reading)
    collector.add_file(
        f"{source.path}@{revision}" if revision else source.path,
        dataset_rows(dataset, reading.names),
        None if source.columns.task else _dataset_task(source),
        lambda done: progress.at(collector.rows, done),
    )
    return collector.finish(files, revision)


def _dataset_task(source: HuggingFaceSource) -> str:
    name = PurePosixPath(source.path).name or source.path
    return f"{name}/{source.name}" if source.name else name


def _task_files(source: FolderSource, root: Path) -> tuple[list[FoundFile], list[str]]:
    """Return the files of a known format, and the names of the others."""
    folder = root / Path(source.path).expanduser()
    found = find_files(folder)
    task_files = [file for file in found if file.path.suffix.lower() in READERS]
    if not task_files:
        raise SourceError(
            f"source folder {folder} holds no task files among its {len(found)} files. "
            f"Put files ending in {', '.join(READERS)} there, or correct `path` of the source."
        )
    return task_files, [file.name for file in found if file not in task_files]
