"""A folder of task files, read file by file."""

import functools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from smart_assets.core.errors import SourceError, StoreError
from smart_assets.core.section import added_setting
from smart_assets.store.url_folder import UrlFile, UrlFolder, checked_url, copies_of, is_url, without_scheme
from smart_assets.tasks.file_names import FORMATS, HIDDEN
from smart_assets.tasks.file_rows import FileLimits, FileRows
from smart_assets.tasks.files import hashed, is_as_found, list_all
from smart_assets.tasks.source_kind import NotRead, Part, Snapshot, SourceFile, SourceKind
from smart_assets.tasks.task_files import TRAIN, FileSelection, NameRule, TaskFile, select
from smart_assets.tasks.walk import FoundFile, printable

FOLLOW_LINKS = "Whether links that lead out of the folder are followed; otherwise they are refused."
UNPACKED = (
    "A compressed file that unpacks to more than so many times its size, and to more than 100 MB, is refused, unread."
)
_LIMITS = FileLimits()


class FolderSource(SourceKind):
    """A folder of task files: JSON lines, JSON, CSV, TSV, Parquet or Arrow, found recursively."""

    kind: Literal["folder"] = Field(default="folder", description="A folder of task files.")
    path: Annotated[str, AfterValidator(checked_url)] = Field(
        min_length=1,
        description="The folder, relative to the project's root or absolute, or an fsspec URL such as "
        "`s3://bucket/prefix`.",
    )
    max_line_bytes: int = Field(
        default=_LIMITS.max_line_bytes,
        ge=1,
        le=2**31 - 1,
        description="A longer line of a JSONL or CSV file is rejected, unread.",
    )
    max_unpacked_times: int = added_setting(_LIMITS.max_unpacked_times, UNPACKED, ge=1)
    split: Literal["train", "validation", "test"] = added_setting(
        TRAIN, "Which of the files whose names tell a split are read; `train` also reads those that tell none."
    )
    splits: Literal["by_name", "ignore"] = added_setting(
        "by_name", "Whether files and folders called `train`, `validation` or `test` are splits, or tasks of that name."
    )
    follow_links: bool = added_setting(False, FOLLOW_LINKS)

    by_file: ClassVar[bool] = True

    @property
    def where(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where its rows lie, in a word or two."""
        return "at a URL" if is_url(self.path) else "local"

    @model_validator(mode="after")
    def _split_is_told(self) -> Self:
        if self.splits == "ignore" and self.split != TRAIN:
            raise ValueError(f"split {self.split} would read nothing under `splits: ignore`: take one of them out")
        return self

    @property
    def label(self) -> str:
        """The folder as the settings name it."""
        return self.path

    def snapshot(self, root: Path, memory: Path | None = None) -> Snapshot:
        """Hash the task files. One that changes while it is read differs from its hash, and so is read again.

        Those of a URL are fetched first, into a folder beside `memory`, where they are not there in their state.
        """
        if is_url(self.path):
            return self._snapshot_of_url(memory)
        listing = list_all(self._folder(root), self.follow_links)
        selection, chosen = self._selected(listing.files, root)
        return self._snapshot(selection, chosen, hashed(chosen, memory), listing.not_read)

    def is_local(self, root: Path) -> bool:
        """Return whether its path is no URL."""
        return not is_url(self.path)

    def last_change(self, root: Path) -> datetime | None:
        """Return when a task file or a folder last changed; files that are not read do not count.

        Of a URL it is the time that the store gives, if any.
        """
        if is_url(self.path):
            changes = [file.modified for file in self._selection_of_url()[2] if file.modified is not None]
            return max(changes, default=None)
        listing = list_all(self._folder(root), self.follow_links)
        return listing.last_change(self._selected(listing.files, root)[1])

    def anchored(self, root: Path) -> Self:
        """Return the same source by an absolute path or its URL."""
        return self if is_url(self.path) else self.model_copy(update={"path": str(self._folder(root))})

    def parameters_without_place(self, root: Path) -> dict[str, Any]:
        """Return the parameters without the path: a folder counts by the files in it."""
        return self._recorded({"license", "path"})

    def local_file(self, root: Path, name: str) -> Path | None:
        """Return the file in the folder; None where that is a URL."""
        return None if is_url(self.path) else self._folder(root) / name

    def _folder(self, root: Path) -> Path:
        return root / Path(without_scheme(self.path)).expanduser()

    def _snapshot(
        self,
        selection: FileSelection,
        chosen: Sequence[FoundFile],
        files: tuple[SourceFile, ...],
        not_read: Sequence[NotRead],
        held: object = None,
    ) -> Snapshot:
        return Snapshot(
            tuple(self._part(*part) for part in zip(selection.files, chosen, files, strict=True)),
            files,
            not_read=tuple(sorted([*not_read, *selection.not_read], key=lambda file: file.name)),
            names=selection.names,
            held=held,
        )

    def _snapshot_of_url(self, memory: Path | None) -> Snapshot:
        folder, selection, files, hidden = self._selection_of_url()
        cache = memory and memory.with_suffix(".files")
        try:
            copies = copies_of(folder, files, cache)
        except StoreError as error:
            raise SourceError(f"source {self.label}: {error}") from error
        pairs = zip(copies.paths, selection.files, strict=True)
        chosen = [FoundFile(str(path), file.name, path.stat()) for path, file in pairs]
        return self._snapshot(selection, chosen, hashed(chosen, memory), hidden, copies)

    def _selection_of_url(self) -> tuple[UrlFolder, FileSelection, list[UrlFile], list[NotRead]]:
        """Return the folder, which of its files are read, these files, and those that are hidden."""
        try:
            folder = UrlFolder(self.path)
            files = {printable(file.name): file for file in folder.files()}
        except StoreError as error:
            raise SourceError(f"source {self.label}: {error}") from error
        is_hidden = {name: any(part.startswith(".") for part in name.split("/")) for name in files}
        selection = self._selection([name for name in files if not is_hidden[name]], self.path.rstrip("/"))
        hidden = [NotRead(name, HIDDEN) for name in files if is_hidden[name]]
        return folder, selection, [files[file.name] for file in selection.files], hidden

    def _selected(self, files: Sequence[FoundFile], root: Path) -> tuple[FileSelection, list[FoundFile]]:
        """Return which of the files are read, and these files."""
        selection = self._selection([file.name for file in files], str(self._folder(root).resolve()))
        names = {file.name for file in selection.files}
        return selection, [file for file in files if file.name in names]

    def _selection(self, names: Sequence[str], place: str) -> FileSelection:
        rule = NameRule(place.rpartition("/")[2], self.split, self.splits == "by_name", self.columns.task)
        try:
            selection = select(names, rule)
        except SourceError as error:
            raise SourceError(f"source folder {place}: {error}") from error
        if not selection.files:
            raise SourceError(f"source folder {place} {_nothing_to_read(len(names), selection.not_read, self.split)}")
        return selection

    def _part(self, task_file: TaskFile, file_found: FoundFile, file: SourceFile) -> Part:
        limits = FileLimits(self.max_line_bytes, self.max_unpacked_times)
        rows = FileRows(file_found.path, task_file.parsed, task_file.columns, limits)
        unchanged = functools.partial(is_as_found, file_found)
        return Part(file_found.name, task_file.task, rows, file, task_file.group, unchanged)


def _nothing_to_read(count: int, not_read: Sequence[NotRead], split: str) -> str:
    """Return the end of a sentence that begins with the folder."""
    whys = sorted({file.reason for file in not_read})
    because = f" ({'; '.join(whys)})" if whys else ""
    if any(" split: " in why for why in whys):
        return (
            f"holds no files of the split {split} among its {count} files{because}. Name the split that "
            "is meant under `split`, or set `splits: ignore` where such names are tasks."
        )
    return (
        f"holds no task files among its {count} files{because}. Put files ending in {', '.join(FORMATS)} "
        "there, or correct `path` of the source."
    )
