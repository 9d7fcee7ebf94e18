"""Chats with tools go through every step that reads instances."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from smart_assets.assets.reading.evaluation_rows import SourceRows
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.training.turn_check import ChatForm, form_of
from smart_assets_tests.support.make import current
from smart_assets_tests.support.small_source import edit, make_small, small_project

TOOL = {"type": "function", "function": {"name": "look"}}
CALL = {"type": "function", "function": {"name": "look", "arguments": "{}"}}


def chat(number: int) -> dict[str, object]:
    turns = [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": f"Look {number}."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": f"blue {number}"},
        {"role": "assistant", "content": f"It is blue {number}."},
    ]
    return {"messages": turns, "tools": [TOOL]}


def test_chats_with_tools_are_read_by_everybody(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"a.jsonl": "\n".join(json.dumps(chat(number)) for number in range(4))})
    make_small(project)
    folder = project.store.artifact(current(project, "raw_tasks", "small"))
    [texts] = SourceRows("small", folder).texts()
    assert all("tool: blue" in text and "It is blue" in text for text in texts.whole())
    assert all('"name":"look"' in prompt for prompt in texts.prompts)
    messages = pq.read_table(folder / INSTANCES_FILE)["messages"].to_pylist()
    roles = ("system", "user", "assistant", "tool")
    assert Counter(map(form_of, messages)) == {ChatForm(roles, calls=(2,), offers_tools=True): 4}


def test_a_system_turn_beside_tools_is_looked_through(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    row = {"messages": [*turns, {"role": "assistant", "content": "hello"}], "tools": [TOOL]}
    edit(tmp_path / "in", {"a.jsonl": json.dumps(row)})
    make_small(project)
    [texts] = SourceRows("small", project.store.artifact(current(project, "raw_tasks", "small"))).texts()
    assert texts.whole() == ["hi hello Be brief."]
