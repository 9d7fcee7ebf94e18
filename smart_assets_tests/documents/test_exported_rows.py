"""The rows of an export: turns with the response as the last one, tools, in each form."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import StoreError
from smart_assets.documents.export import write_subset
from smart_assets.documents.exported_rows import exported_rows, exported_table
from smart_assets_tests.support.exported_subsets import (
    ANSWERED,
    ASKING,
    CALL,
    OSLO,
    ROWS,
    SYSTEM,
    TOOL_ROWS,
    TOOLS,
    USER,
    WARM,
    WHERE,
    row_of,
    stored,
    subset_of,
)

TURNS = [
    [USER, WARM],
    [SYSTEM, USER, WARM],
    [USER, WHERE, OSLO, WARM],
    [SYSTEM, USER, ASKING, ANSWERED, WARM],
    [USER, ASKING],
]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "folder"])
def test_every_form_holds_each_turn_and_tool(tmp_path: Path, name: str) -> None:
    subset = subset_of([*ROWS, *TOOL_ROWS])
    write_subset(subset, tmp_path / name)
    if name == "out.jsonl":
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert [line["messages"] for line in lines] == TURNS
        assert [line.get("tools") for line in lines] == [None, None, None, TOOLS, TOOLS]
    import datasets

    kind = {"out.jsonl": "json", "out.parquet": "parquet"}.get(name)
    loaded = datasets.load_dataset(
        kind or str(tmp_path / name),
        data_files=str(tmp_path / name) if kind else None,
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    found = [[{key: value for key, value in turn.items() if value} for turn in chat] for chat in loaded["messages"]]
    assert found == [[{key: value for key, value in turn.items() if value} for turn in chat] for chat in TURNS]
    tools = [json.loads(value) if isinstance(value, str) else value for value in loaded["tools"]]
    assert tools == [None, None, None, TOOLS, TOOLS]
    assert loaded["id"] == [f"{number:032x}" for number in range(1, 6)]


def test_rows_without_tools_have_turns_of_role_and_content_alone() -> None:
    table = exported_table(subset_of(ROWS).rows)
    assert table.schema.field("messages").type == pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    assert "tools" not in table.column_names
    assert table["messages"].to_pylist() == TURNS[:3]


def test_a_mixture_without_chats_has_messages_too(tmp_path: Path) -> None:
    write_subset(subset_of(ROWS[:1]), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["messages"].to_pylist() == TURNS[:1]
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert list(frame["messages"][0]) == TURNS[0]


def test_the_folder_has_a_configuration_of_chats_alone(tmp_path: Path) -> None:
    import datasets

    for rows, columns in ((ROWS, ["messages"]), ([*ROWS, *TOOL_ROWS], ["messages", "tools"])):
        folder = tmp_path / f"{len(rows)}"
        write_subset(subset_of(rows), folder)
        loaded = datasets.load_dataset(str(folder), "chats", split="train", cache_dir=str(tmp_path / "cache"))
        assert (loaded.column_names, loaded.num_rows) == (columns, len(rows))


def test_equal_subsets_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet", "a/data/train-00000-of-00001.parquet"):
        for folder in ("one", "other"):
            write_subset(subset_of([*ROWS, *TOOL_ROWS]), tmp_path / folder / name.partition("/")[0])
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_response_of_calls_alone_says_nothing() -> None:
    *_, row = exported_rows(subset_of([*ROWS, *TOOL_ROWS]).rows)
    assert row.response == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert row.before == (USER,)


def test_a_turn_with_more_than_is_known_is_refused() -> None:
    rows = [row_of(7, messages=stored([{**USER, "mood": "bad"}]))]
    with pytest.raises(StoreError, match=rf"row {7:032x} hold \['mood'\], which this version cannot export"):
        exported_table(subset_of(rows).rows)


def test_croissant_describes_turns_with_calls(tmp_path: Path) -> None:
    import mlcroissant

    write_subset(subset_of([*ROWS, *TOOL_ROWS]), tmp_path / "folder")
    dataset = mlcroissant.Dataset(tmp_path / "folder" / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    [fields] = [field for field in dataset.metadata.record_sets[0].fields if field.name == "messages"]
    assert [field.name for field in fields.sub_fields] == ["role", "content", "name", "tool_calls", "tool_call_id"]
    records = list(dataset.records("instances"))
    assert json.loads(records[3]["instances/tools"]) == TOOLS
    assert [turn["instances/messages/role"] for turn in records[1]["instances/messages"]] == [
        b"system",
        b"user",
        b"assistant",
    ]
