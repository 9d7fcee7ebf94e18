"""Axolotl: `messages` under `type: chat_template`; assistant turns before the response are marked as not learnt."""

import json
from collections.abc import Mapping
from typing import Any

from smart_assets.documents.exported_rows import TURN_KEYS, ExportedRow, Turn, json_text
from smart_assets.documents.trainers.trainer import CannotHoldError, Trainer, yaml_text


class Axolotl(Trainer):
    """https://docs.axolotl.ai/docs/dataset-formats/conversation.html."""

    name = "axolotl"
    title = "Axolotl"
    checked = "axolotl 0.19.0: `ChatTemplateStrategy.tokenize_prompt` and the schema `SFTDataset`"
    learns = "`train: false` stands on assistant turns before the response (`message_field_training`)"
    command = "axolotl train YOURS.yaml    # with the block `datasets` of axolotl.yaml in it"

    def row(self, row: ExportedRow) -> Mapping[str, Any]:
        """Return messages and tools."""
        before = [_turn(turn) | ({"train": False} if turn["role"] == "assistant" else {}) for turn in row.before]
        tools = {} if row.tools is None else {"tools": json_text(row.tools)}
        return {"messages": [*before, _turn(row.response)], **tools, **row.identity}

    def configuration(self, _name: str, /) -> Mapping[str, str]:
        """Return the block `datasets`."""
        dataset = {
            "path": self.rows_file,
            "ds_type": "json",
            "type": "chat_template",
            "chat_template": "tokenizer_default",
            "field_messages": "messages",
            # Of what is not named here, Axolotl gives a template only what it finds by parsing it.
            "message_property_mappings": {key: key for key in TURN_KEYS},
            "field_tools": "tools",
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
            "message_field_training": "train",
        }
        return {"axolotl.yaml": yaml_text({"datasets": [dataset]})}


def _turn(turn: Turn) -> dict[str, Any]:
    """Return a turn; arguments of calls are JSON, which axolotl parses, so that no two of them need one type."""
    calls = turn.get("tool_calls")
    return {**turn, "tool_calls": [_call(call) for call in calls]} if calls else dict(turn)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    if "arguments" not in function:
        return dict(call)
    arguments = function["arguments"]
    if isinstance(arguments, str):
        try:
            json.loads(arguments)
        except ValueError as error:
            raise CannotHoldError("arguments of a tool call are no JSON, at which Axolotl stops") from error
    else:
        arguments = json_text(arguments)
    return {**call, "function": {**function, "arguments": arguments}}
