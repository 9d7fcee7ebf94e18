from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import TrainingError
from smart_assets.training.formatting import ChatInstance, load_instances


def rows_table(**columns: Any) -> pa.Table:
    text = {name: pa.array(["x"], pa.string()) for name in ("id", "task", "prompt", "response", "messages")}
    return pa.table({name: column for name, column in (text | columns).items() if column is not None})


def test_instances_are_read_in_row_order(tmp_path: Path) -> None:
    table = rows_table(messages=pa.array([None], pa.string()))
    pq.write_table(pa.concat_tables([table, rows_table(id=pa.array(["y"]))]), tmp_path / "rows.parquet")
    assert load_instances(tmp_path / "rows.parquet") == [
        ChatInstance("x", "x", "x", "x", None),
        ChatInstance("y", "x", "x", "x", "x"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(None, "there is no such file", id="missing file"),
        pytest.param(b"not Parquet", "cannot be read as Parquet", id="not Parquet"),
        pytest.param(rows_table(task=None, response=None), "lacks task, response", id="missing columns"),
        pytest.param(rows_table().slice(0, 0), "holds no instance", id="no row"),
        pytest.param(rows_table(prompt=pa.array([None], pa.string())), "prompt must not be null; 1 of 1", id="null"),
        pytest.param(rows_table(id=pa.array([3])), "column id must hold text; it holds int64", id="not text"),
    ],
)
def test_bad_row_files_are_refused(tmp_path: Path, table: pa.Table | bytes | None, message: str) -> None:
    path = tmp_path / "rows.parquet"
    if isinstance(table, bytes):
        path.write_bytes(table)
    elif table is not None:
        pq.write_table(table, path)
    with pytest.raises(TrainingError, match=rf"rows\.parquet.*{message}"):
        load_instances(path)
