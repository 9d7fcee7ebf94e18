"""A folder of task files, read file by file."""

import functools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from smart_assets.core.errors import SourceError
from smart_assets.core.section import added_setting
from smart_assets.tasks.file_names import FORMATS
from smart_assets.tasks.files import Listing, hashed, is_as_found, list_all
from smart_assets.tasks.source_kind import NotRead, Part, Snapshot, SourceFile, SourceKind
from smart_assets.tasks.task_files import TRAIN, NameRule, Selection, TaskFile, select
from smart_assets.tasks.walk import FoundFile

FOLLOW_LINKS = "Whether links that lead out of the folder are followed; otherwise they are refused."
UNPACKED = (
    "A compressed file that unpacks to more than so many times its size, and to more than 100 MB, is refused, unread."
)


class FolderSource(SourceKind):
    """A folder of task files: JSON lines, JSON, CSV, TSV, Parquet or Arrow, found recursively."""

    kind: Literal["folder"] = Field(default="folder", description="A folder of task files.")
    path: str = Field(min_length=1, description="The folder, relative to the project's root or absolute.")
    max_line_bytes: int = Field(
        default=20_000_000, ge=1, le=2**31 - 1, description="A longer line of a JSONL or CSV file is rejected, unread."
    )
    max_unpacked_times: int = added_setting(250, UNPACKED, ge=1)
    split: Literal["train", "validation", "test"] = added_setting(
        TRAIN, "Which of the files whose names tell a split are read; `train` also reads those that tell none."
    )
    splits: Literal["by_name", "ignore"] = added_setting(
        "by_name", "Whether files and folders called `train`, `validation` or `test` are splits, or tasks of that name."
    )
    follow_links: bool = added_setting(False, FOLLOW_LINKS)

    by_file: ClassVar[bool] = True
    where: ClassVar[str] = "local"

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
        """Hash the task files. One that changes while it is read differs from its hash, and so is read again."""
        listing = list_all(self._folder(root), self.follow_links)
        selection, chosen = self._selection(listing, root)
        files = hashed(chosen, memory)
        return Snapshot(
            tuple(self._part(*part) for part in zip(selection.files, chosen, files, strict=True)),
            files,
            not_read=tuple(sorted([*listing.not_read, *selection.not_read], key=lambda file: file.name)),
            names=selection.names,
            notes=selection.notes,
        )

    def is_local(self, root: Path) -> bool:
        """Return True."""
        return True

    def last_change(self, root: Path) -> datetime | None:
        """Return when a task file or a folder last changed; files that are not read do not count."""
        listing = list_all(self._folder(root), self.follow_links)
        return listing.last_change(self._selection(listing, root)[1])

    def anchored(self, root: Path) -> Self:
        """Return the same source by an absolute path."""
        return self.model_copy(update={"path": str(self._folder(root))})

    def parameters_without_place(self, root: Path) -> dict[str, Any]:
        """Return the parameters without the path: a folder counts by the files in it."""
        return self.model_dump(mode="json", exclude={"license", "path"})

    def local_file(self, root: Path, name: str) -> Path | None:
        """Return the file in the folder."""
        return self._folder(root) / name

    def _folder(self, root: Path) -> Path:
        return root / Path(self.path).expanduser()

    def _selection(self, listing: Listing, root: Path) -> tuple[Selection, list[FoundFile]]:
        """Return which of the files are read, and these files."""
        folder = self._folder(root)
        rule = NameRule(folder.resolve().name, self.split, self.splits == "by_name", self.columns.task)
        try:
            selection = select([file.name for file in listing.files], rule)
        except SourceError as error:
            raise SourceError(f"source folder {folder}: {error}") from error
        if not selection.files:
            raise SourceError(f"source folder {folder} {_nothing_to_read(listing, selection.not_read, self.split)}")
        names = {file.name for file in selection.files}
        return selection, [file for file in listing.files if file.name in names]

    def _part(self, task_file: TaskFile, file_found: FoundFile, file: SourceFile) -> Part:
        from smart_assets.tasks.formats import FileLimits, read_file

        limits = FileLimits(self.max_line_bytes, self.max_unpacked_times)
        return Part(
            file_found.name,
            task_file.task,
            lambda names: read_file(Path(file_found.path), task_file.parsed, names, limits, task_file.columns),
            file,
            task_file.group,
            functools.partial(is_as_found, file_found),
        )


def _nothing_to_read(listing: Listing, not_read: Sequence[NotRead], split: str) -> str:
    """Return the end of a sentence that begins with the folder."""
    whys = sorted({file.reason for file in not_read})
    because = f" ({'; '.join(whys)})" if whys else ""
    if any(" split: " in why for why in whys):
        return (
            f"holds no files of the split {split} among its {len(listing.files)} files{because}. Name the split that "
            "is meant under `split`, or set `splits: ignore` where such names are tasks."
        )
    return (
        f"holds no task files among its {len(listing.files)} files{because}. Put files ending in {', '.join(FORMATS)} "
        "there, or correct `path` of the source."
    )
