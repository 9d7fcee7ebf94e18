"""Chats as instances: the last assistant turn that is to be learnt is the response, what comes before it the prompt.

The turns before the response are kept as JSON where the prompt does not say them all: a list of turns, or, where tools
or calls of the response belong to them, an object (`core/stored_chat`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smart_assets.tasks import reasons
from smart_assets.tasks.raw_rows import RowError, checked_text
from smart_assets.tasks.turns import Turn, plain_json
from smart_assets.tasks.unread import UnreadValues

Tools = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat cut at its response."""

    prompt: str  # the only user turn, or all turns before the response as "role: content" lines
    response: str  # where the turn says nothing and calls tools, these calls as JSON
    turns: str | None  # canonical JSON of all that the prompt does not say; None where it says it all


def cut_chat(turns: Sequence[Turn], tools: Tools | None, unread: UnreadValues) -> Chat:
    """Return a chat cut at its last assistant turn that is to be learnt; turns after it are named as not read.

    Raises:
        RowError: There is no such turn.
    """
    last = max((place for place, turn in enumerate(turns) if turn.role == "assistant" and turn.learnt), default=None)
    if last is None:
        raise RowError(reasons.NOT_LEARNT if any(turn.role == "assistant" for turn in turns) else reasons.NO_ASSISTANT)
    if last + 1 < len(turns):
        unread.add("turns", "after the response", [turn.content for turn in turns[last + 1 :]])
    if turns[last].name is not None:
        unread.add("key of a turn", "name of the response", turns[last].name)
    return composed(turns[:last], turns[last], tools)


def composed(before: Sequence[Turn], answer: Turn, tools: Tools | None) -> Chat:
    """Return turns and the answer to them as one chat."""
    response = answer.content
    if answer.tool_calls and not response.strip():
        response = plain_json(answer.tool_calls)
    dialogue = [turn for turn in before if turn.role != "system"]
    alone = [turn.role for turn in dialogue] == ["user"]
    prompt = dialogue[0].content if alone else "\n".join(map(_line, before))
    if alone and len(before) == 1 and not (before[0].has_more or tools or answer.tool_calls):
        return Chat(prompt, response, None)
    stored: Any = [turn.stored() for turn in before]
    if tools or answer.tool_calls:
        more = {"tools": tools, "tool_calls": answer.tool_calls}
        stored = {"messages": stored, **{name: value for name, value in more.items() if value}}
    return Chat(prompt, response, _checked(plain_json(stored)))


def _line(turn: Turn) -> str:
    return f"{turn.role}: {turn.content}{plain_json(turn.tool_calls) if turn.tool_calls else ''}"


def _checked(stored: str) -> str:
    """Return canonical JSON, found free of what cannot be kept; each text was looked at, values of tools were not."""
    if "\\u0000" in stored:
        raise RowError(reasons.NUL)
    return checked_text("messages", stored)
