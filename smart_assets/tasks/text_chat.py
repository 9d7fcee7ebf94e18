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
_SPEAKER = re.compile(
    r"(?:\A|\n\s*|<\|endoftext\|>\s*)(SYSTEM|USER|Human|ASSISTANT|Assistant|FUNCTION RESPONSE):[ \t]?"
)
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
    parts = _SPEAKER.split(checked_text("messages", text))
    return [
        Turn(_ROLES[role.upper()], said.strip().removesuffix("<|endoftext|>").strip())
        for role, said in zip(parts[1::2], parts[2::2], strict=True)
    ]
