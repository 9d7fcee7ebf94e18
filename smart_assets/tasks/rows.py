"""From one raw row to one instance: which columns count, what is refused, and what identifies an instance.

Prompt and response are kept exactly as they are. An instance is known by its content alone, so moved lines, renamed
files and added rows never change an id.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from smart_assets.tasks import reasons
from smart_assets.tasks.kept import kept_of
from smart_assets.tasks.raw_rows import RowError, checked_text
from smart_assets.tasks.reasons import Field
from smart_assets.tasks.row_chat import chat_of
from smart_assets.tasks.row_shape import FieldNames, Shape, named_by
from smart_assets.tasks.unread import UnreadValues

Row = Mapping[str, object]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Texts of nothing but white space, what is as invisible, and marks that end a text or a turn.
_MARKS = "im_end|im_start|endoftext|eot_id|end_of_text|end_of_turn|end"
_NOTHING = re.compile(rf"(?:[\s\u200b-\u200f\u2060\ufeff\u00ad]|</?s>|<eos>|<end_of_turn>|<\|(?:{_MARKS})\|>)*")
_LONGEST_NOTHING = 200  # characters: what is longer is only looked at for white space


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """One accepted row."""

    id: str  # 32 hex digits
    task: str  # with the prefix of its source
    template: str  # "" where the row names none
    prompt: str
    response: str
    messages: str | None  # canonical JSON of the turns before the response, where the prompt does not say it all
    prompt_hash: str  # 32 hex digits
    kept: str | None = None  # canonical JSON of its kept columns


def content_hash(*parts: str) -> str:
    """Return 128 bits of blake2b, in hex, over the length-prefixed UTF-8 of the parts."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode()
        state.update(len(content).to_bytes(8, "big"))
        state.update(content)
    return state.hexdigest()


def task_of(row: Row, names: FieldNames, default: str | None) -> str:
    """Return the task that a row names, or else the default.

    Raises:
        RowError: It is missing without a default, neither text nor a whole number, empty, or holds control characters.
    """
    value = names.task(row)
    task = _name("task", default if value is None else value)
    if _CONTROL.search(task):
        raise RowError(reasons.TASK_CONTROL)
    return _filled("task", task)


def instance_of(row: Row, shape: Shape, task: str, unread: UnreadValues) -> AcceptedRow:
    """Return the instance that a row of a task holds.

    Turns are part of the id where they say more than the prompt: two system prompts make two instances.

    Args:
        row: as its format gave it, with at least the columns that its shape reads.
        shape: of the row.
        task: with the prefix of its source.
        unread: takes what of the row is not read.

    Raises:
        RowError: A field is missing, of a wrong type, empty, or holds text that cannot be kept.
    """
    prompt, response, turns = row.get(shape.prompt[0]) if shape.is_plain else None, row.get(shape.response), None
    if isinstance(prompt, str) and isinstance(response, str) and "[{" not in (prompt[:2], response[:2]):
        prompt, response = checked_text("prompt", prompt), checked_text("response", response)
    else:
        try:
            chat = chat_of(row, shape, unread)
        except RecursionError as error:
            raise RowError(reasons.BAD_TOOLS) from error
        prompt, response, turns = chat.prompt, chat.response, chat.turns
    prompt, response = _filled("prompt", prompt), _filled("response", response)
    template = named_by(row, shape.templates) if shape.templates else None
    identity = (task, prompt, response) if turns is None else (task, prompt, response, turns)
    return AcceptedRow(
        id=content_hash(*identity),
        task=task,
        template="" if template is None else _name("template", template),
        prompt=prompt,
        response=response,
        messages=turns,
        prompt_hash=content_hash(prompt),
        kept=kept_of(row, shape.kept) if shape.kept else None,
    )


def _name(field: Field, value: object) -> str:
    """Return a name; a whole number is one, too."""
    whole = type(value) is int or (type(value) is float and value.is_integer())
    return str(int(value)) if whole else checked_text(field, value)  # pyright: ignore[reportArgumentType]


def _filled(field: Field, text: str) -> str:
    if (len(text) < _LONGEST_NOTHING and _NOTHING.fullmatch(text)) or not text.strip():
        raise RowError(reasons.empty(field))
    return text
