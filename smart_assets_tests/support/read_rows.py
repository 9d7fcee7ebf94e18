"""What a source reads: one row, or the files of a folder."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.rows import AcceptedRow, instance_of
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.unread import UnreadValues


def read_row(row: dict[str, Any], **columns: Any) -> tuple[AcceptedRow, str, set[str]]:
    """Return the instance, the layout's name, and the names of what is not read."""
    names = FieldNames(Columns(**columns))
    shape = names.shape(tuple(row))
    unread = UnreadValues([(name, row[name]) for name in shape.unread])
    instance = instance_of(row, shape, "task", unread)
    return instance, shape.layout.name, {*(name for name, _ in unread.columns), *(name for _, name, _ in unread.others)}


def read_folder(folder: Path, **settings: Any) -> tuple[ReadResult, list[str]]:
    """Return what a source of a folder gives under some settings, and its log."""
    log: list[str] = []
    return read_source(FolderSource(path=str(folder), **settings), Path("/nowhere"), log.append), log


def rows_of(result: ReadResult) -> pa.Table:
    """The accepted rows, put together from small batches."""
    return pa.concat_tables(result.instances(7))


def refusals(result: ReadResult) -> list[tuple[str, int | None, str]]:
    """File, line and reason of each rejected row."""
    return [(row["file"], row["line"], row["reason"]) for row in result.rejected.to_pylist()]
