"""Chats that are written as one text, each turn after the name of who speaks: `USER: ...`, `Human: ...`."""

import re
from typing import TypeGuard

from smart_assets.tasks.raw_rows import checked_text
from smart_assets.tasks.turns import Turn

_ROLES = {
    "USER": "user",
    "HUMAN": "user",
    "ASSISTANT": "assistant",
    "FUNCTION RESPONSE": "tool",
    "SYSTEM": "system",
}
_NAMES = {True: "Human|Assistant", False: "SYSTEM|USER|ASSISTANT|Assistant|FUNCTION RESPONSE"}
# Where some turn begins after a blank line, all do: names after a single line break are what somebody said.
_BREAKS = {True: r"\n[ \t]*\n\s*", False: r"\n\s*"}
_SPEAKERS = {
    (human, blank): re.compile(rf"(?:\A\s*|{line}|<\|endoftext\|>\s*)({names}):[ \t]?")
    for human, names in _NAMES.items()
    for blank, line in _BREAKS.items()
}
_BLANK = re.compile(r"\n[ \t]*\n\s*(?:ASSISTANT|Assistant):")
_BEGINS = re.compile(r"\s*(?:SYSTEM|USER|Human):")
_ANSWER = re.compile(r"\b(?:ASSISTANT|Assistant):")


def is_text_chat(value: object) -> TypeGuard[str]:
    """Return whether a value is a text that begins with a turn and holds an answer."""
    return isinstance(value, str) and _BEGINS.match(value) is not None and _ANSWER.search(value) is not None


def read_text_chat(text: str) -> list[Turn]:
    """Return the turns of such a text, without white space and `<|endoftext|>` at their ends.

    Raises:
        RowError: It holds what cannot be kept.
    """
    is_human = checked_text("messages", text).lstrip().startswith("Human:")
    parts = _SPEAKERS[is_human, _BLANK.search(text) is not None].split(text)
    return [
        Turn(_ROLES[role.upper()], said.strip().removesuffix("<|endoftext|>").strip())
        for role, said in zip(parts[1::2], parts[2::2], strict=True)
    ]
