"""What a row says, whatever its columns are: texts, chats, or a text beside a chat, put together as one chat."""

from collections.abc import Mapping, Sequence
from typing import cast

from smart_assets.core.stored_chat import parse_stored
from smart_assets.tasks import reasons
from smart_assets.tasks.chat import Chat, Tools, composed, cut_chat
from smart_assets.tasks.open_assistant import best_path
from smart_assets.tasks.prompt_template import filled
from smart_assets.tasks.raw_rows import RowError, checked_text
from smart_assets.tasks.row_shape import Shape
from smart_assets.tasks.text_chat import is_text_chat, read_text_chat
from smart_assets.tasks.turns import (
    Turn,
    from_json,
    has_value,
    is_written_chat,
    plain_json,
    read_tools,
    read_turns,
    turns_in,
)
from smart_assets.tasks.unread import UnreadValues

Row = Mapping[str, object]
_BETWEEN = "\n\n"
_SYSTEM_ROLES = ("system", "developer")


def chat_of(row: Row, shape: Shape, unread: UnreadValues) -> Chat:
    """Return what a row says as a chat cut at its response.

    Args:
        row: with at least the columns that its shape reads.
        shape: of the row.
        unread: takes what of these columns is not read.

    Raises:
        RowError: It says nothing that can be kept.
    """
    if shape.refused is not None:
        raise RowError(shape.refused)
    for name in shape.media:
        if has_value(from_json(row.get(name))):
            raise RowError(reasons.medium(reasons.MEDIA[name]))
    if shape.liked:
        _require_liked(row, shape, unread)
    tools = _tools(row, shape, unread)
    chat = row.get(shape.chat) if shape.chat else None
    response = _response(row, shape, unread)
    if shape.chat and not shape.chat_is_spare:
        return _of_chat(row, shape, tools, response, unread)
    if shape.layout.is_tree:
        return cut_chat(best_path(row.get(shape.prompt[0]), unread), tools, unread)
    prompt = _prompt(row, shape, unread)
    if chat is not None and (prompt is None or response is None):
        return cut_chat(_with_system(row, shape, _turns("messages", chat, unread), unread), tools, unread)
    if response is None:
        raise RowError(reasons.missing("prompt" if prompt is None and shape.prompt else "response"))
    if chat is not None and isinstance(prompt, str) and isinstance(response, str):
        noted = UnreadValues()
        said = _chat_that_says_more(chat, prompt, response, tools, noted)
        if said is not None:
            unread.others += noted.others
            return said
        unread.add("column", shape.chat, row.get(shape.chat))
    return _of_pair(row, shape, tools, prompt, response, unread)


def _require_liked(row: Row, shape: Shape, unread: UnreadValues) -> None:
    """Refuse a row whose label says that its response is a bad one; a label that is no boolean says something else."""
    value = row.get(shape.liked)
    says = value.strip().lower() if isinstance(value, str) else value
    if says is False or says == "false":
        raise RowError(reasons.NOT_LIKED)
    if has_value(value) and says is not True and says != "true":
        unread.add("column", shape.liked, value)


def _of_chat(row: Row, shape: Shape, tools: Tools | None, response: object, unread: UnreadValues) -> Chat:
    """Return the chat of a row, up to the response that stands beside it where one does."""
    value = row.get(shape.chat)
    if value is None:
        raise RowError(reasons.missing("messages"))
    turns = _with_system(row, shape, _turns("messages", value, unread), unread)
    if shape.response and response is None and shape.layout.needs:
        raise RowError(reasons.missing("response"))
    if response is None or (turns and turns[-1].role == "assistant" and turns[-1].content == response):
        return cut_chat(turns, tools, unread)
    return _answered(turns, response, tools, unread)


def _of_pair(
    row: Row, shape: Shape, tools: Tools | None, prompt: object, response: object, unread: UnreadValues
) -> Chat:
    asked: list[Turn] = []
    if shape.layout.responses == ("chosen",):
        prompt, response = (turns_in(said) if isinstance(said, str) else said for said in (prompt, response))
    elif written := [said for said in (prompt, response) if isinstance(said, str) and is_written_chat(said)]:
        unread.add("turns", "that stand as a text in prompt or response", written)
    if _is_turns(prompt):
        asked = _turns("prompt", prompt, unread)
    elif shape.prompt:
        asked = [Turn("user", checked_text("prompt", _no_tokens(prompt)))]
        if not asked[0].content.strip():
            raise RowError(reasons.empty("prompt"))
    history = [turn for pair in _history(row, shape, unread) for turn in pair]
    if not asked and not _is_turns(response) and not is_text_chat(response):
        raise RowError(reasons.missing("prompt"))
    return _answered(_with_system(row, shape, [*history, *asked], unread), response, tools, unread)


def _answered(before: Sequence[Turn], response: object, tools: Tools | None, unread: UnreadValues) -> Chat:
    """Return turns with a response that is a text, the turns that follow, or the whole chat again."""
    if not _is_turns(response) and not (not before and is_text_chat(response)):
        return composed(before, Turn("assistant", checked_text("response", _no_tokens(response))), tools)
    after = _turns("response", response, unread)
    if after and after[0].role != "assistant":
        systems = [turn for turn in before if turn.role in _SYSTEM_ROLES and after[0].role not in _SYSTEM_ROLES]
        said = {turn.content for turn in after}
        if any(turn.content not in said for turn in before if turn not in systems):
            unread.add("turns", "of a prompt that is not in the chat of the response", [*said])
        before = systems
    return cut_chat([*before, *after], tools, unread)


def _chat_that_says_more(
    value: object, prompt: str, response: str, tools: Tools | None, unread: UnreadValues
) -> Chat | None:
    """Return the chat beside a prompt and a response where it is theirs: up to the response, or with it."""
    try:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            stored = parse_stored(value)
            turns = read_turns("messages", [*stored.turns], unread)
            answer = Turn("assistant", stored.said_by(response), tool_calls=stored.tool_calls)
            chat = composed(turns, answer, stored.tools or tools)
        else:
            turns = read_turns("messages", value, unread)
            if not turns:
                return None
            before, answer = turns, Turn("assistant", response)
            if turns[-1].role == "assistant":
                before, answer = turns[:-1], turns[-1]
                said = plain_json(answer.tool_calls) if answer.tool_calls and not answer.content else answer.content
                if said != response:
                    return None
            chat = composed(before, answer, tools)
    except (RowError, ValueError):
        return None
    said_by_user = {turn.content for turn in turns if turn.role == "user"}
    return chat if prompt == chat.prompt or prompt in said_by_user else None


def _prompt(row: Row, shape: Shape, unread: UnreadValues) -> object:
    """Return the text of a prompt, or its turns as they stand; None where it is missing."""
    if not shape.prompt:
        return None
    if shape.prompt_template is not None:
        values = {name: row.get(name) for name in shape.prompt}
        if any(value is None for value in values.values()):
            raise RowError(reasons.TEMPLATE_COLUMN)
        return filled(shape.prompt_template, {name: _text_of(value) for name, value in values.items()})
    first = row.get(shape.prompt[0])
    for name in shape.second:
        value = row.get(name)
        if isinstance(first, str) and isinstance(value, str) and value.strip() and first.strip() not in value:
            raise RowError(reasons.SECOND_PROMPT)
    others = [_text_of(row[name]) for name in shape.prompt[1:] if row.get(name) is not None]
    for name in shape.extra:
        value = row.get(name)
        if isinstance(value, str) and not _is_turns(first):
            others.append(checked_text("prompt", value))
        elif isinstance(value, int | float) and has_value(value):  # left out, the row would ask for something else
            raise RowError(reasons.wrong_type("prompt", value))
        elif has_value(value):
            unread.add("column", name, value)
    others = [text for text in others if text.strip()]
    if first is None or not others:
        return _text_of(first) if shape.layout.first_response and first is not None else first
    text = _text_of(first)
    if not text.strip():
        raise RowError(reasons.empty("prompt"))
    return _BETWEEN.join([text, *others])


def _text_of(value: object) -> str:
    """Return one of several texts of a prompt; a list of texts, as definitions are, as one with line breaks."""
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    return "\n".join(checked_text("prompt", text) for text in texts)


def _tools(row: Row, shape: Shape, unread: UnreadValues) -> Tools | None:
    """Return the tools of a row; beside a prompt the column of that name may hold something else."""
    if not shape.tools:
        return None
    try:
        return read_tools(row.get(shape.tools))
    except RowError:
        if shape.chat:
            raise
        unread.add("column", shape.tools, row.get(shape.tools))
        return None


def _response(row: Row, shape: Shape, unread: UnreadValues) -> object:
    value = row.get(shape.response) if shape.response else None
    if shape.layout.calls:
        calls = from_json(value)
        return {"role": "assistant", "content": None, "tool_calls": calls} if has_value(calls) else None
    if not (shape.layout.first_response and isinstance(value, list)):
        return value
    first, *rest = cast("list[object]", value) or [None]
    if rest:
        unread.add("column", f"{shape.response}, all but the first", rest)
    return first


def _history(row: Row, shape: Shape, unread: UnreadValues) -> list[tuple[Turn, Turn]]:
    value = from_json(row.get(shape.history)) if shape.history else None
    if not has_value(value):
        return []
    if isinstance(value, str):
        unread.add("column", shape.history, value)
        return []
    if not isinstance(value, list):
        raise RowError(reasons.BAD_HISTORY)
    pairs: list[tuple[Turn, Turn]] = []
    for pair in cast("list[object]", value):
        if not isinstance(pair, (list, tuple)) or len(cast("list[object]", pair)) != 2:
            raise RowError(reasons.BAD_HISTORY)
        user, assistant = (checked_text("history", text) for text in cast("list[object]", pair))
        pairs.append((Turn("user", user), Turn("assistant", assistant)))
    return pairs


def _with_system(row: Row, shape: Shape, turns: list[Turn], unread: UnreadValues) -> list[Turn]:
    """Return the turns after a system turn of its own column, unless they begin with one."""
    value = row.get(shape.system) if shape.system else None
    if not has_value(value):
        return turns
    if not isinstance(value, str):
        unread.add("column", shape.system, row.get(shape.system))
        return turns
    text = checked_text("system", value).removeprefix("SYSTEM: ")
    if not text.strip():
        return turns
    if turns and turns[0].role in _SYSTEM_ROLES and not turns[0].content.strip():
        turns = turns[1:]
    if turns and turns[0].role in _SYSTEM_ROLES:
        if turns[0].content != text:
            unread.add("column", shape.system, row.get(shape.system))
        return turns
    return [Turn("system", text), *turns]


def _turns(field: reasons.Field, value: object, unread: UnreadValues) -> list[Turn]:
    return read_text_chat(value) if is_text_chat(value) else read_turns(field, value, unread)


def _is_turns(value: object) -> bool:
    """Return whether a value is a turn or a list of turns; a text is none, also where it is JSON."""
    if isinstance(value, dict):
        return "role" in value or "from" in value
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)  # pyright: ignore[reportUnknownArgumentType]


def _no_tokens(value: object) -> object:
    if isinstance(value, list) and value and all(type(item) is int for item in cast("list[object]", value)):
        raise RowError(reasons.TOKENS)
    return value
