"""Parquet as artifacts hold it: one way to write, so that equal tables are equal bytes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65_536  # rows; fixed, since it is part of the bytes


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table without pandas' or the writer's own notes, so that its content alone decides its version."""
    pq.write_table(
        table.replace_schema_metadata(None), path, compression="zstd", row_group_size=ROW_GROUP, store_schema=False
    )
