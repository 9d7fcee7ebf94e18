"""A folder of task files, read file by file."""

import functools
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from smart_assets.core.errors import SourceError
from smart_assets.tasks.file_names import DESCRIBES, is_description, why_not_read
from smart_assets.tasks.files import FoundFile, Listing, hashed, is_as_found, list_all
from smart_assets.tasks.source_kind import NotRead, Part, Snapshot, SourceFile, SourceKind


class FolderSource(SourceKind):
    """A folder of task files: JSONL, JSON, CSV or Parquet, found recursively."""

    kind: Literal["folder"] = Field(default="folder", description="A folder of task files.")
    path: str = Field(min_length=1, description="The folder, relative to the project's root or absolute.")
    max_line_bytes: int = Field(
        default=20_000_000, ge=1, le=2**31 - 1, description="A longer line of a JSONL or CSV file is rejected, unread."
    )

    by_file: ClassVar[bool] = True
    where: ClassVar[str] = "local"

    @property
    def label(self) -> str:
        """The folder as the settings name it."""
        return self.path

    def snapshot(self, root: Path, memory: Path | None = None) -> Snapshot:
        """Hash the task files. One that changes while it is read differs from its hash, and so is read again."""
        folder = self._folder(root)
        listing = list_all(folder)
        found, other_files = _by_format(listing, folder)
        files = hashed(found, memory)
        return Snapshot(
            tuple(self._part(*pair) for pair in zip(found, files, strict=True)),
            files,
            not_read=tuple(NotRead(file.name, _reason(file.name)) for file in other_files),
        )

    def is_local(self, root: Path) -> bool:
        """Return True."""
        return True

    def last_change(self, root: Path) -> datetime | None:
        """Return when a task file or a folder last changed; files of other formats do not count."""
        folder = self._folder(root)
        listing = list_all(folder)
        return listing.last_change(_by_format(listing, folder)[0])

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

    def _part(self, found: FoundFile, file: SourceFile) -> Part:
        from smart_assets.tasks.formats import read_file

        return Part(
            found.name,
            found.stem,
            lambda names: read_file(Path(found.path), names, self.max_line_bytes),
            file,
            functools.partial(is_as_found, found),
        )


def _reason(name: str) -> str:
    return DESCRIBES if is_description(name) else why_not_read(name)


def _by_format(listing: Listing, folder: Path) -> tuple[list[FoundFile], list[FoundFile]]:
    """Return the task files of a folder, and the files of other formats."""
    from smart_assets.tasks.formats import READERS

    task_files = [file for file in listing.files if file.suffix in READERS]
    if not task_files:
        raise SourceError(
            f"source folder {folder} holds no task files among its {len(listing.files)} files. "
            f"Put files ending in {', '.join(READERS)} there, or correct `path` of the source."
        )
    return task_files, [file for file in listing.files if file.suffix not in READERS]
