"""One row, read as a source would read it."""

from typing import Any

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
