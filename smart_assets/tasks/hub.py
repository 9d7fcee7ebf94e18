"""Datasets of the Hugging Face hub, or of a local folder in its layout, through the `datasets` library."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from smart_assets.core.errors import SourceError
from smart_assets.tasks import reasons
from smart_assets.tasks.files import find_folder
from smart_assets.tasks.raw_rows import BadRow, RawRow, arrow_rows
from smart_assets.tasks.rows import FieldNames
from smart_assets.tasks.sources import HuggingFaceSource

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH_ROWS = 1024
_COMMIT = re.compile(r"[0-9a-f]{40}")


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


def load(source: HuggingFaceSource, path: str, revision: str | None) -> "Dataset":
    """Return the split of a dataset, from the cache where it was loaded before.

    Raises:
        SourceError: There is no such dataset, configuration or split, it cannot be built, or cannot be reached.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        return load_dataset(path, source.name, split=source.split, revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise _refusal(source, error) from error


def dataset_rows(dataset: "Dataset", names: FieldNames) -> Iterator[RawRow | BadRow]:
    """Yield the rows of a dataset by index, from 0."""
    columns = names.wanted(dataset.column_names)
    if not columns:
        yield BadRow(None, reasons.FILE_NO_COLUMNS, ", ".join(dataset.column_names))
        return
    first = 0
    for batch in cast("Iterator[pa.Table]", dataset.select_columns(columns).with_format("arrow").iter(_BATCH_ROWS)):
        yield from arrow_rows(batch, first, dataset.num_rows, base=0)
        first += batch.num_rows


def _refusal(source: HuggingFaceSource, error: Exception) -> SourceError:
    cause = error.__cause__ or error
    return SourceError(
        f"dataset {source.path} (configuration {source.name}, split {source.split}, revision {source.revision}) "
        f"cannot be loaded: {cause}. Check these settings, the network, and for a private dataset HF_TOKEN."
    )
