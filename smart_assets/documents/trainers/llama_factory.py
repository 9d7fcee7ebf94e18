"""LLaMA-Factory: `formatting: sharegpt` with the tags of OpenAI's roles.

Its `formatting: openai` is not used: that one adds "detailed thinking off" to the system turn of every row.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from smart_assets.documents.exported_rows import ExportedRow, Turn, json_text
from smart_assets.documents.trainers.trainer import CannotHoldError, Trainer, yaml_text

_ASKS, _ANSWERS, _CALLS = ("user", "tool"), ("assistant",), "function_call"


class LlamaFactory(Trainer):
    """https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md."""

    name = "llamafactory"
    title = "LLaMA-Factory"
    checked = "llamafactory 0.9.5: `get_dataset_list` and `SharegptDatasetConverter`"
    learns = "`mask_history: true`"
    command = "llamafactory-cli train YOURS.yaml    # with the lines of llamafactory.yaml in it"

    def row(self, row: ExportedRow) -> Mapping[str, Any]:
        """Return messages of role and content alone; tools and their calls are JSON."""
        messages = [_turn(turn) for turn in row.messages]
        dialogue = row.messages[1:] if row.messages[0]["role"] == "system" else row.messages
        for place, turn in enumerate(dialogue):
            if turn["role"] == "system":
                raise CannotHoldError("a system turn that is not the first, which LLaMA-Factory leaves out")
            if turn["role"] not in (*_ASKS, *_ANSWERS):
                raise CannotHoldError("a turn of a role that LLaMA-Factory does not know")
            if turn["role"] not in (_ANSWERS if place % 2 else _ASKS):
                raise CannotHoldError("turns that do not alternate, which LLaMA-Factory leaves out")
        tools = "" if row.tools is None else json_text([_complete(tool) for tool in row.tools])
        return {"messages": messages, "tools": tools, **row.identity}

    def lost(self, row: ExportedRow, /) -> Iterator[str]:
        """Yield what is more than role, content and the calls' functions."""
        if any("name" in turn for turn in row.messages):
            yield "names of turns"
        calls = [call for turn in row.messages for call in turn.get("tool_calls") or ()]
        if any("tool_call_id" in turn for turn in row.messages) or any("id" in call for call in calls):
            yield "ids of tool calls"

    def configuration(self, name: str, /) -> Mapping[str, str]:
        """Return `dataset_info.json`, and the lines of a training file that name it."""
        dataset = {
            "file_name": self.rows_file,
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "tools": "tools"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "observation_tag": "tool",
                "function_tag": _CALLS,
                "system_tag": "system",
            },
        }
        lines = {"stage": "sft", "dataset_dir": ".", "dataset": name, "mask_history": True}
        return {
            "dataset_info.json": json.dumps({name: dataset}, indent=2) + "\n",
            "llamafactory.yaml": yaml_text(lines),
        }


def _turn(turn: Turn) -> dict[str, str]:
    calls = turn.get("tool_calls")
    if not calls:
        return {"role": turn["role"], "content": turn["content"]}
    if turn["content"].strip():
        raise CannotHoldError("a turn of both text and tool calls, at which LLaMA-Factory stops")
    functions = [{"arguments": {}, **call["function"]} for call in calls]
    return {"role": _CALLS, "content": json_text(functions)}


def _complete(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool with properties: LLaMA-Factory stops at one without, which takes none."""
    function: dict[str, Any] = dict(tool["function"])
    function["parameters"] = {"properties": {}, **(function.get("parameters") or {"type": "object"})}
    return {**tool, "function": function}
