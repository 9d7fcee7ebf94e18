"""Values of the Arrow type JSON are read as what they say, wherever they stand."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.tasks.arrow_json import decoders
from smart_assets_tests.support.read_rows import read_folder, rows_of

JSON, TEXT = pa.json_(), pa.string()


@pytest.mark.parametrize(
    ("texts", "kind", "storage", "said"),
    [
        pytest.param('{"a": [1]}', JSON, TEXT, {"a": [1]}, id="object"),
        pytest.param('"text"', JSON, TEXT, "text", id="text"),
        pytest.param(None, JSON, TEXT, None, id="null"),
        pytest.param("{no", JSON, TEXT, "{no", id="no JSON after all"),
        pytest.param("[" * 100_000, JSON, TEXT, "[" * 100_000, id="too deep"),
        pytest.param(['{"a": 1}', None], pa.list_(JSON), pa.list_(TEXT), [{"a": 1}, None], id="list"),
        pytest.param(None, pa.list_(JSON), pa.list_(TEXT), None, id="null list"),
        pytest.param(
            [{"x": "1", "y": ["2", '"3"']}, None],
            pa.list_(pa.struct({"x": TEXT, "y": pa.list_(JSON)})),
            pa.list_(pa.struct({"x": TEXT, "y": pa.list_(TEXT)})),
            [{"x": "1", "y": [2, "3"]}, None],
            id="in structs of a list",
        ),
    ],
)
def test_values_become_what_they_say(texts: Any, kind: pa.DataType, storage: pa.DataType, said: Any) -> None:
    table = pa.table({"value": pa.array([texts], storage).cast(kind), "other": ["{}"]})
    decode = decoders(table.schema)
    assert decode.keys() == {"value"}
    assert decode["value"](table["value"].to_pylist()[0]) == said


def test_a_parquet_file_of_turns_as_json_is_read(tmp_path: Path) -> None:
    turns = [['{"role": "user", "content": "u"}', '{"role": "assistant", "content": "a"}']]
    messages = pa.array(turns, pa.list_(TEXT)).cast(pa.list_(JSON))
    pq.write_table(pa.table({"messages": messages}), tmp_path / "chats.parquet")
    [row] = rows_of(read_folder(tmp_path)[0]).to_pylist()
    assert (row["prompt"], row["response"], row["messages"]) == ("u", "a", None)
