"""Columns of tables as cheap values: of what is not read only as much as tells whether it is there and the same."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.tasks import reasons


def light(batch: pa.RecordBatch | pa.Table, first: int, read: Collection[str]) -> pa.RecordBatch | pa.Table:
    """Return a batch without what is costly as Python objects and is not read.

    Bytes, and whatever holds some, become a text that names the row: they count as there, and as unlike those of any
    other row. Lists of numbers become a digest.

    Args:
        batch: some rows of a table.
        first: the number of its first row.
        read: the columns that are read.
    """
    for place, field in enumerate(batch.schema):
        if _is_only_there(field, read):
            marks = pa.array([f"bytes of row {first + row}" for row in range(batch.num_rows)])
            column = pc.if_else(_has_value(batch.column(place)), marks, pa.scalar(None, pa.string()))
        elif field.name not in read and _is_list(field.type) and pa.types.is_primitive(field.type.value_type):
            column = pa.array(_digests(batch.column(place)), pa.string())
        else:
            continue
        batch = batch.set_column(place, pa.field(field.name, pa.string()), column)
    return batch


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names of which none stands twice: one that comes again is numbered, so that its column is not lost."""
    distinct: dict[str, None] = {}
    for name in names:
        number, other = 2, name
        while other in distinct:
            number, other = number + 1, f"{name} ({number})"
        distinct[other] = None
    return list(distinct)


def with_distinct_names(batch: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
    """Return a batch of which each column has a name of its own."""
    names = batch.schema.names
    return batch if len({*names}) == len(names) else batch.rename_columns(distinct_names(names))


def columns_to_load(file: pq.ParquetFile, read: Collection[str]) -> list[str]:
    """Return the columns of a file that are loaded: all, but where bytes stand beside other values only these."""
    loaded: list[str] = []
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    for field in file.schema_arrow:
        if _is_only_there(field, read):
            parts = [leaf for leaf in leaves if leaf.path == field.name or leaf.path.startswith(f"{field.name}.")]
            others = [leaf.path for leaf in parts if not _is_bytes(leaf)]
            loaded += others or [field.name]
        else:
            loaded.append(field.name)
    return loaded


def holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are bytes, or hold some however deep."""
    if pa.types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    if pa.types.is_nested(kind):
        return any(holds_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_only_there(field: pa.Field, read: Collection[str]) -> bool:
    """Return whether of a column's values no more is told than that they are there."""
    return field.name in reasons.MEDIA or (field.name not in read and holds_bytes(field.type))


def _is_bytes(leaf: Any) -> bool:
    return leaf.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and leaf.logical_type.type == "NONE"


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _has_value(column: pa.Array) -> pa.Array:
    full = pc.greater(pc.list_value_length(column), 0) if _is_list(column.type) else pc.is_valid(column)
    return pc.fill_null(full, False)


def _digests(column: pa.Array | pa.ChunkedArray) -> Iterator[str | None]:
    """Yield a digest of each list of numbers, null for one that is empty."""
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        offsets = chunk.offsets.to_pylist()
        numbers = chunk.values
        for row, valid in enumerate(chunk.is_valid().to_pylist()):
            part = numbers.slice(offsets[row], offsets[row + 1] - offsets[row])
            if not valid or not len(part):
                yield None
                continue
            content = pc.fill_null(part, 0).to_numpy(zero_copy_only=False).tobytes()
            yield hashlib.blake2b(content, digest_size=8).hexdigest()
