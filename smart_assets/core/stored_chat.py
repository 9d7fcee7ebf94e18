"""The chat of an instance as its column `messages` holds it, for whoever reads instances.

It is JSON: a list of the turns before the response, or an object of them (`messages`), the `tools` that a model is
offered, and the `tool_calls` of the response. Nothing is kept of a chat whose prompt says it all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class StoredChat:
    """What the column `messages` of an instance holds."""

    turns: list[dict[str, Any]]  # before the response: role, content, and what else they have
    tools: list[dict[str, Any]] | None = None  # that the model was offered
    tool_calls: list[dict[str, Any]] | None = None  # of the response

    def said_by(self, response: str) -> str:
        """Return the text of the response's turn, which is empty where the response is nothing but its calls."""
        return "" if self.tool_calls and response == canonical_json(self.tool_calls) else response


def canonical_json(value: object, default: Callable[[object], object] | None = None) -> str:
    """Return a value as the one text that stands for it; `default` turns what JSON does not have into what it has.

    Raises:
        TypeError: it holds what JSON does not have.
        ValueError: it holds a number that JSON does not have.
        RecursionError: it nests too deep.
    """
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=default
    )


def parse_stored(messages: str) -> StoredChat:
    """Return what an instance's `messages` holds.

    Raises:
        ValueError: It is not such JSON.
    """
    stored: object = json.loads(messages)
    chat: dict[str, Any] = cast("dict[str, Any]", stored) if isinstance(stored, dict) else {"messages": stored}
    turns = chat.get("messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in cast("list[object]", turns)):
        raise ValueError("messages must be a list of turns with role and content")
    for name in ("tools", "tool_calls"):
        if not isinstance(chat.get(name, []), list):
            raise ValueError(f"{name} must be a list")
    return StoredChat(cast("list[dict[str, Any]]", turns), chat.get("tools"), chat.get("tool_calls"))
