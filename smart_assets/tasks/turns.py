"""The turns of a chat as files have them: OpenAI's and ShareGPT's keys, text parts, tools and their calls.

What a turn may hold is declared here. A key that is not is named as not read; what is no text is refused.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from smart_assets.core.stored_chat import canonical_json
from smart_assets.tasks import reasons
from smart_assets.tasks.raw_rows import RowError, checked_text
from smart_assets.tasks.unread import UnreadValues

_ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "function",
    "observation": "tool",
    "function_call": "function_call",
}
_PLAIN_ROLES = frozenset(_ROLES) - {"function_call"}
_PYTHON = "[{'"  # how it writes a list of objects
_NOTHING = ("", [], {})
_TEXT_PARTS = ("text", "input_text", "output_text", None)
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value", "text")
_WEIGHTS = ("weight", "train", "training", "loss")
"""Keys by which a turn says that it is not learnt, as OpenAI, axolotl and ms-swift have them."""
_KNOWN = frozenset({"name", "tool_calls", "tool_call_id", "function_call"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chat."""

    role: str
    content: str
    learnt: bool = True  # whether it may be the response
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    @property
    def has_more(self) -> bool:
        """Whether it holds more than a role and a text."""
        return not (self.name is self.tool_calls is self.tool_call_id is None)

    def stored(self) -> dict[str, Any]:
        """Return it as it is kept, and as chat templates take it."""
        more = {name: getattr(self, name) for name in ("name", "tool_calls", "tool_call_id")}
        return {"role": self.role, "content": self.content, **{name: value for name, value in more.items() if value}}


def plain_json(value: object) -> str:
    """Return canonical JSON.

    Raises:
        RowError: The value holds what JSON does not have.
    """
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(reasons.BAD_TOOLS) from error


def has_value(value: object) -> bool:
    """Return whether a value says anything: it is neither null or NaN nor an empty text, list or object."""
    return value is not None and value not in _NOTHING and not is_nan(value)


def is_nan(value: object) -> bool:
    """Return whether a value is what pandas writes for a missing one."""
    return type(value) is float and math.isnan(value)


def from_json(value: object) -> object:
    """Return what a text says that is JSON of a list or an object, and anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def turns_in(text: str) -> object:
    """Return the turns that a text is JSON of, and any other text as it is.

    Raises:
        RowError: It is a chat as Python writes it, which would be learnt as it stands.
    """
    if not text.startswith("[{"):
        return text
    if text.startswith(_PYTHON) and ("'content':" in text or "'value':" in text):
        raise RowError(reasons.PYTHON_CHAT)
    turns = from_json(text)
    return turns if isinstance(turns, list) and all(map(_is_turn, cast("list[object]", turns))) else text


def is_written_chat(text: str) -> bool:
    """Return whether a text is a chat as JSON or as Python writes it."""
    try:
        return turns_in(text) is not text
    except RowError:
        return True


def _is_turn(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    turn = cast("dict[str, object]", item)
    role = turn.get(_first_key(turn, _ROLE_KEYS))
    return isinstance(role, str) and role.lower() in _ROLES and any(key in turn for key in _CONTENT_KEYS)


def read_turns(field: reasons.Field, messages: object, unread: UnreadValues) -> list[Turn]:
    """Return the turns of a list of objects, of one object, of an object of lists, or of any of these as JSON.

    Raises:
        RowError: It is none, or a turn holds something that is no text.
    """
    messages = from_json(messages)
    if isinstance(messages, str) and messages.startswith(_PYTHON):
        raise RowError(reasons.PYTHON_CHAT)
    if isinstance(messages, dict):
        messages = _single_or_columns(cast("dict[str, object]", messages))
    if not isinstance(messages, list):
        raise RowError(reasons.wrong_type(field, messages))
    items = cast("list[object]", messages)
    if items and isinstance(items[0], str) and all(isinstance(item, str) for item in items):
        items = [{"role": ("user", "assistant")[place % 2], "content": item} for place, item in enumerate(items)]
    turns: list[Turn] = []
    for item in items:
        if isinstance(item, dict) and "input" in item:
            turns += [_turn(turn, unread) for turn in _without_pair(cast("dict[str, object]", item))]
        else:
            turns.append(_turn(item, unread))
    return turns


def read_tools(value: object) -> list[dict[str, Any]] | None:
    """Return the functions that a model is offered, each as `{"type": "function", "function": {...}}`.

    Raises:
        RowError: They are no list of named functions, nor JSON of one.
    """
    value = from_json(value)
    if not has_value(value) or value == "[]":
        return None
    return [_function(item, "parameters") for item in _as_list(value)]


def _single_or_columns(messages: dict[str, object]) -> object:
    """Return an object of lists, as `datasets` may give a list of objects, as that list; a single turn as a list."""
    role = next((messages[key] for key in _ROLE_KEYS if messages.get(key) is not None), None)
    if isinstance(role, str):
        return [messages]
    columns = {key: cast("list[object]", value) for key, value in messages.items() if isinstance(value, list)}
    if not isinstance(role, list) or len({len(column) for column in columns.values()}) != 1:
        return messages
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _without_pair(turn: dict[str, object]) -> list[dict[str, object]]:
    """Return an exchange of an input and its output as two turns, what else it holds with the second."""
    if "output" not in turn or any(key in turn for key in _ROLE_KEYS):
        return [turn]
    rest = {key: value for key, value in turn.items() if key not in ("input", "output")}
    return [{"role": "user", "content": turn["input"]}, {"role": "assistant", "content": turn["output"], **rest}]


def _turn(item: object, unread: UnreadValues) -> Turn:
    if not isinstance(item, dict):
        raise RowError(reasons.BAD_TURN)
    turn = cast("dict[str, object]", item)
    if len(turn) == 2:  # most are
        role, content = (
            (turn.get("role"), turn.get("content")) if "role" in turn else (turn.get("from"), turn.get("value"))
        )
        if isinstance(role, str) and isinstance(content, str) and role in _PLAIN_ROLES:
            return Turn(_ROLES[role], checked_text("messages", content))
    role_key, content_key = (_first_key(turn, keys) for keys in (_ROLE_KEYS, _CONTENT_KEYS))
    role, content = turn.get(role_key), turn.get(content_key)
    if not isinstance(role, str):
        raise RowError(reasons.BAD_TURN)
    role = checked_text("messages", role)
    role = _ROLES.get(role.strip().lower(), role)
    learnt = all(_weight(key, turn.get(key)) is not False for key in _WEIGHTS)
    weights = _WEIGHTS if role in ("assistant", "function_call") else _WEIGHTS[:1]
    read = [key for key in weights if _weight(key, turn.get(key)) is not None]
    _note_unread(turn, {role_key, content_key, *read}, unread)
    if role == "function_call":
        if (calls := _calls(content)) is None:
            raise RowError(reasons.BAD_TOOLS)
        return Turn("assistant", "", learnt=learnt, tool_calls=calls)
    calls = _calls(turn.get("tool_calls")) or _calls(turn.get("function_call"))
    return Turn(
        role,
        _text(content, unread, may_lack=bool(calls)),
        learnt=learnt,
        name=_name(turn.get("name")),
        tool_calls=calls,
        tool_call_id=_name(turn.get("tool_call_id")),
    )


def _first_key(turn: dict[str, object], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if turn.get(key) is not None), keys[0])


def _weight(key: str, value: object) -> bool | None:
    """Return whether a turn is learnt by one of _WEIGHTS; None where it says something else."""
    if isinstance(value, str):
        return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(value.lower())
    if isinstance(value, bool) or (key == "weight" and value in (0, 1)):
        return bool(value)
    return None


def _note_unread(turn: dict[str, object], read: set[str], unread: UnreadValues) -> None:
    for key, value in turn.items():
        if key in _KNOWN or key in read or not has_value(value):
            continue
        if key in reasons.MEDIA:
            raise RowError(reasons.medium(reasons.MEDIA[key]))
        unread.add("key of a turn", key, value)


def _text(content: object, unread: UnreadValues, may_lack: bool) -> str:
    if isinstance(content, str):
        return checked_text("messages", content)
    if content is None and may_lack:
        return ""
    if not isinstance(content, list) or not content:
        raise RowError(reasons.BAD_TURN)
    return "".join(_part(part, unread) for part in cast("list[object]", content))


def _part(part: object, unread: UnreadValues) -> str:
    """Return the text of a content part; templates write parts one after the other, nothing between them."""
    if isinstance(part, str):
        return checked_text("messages", part)
    if not isinstance(part, dict):
        raise RowError(reasons.BAD_PART)
    known = cast("dict[str, object]", part)
    kind, text = known.get("type"), known.get("text")
    if isinstance(kind, str) and kind in reasons.MEDIA:
        raise RowError(reasons.medium(reasons.MEDIA[kind]))
    for key, value in known.items():
        if key in reasons.MEDIA and has_value(value):
            raise RowError(reasons.medium(reasons.MEDIA[key]))
    if kind not in _TEXT_PARTS or not isinstance(text, str):
        raise RowError(reasons.BAD_PART)
    for key, value in known.items():
        if key not in ("type", "text") and has_value(value):
            unread.add("key of a content part", key, value)
    return checked_text("messages", text)


def _name(value: object) -> str | None:
    return checked_text("messages", value) or None if value is not None else None


def _calls(value: object) -> list[dict[str, Any]] | None:
    """Return calls of tools; arguments that are JSON of an object become that object, which templates want.

    Raises:
        RowError: They are no list of calls with names.
    """
    value = from_json(value)
    return [_function(item, "arguments") for item in _as_list(value)] if has_value(value) else None


def _as_list(value: object) -> list[object]:
    if isinstance(value, dict):
        return [cast("object", value)]
    if not isinstance(value, list):
        raise RowError(reasons.BAD_TOOLS)
    return cast("list[object]", value)


def _function(item: object, content: str) -> dict[str, Any]:
    """Return a function or a call of one in OpenAI's form; a key whose value is null counts as absent."""
    item = _without_nulls(from_json(item))
    if not isinstance(item, dict):
        raise RowError(reasons.BAD_TOOLS)
    whole = cast("dict[str, Any]", item)
    if "function" not in whole and "name" in whole:
        rest = {key: whole[key] for key in ("id", "type") if key in whole and content == "arguments"}
        whole = {**rest, "function": {key: value for key, value in whole.items() if key not in rest}}
    function = whole.get("function")
    if not isinstance(function, dict) or not isinstance(cast("dict[str, Any]", function).get("name"), str):
        raise RowError(reasons.BAD_TOOLS)
    function = cast("dict[str, Any]", function)
    if content in function:
        function = {**function, content: from_json(function[content])}
    return {**whole, "type": whole.get("type", "function"), "function": function}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _without_nulls(inner) for key, inner in items if inner is not None}
    return [_without_nulls(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value
