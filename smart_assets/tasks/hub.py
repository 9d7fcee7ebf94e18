"""Datasets of the Hugging Face hub, or of a local folder in its layout, through the `datasets` library."""

import re
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast
from urllib.parse import quote

from pydantic import Field

from smart_assets.core.errors import SourceError
from smart_assets.core.section import added_setting
from smart_assets.tasks.files import find_folder, hashed, list_all
from smart_assets.tasks.folder import FOLLOW_LINKS
from smart_assets.tasks.source_kind import Part, PublicDataset, Snapshot, SourceKind

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder

    from smart_assets.tasks.raw_rows import BadRow, RawRow
    from smart_assets.tasks.row_shape import FieldNames

_BATCH_ROWS = 1024
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HuggingFaceSource(SourceKind):
    """A dataset of the Hugging Face hub, or a local folder in its layout. Code in the dataset is never run."""

    kind: Literal["huggingface"] = Field(default="huggingface", description="A dataset of the Hugging Face hub.")
    path: str = Field(min_length=1, description="Name on the hub, or a folder if one of that path exists.")
    name: str | None = Field(default=None, min_length=1, description="Configuration (subset) of the dataset.")
    split: str = Field(default="train", min_length=1, description="Split to read.")
    revision: str | None = Field(
        default=None, min_length=1, description="Commit, tag or branch; always resolved to a commit, which is recorded."
    )

    follow_links: bool = added_setting(False, f"{FOLLOW_LINKS} Of a local folder.")

    where: ClassVar[str] = "of the hub"

    @property
    def label(self) -> str:
        """The dataset as the settings name it."""
        return self.path

    @property
    def only_task(self) -> str | None:
        """The dataset's name, unless a column names the tasks."""
        return None if self.columns.task is not None else self.task_prefix + self._task

    @property
    def _task(self) -> str:
        name = PurePosixPath(self.path).name or self.path
        return f"{name}/{self.name}" if self.name else name

    def snapshot(self, root: Path, memory: Path | None = None) -> Snapshot:
        """Hash the files of a local folder, or resolve the commit of a dataset on the hub."""
        folder = local_folder(self, root)
        revision = None if folder else resolve_revision(self)
        part = Part(
            self.whole_name(revision),
            self._task,
            lambda names: read_dataset(self, str(folder or self.path), revision, names),
        )
        if folder is None:
            return Snapshot((part,), revision=revision)
        listing = list_all(folder, self.follow_links)
        not_read = sorted(listing.not_read, key=lambda file: file.name)
        return Snapshot((part,), hashed(listing.files, memory), not_read=tuple(not_read))

    def is_local(self, root: Path) -> bool:
        """Return whether its path names a folder."""
        return self._folder(root).is_dir()

    def last_change(self, root: Path) -> datetime | None:
        """Return when a file or folder of a local dataset last changed; None for one on the hub."""
        folder = local_folder(self, root)
        return None if folder is None else (listing := list_all(folder, self.follow_links)).last_change(listing.files)

    def anchored(self, root: Path) -> Self:
        """Return the same dataset, by an absolute path where it is a folder."""
        return self.model_copy(update={"path": str(self._folder(root))}) if self.is_local(root) else self

    def parameters_without_place(self, root: Path) -> dict[str, Any]:
        """Return the parameters, without the path where it is a folder: that counts by the files in it."""
        exclude = {"license", "path"} if self.is_local(root) else {"license"}
        return self._recorded(exclude)

    def local_file(self, root: Path, name: str) -> Path | None:
        """Return the file in a local dataset's folder; None for a dataset on the hub."""
        return self._folder(root) / name if self.is_local(root) else None

    def public_dataset(self, revision: str | None) -> PublicDataset | None:
        """Return the dataset's page on the hub at its commit; None for a local folder, which has no commit."""
        if revision is None:
            return None
        url = f"https://huggingface.co/datasets/{quote(self.path)}/tree/{quote(revision, safe='')}"
        return PublicDataset(self.path, "Hugging Face hub", url, self.name, self.split, card_id=self.path)

    def _folder(self, root: Path) -> Path:
        return root / Path(self.path).expanduser()


def local_folder(source: HuggingFaceSource, root: Path) -> Path | None:
    """Return the folder the source's path names, or None where it is a name on the hub.

    Raises:
        SourceError: The path can only be meant as a folder, and there is none; or its disk does not answer.
    """
    folder = root / Path(source.path).expanduser()
    status = find_folder(folder)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return folder
    if source.path.startswith((".", "/", "~")):
        raise SourceError(f"dataset folder {folder} does not exist. Create it, or correct `path` of the source.")
    return None


def resolve_revision(source: HuggingFaceSource) -> str:
    """Return the commit that the source's revision (or the hub's main branch) stands at now.

    A full commit hash is taken as it is, so that a pinned dataset needs no network once it has been downloaded.

    Raises:
        SourceError: The dataset or the revision is not on the hub, or the hub cannot be reached.
    """
    if source.revision and _COMMIT.fullmatch(source.revision):
        return source.revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

    try:
        commit = HfApi().dataset_info(source.path, revision=source.revision).sha
    except (OSError, HTTPError, HFValidationError) as error:
        raise _refusal(source, error) from error
    if commit is None:
        raise SourceError(f"dataset {source.path}: the hub names no commit. Set `revision` to a full commit hash.")
    return commit


def read_dataset(
    source: HuggingFaceSource, path: str, revision: str | None, names: "FieldNames"
) -> "Iterator[RawRow | BadRow]":
    """Return the rows of a split by index, from 0: of files whose types others guess, by their own text.

    Raises:
        SourceError: There is no such dataset, configuration or split, it cannot be built, or cannot be reached.
    """
    from smart_assets.tasks.hub_files import GUESSED, rows_of_split

    builder = _builder(source, path, revision)
    try:
        rows = None if builder is None else rows_of_split(builder, source.split, is_local=revision is None)
    except (OSError, ValueError, SourceError) as error:
        raise _refusal(source, error) from error
    if rows is not None:
        return rows(names)
    dataset = load(source, path, revision)
    if builder is None and dataset.info.builder_name in GUESSED:
        raise _refusal(source, SourceError("its files are out of reach, and what is kept of them holds guessed types"))
    return dataset_rows(dataset, names)


def _builder(source: HuggingFaceSource, path: str, revision: str | None) -> "DatasetBuilder | None":
    """Return what knows the files of a dataset; None where those of the hub are out of reach.

    Raises:
        SourceError: There is no such folder, or no such configuration in it.
    """
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        return load_dataset_builder(path, source.name, revision=revision)
    # What a dataset says of itself in another form than `datasets` expects shows as errors of Python's own.
    except (OSError, ValueError, AttributeError, KeyError, TypeError, DatasetsError) as error:
        if revision is None:
            raise _refusal(source, error) from error
        return None  # loading it says why, unless it was loaded before


def load(source: HuggingFaceSource, path: str, revision: str | None) -> "Dataset":
    """Return the split of a dataset as the `datasets` library reads it, from its cache where it was loaded before.

    Raises:
        SourceError: There is no such dataset, configuration or split, it cannot be built, or cannot be reached.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        return load_dataset(path, source.name, split=source.split, revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise _refusal(source, error) from error


def dataset_rows(dataset: "Dataset", names: "FieldNames") -> "Iterator[RawRow | BadRow]":
    """Yield the rows of a dataset by index, from 0."""
    from smart_assets.tasks.raw_rows import BadRow, arrow_rows

    columns = names.wanted(dataset.column_names)
    if not columns:
        yield BadRow(None, names.why_unusable(dataset.column_names), ", ".join(dataset.column_names))
        return
    first = 0
    for batch in cast("Iterator[pa.Table]", dataset.with_format("arrow").iter(_BATCH_ROWS)):
        yield from arrow_rows(batch, first, dataset.num_rows, 0, columns)
        first += batch.num_rows


def _refusal(source: HuggingFaceSource, error: Exception) -> SourceError:
    cause = error.__cause__ or error
    return SourceError(
        f"dataset {source.path} (configuration {source.name}, split {source.split}, revision {source.revision}) "
        f"cannot be loaded: {cause}. Check these settings, the network, and for a private dataset HF_TOKEN."
    )
