"""What leaves comes back: an export that is read as a source gives the same rows."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.documents.export import write_subset
from smart_assets.documents.trainers.write import TRAINERS, write_for
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.source_kind import Columns
from smart_assets_tests.support.exported_subsets import ANSWERED, ASKING, SYSTEM, TOOLS, USER, subset_of

KEPT = ["id", "task", "template", "prompt", "response", "messages"]
FORMS = ["rows.jsonl", "rows.parquet", "folder"]

# What breaks lines, quotes and columns in one program or another.
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from(
    "\n\r\t\x85\u2028\"',\\{["
)
tricky = st.sampled_from(["null", "NA", "[1]", '{"a": 1}', '[{"role": "user", "content": "x"}]', " a ", "user: a", '"'])
text = st.builds("{}{}".format, st.sampled_from("a7é"), st.text(letters, max_size=10)) | tricky
arguments = st.dictionaries(text, st.integers(-5, 5) | text | st.booleans() | st.lists(text, max_size=2), max_size=2)
calls = st.lists(
    st.builds(
        lambda name, values, more: {"type": "function", "function": {"name": name, "arguments": values}, **more},
        text,
        arguments,
        st.fixed_dictionaries({}, optional={"id": text}),
    ),
    min_size=1,
    max_size=2,
)
said = st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "tool"]), text)
answered = st.builds(lambda content: {"role": "assistant", "content": content}, text)
called = st.builds(lambda made: {"role": "assistant", "content": "", "tool_calls": made}, calls)
system = st.builds(lambda content: {"role": "system", "content": content}, text)
tooled = st.builds(lambda turn, call: turn | {"role": "tool", "tool_call_id": call, "name": "f"}, said, text)


@st.composite
def chats(draw: st.DrawFn, tools: bool) -> dict[str, Any]:
    """A row with `messages`."""
    turn = said | answered | called | tooled if tools else said | answered
    turns = [*draw(st.lists(system, max_size=1)), draw(said), *draw(st.lists(turn, max_size=3))]
    row: dict[str, Any] = {"messages": [*turns, draw(answered | called if tools else answered)]}
    return row | ({"tools": TOOLS} if tools and draw(st.booleans()) else {})


pairs = st.builds(lambda prompt, response: {"prompt": prompt, "response": response}, text, text)


def rows(tools: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.builds(
        lambda row, task, template: {**row, "task": task, "template": template},
        pairs | chats(tools),
        st.sampled_from(["one", "two/three"]),
        st.sampled_from(["", "short", "null"]),
    )
    return st.lists(row, min_size=1, max_size=6)


def read(folder: Path) -> ReadResult:
    return read_source(FolderSource(path=str(folder), columns=Columns(task="task")), folder, lambda _: None)


def instances(result: ReadResult) -> pa.Table:
    return pa.concat_tables(result.instances(1000)).select(KEPT).combine_chunks()


def exported(given_rows: Sequence[Mapping[str, Any]], folder: Path) -> Any:
    """The rows as they were accepted, and a subset of all of them."""
    (folder / "given").mkdir()
    lines = "".join(f"{json.dumps(row)}\n" for row in given_rows)
    (folder / "given" / "rows.jsonl").write_text(lines)
    accepted = instances(read(folder / "given"))
    return accepted, subset_of(
        [{**row, "source": "small", "rank": rank, "gain": 0.5} for rank, row in enumerate(accepted.to_pylist())]
    )


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(given_rows=rows(tools=True))
def test_an_export_that_is_read_gives_the_same_rows(form: str, given_rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        accepted, subset = exported(given_rows, Path(name))
        (Path(name) / "exported").mkdir()
        write_subset(subset, Path(name) / "exported" / form)
        result = read(Path(name) / "exported")
        assert instances(result).to_pylist() == accepted.to_pylist()
        assert not result.rejected.num_rows


@pytest.mark.parametrize(
    ("trainer", "tools"),
    [("axolotl", True), ("llamafactory", False), ("open-instruct", True), ("trl", True)],
    ids=str,
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_a_trainer_is_given_reads_back(trainer: str, tools: bool, data: st.DataObject) -> None:
    """But for rows that it cannot hold, and ids of tool calls under LLaMA-Factory."""
    with tempfile.TemporaryDirectory() as name:
        plain = {"prompt": "What?", "response": "That.", "task": "one"}  # so that there is one that all can hold
        accepted, subset = exported([*data.draw(rows(tools)), plain], Path(name))
        out = Path(name) / "out"
        export = write_for(TRAINERS[trainer], subset, out)
        left_out = {row["id"] for row in export.left_out}
        expected = [row for row in accepted.to_pylist() if row["id"] not in left_out]
        assert instances(read(out)).to_pylist() == expected


def test_the_folder_is_a_dataset_of_the_other_kind_too(tmp_path: Path) -> None:
    given_rows = [
        {
            "messages": [SYSTEM, USER, ASKING, ANSWERED, {"role": "assistant", "content": "12"}],
            "tools": TOOLS,
            "task": "a",
        },
        {"messages": [USER, ASKING], "task": "a"},
        {"prompt": "p", "response": "r", "task": "b"},
    ]
    accepted, subset = exported(given_rows, tmp_path)
    write_subset(subset, tmp_path / "folder")
    source = HuggingFaceSource(kind="huggingface", path=str(tmp_path / "folder"), columns=Columns(task="task"))
    assert instances(read_source(source, tmp_path, lambda _: None)).to_pylist() == accepted.to_pylist()
    assert accepted.num_rows == 3
