"""Chats as instances: the last assistant turn is the response, what comes before it the prompt."""

import json
from dataclasses import asdict, dataclass

from smart_assets.tasks import reasons
from smart_assets.tasks.raw_rows import RowError, checked_text


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat cut at its last assistant turn."""

    prompt: str  # the only user turn, or all turns before the response as "role: content" lines
    response: str
    turns: str | None  # canonical JSON of the turns before the response; None where the prompt alone says it all


@dataclass(frozen=True, slots=True)
class _Turn:
    role: str
    content: str


def read_chat(messages: object) -> Chat:
    """Return prompt, response and turns of a list of `{"role", "content"}`; turns after the response are dropped.

    Raises:
        RowError: It is not such a list, or has no assistant turn.
    """
    if not isinstance(messages, list):
        raise RowError(reasons.wrong_type("messages", messages))
    turns = [_turn(item) for item in messages]  # pyright: ignore[reportUnknownVariableType]
    last = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if last is None:
        raise RowError(reasons.NO_ASSISTANT)
    before, response = turns[:last], turns[last].content
    dialogue = [turn for turn in before if turn.role != "system"]
    if [turn.role for turn in dialogue] != ["user"]:
        return Chat("\n".join(f"{turn.role}: {turn.content}" for turn in before), response, _canonical(before))
    return Chat(dialogue[0].content, response, None if len(before) == 1 else _canonical(before))


def _turn(item: object) -> _Turn:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str) or not isinstance(item.get("content"), str):
        raise RowError(reasons.BAD_TURN)
    return _Turn(checked_text("messages", item["role"]), checked_text("messages", item["content"]))


def _canonical(turns: list[_Turn]) -> str:
    return json.dumps([asdict(turn) for turn in turns], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
