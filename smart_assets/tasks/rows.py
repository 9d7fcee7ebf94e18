"""From one raw row to one instance: which columns count, what is refused, and what identifies an instance.

Prompt and response are kept exactly as they are. An instance is known by its content alone, so moved lines, renamed
files and added rows never change an id.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smart_assets.tasks import reasons
from smart_assets.tasks.chat import read_chat
from smart_assets.tasks.raw_rows import RowError, checked_text
from smart_assets.tasks.reasons import Field
from smart_assets.tasks.source_kind import Columns

Row = Mapping[str, object]

_ALIASES: Mapping[Field, tuple[str, ...]] = {
    "prompt": ("inputs", "input"),
    "response": ("targets", "target"),
    "template": ("template_type", "_template_type"),
    "task": ("task_name", "_task_name"),
    "messages": (),
}
_DEFAULTS = Columns()
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The names each field may have in a row, in order of preference."""

    by_field: Mapping[Field, tuple[str, ...]]
    task_required: bool

    @classmethod
    def from_columns(cls, columns: Columns) -> "FieldNames":
        """Add the well-known names to the fields that the settings leave at their default."""
        by_field: dict[Field, tuple[str, ...]] = {}
        for field, aliases in _ALIASES.items():
            name = getattr(columns, field)
            known = aliases if name == getattr(_DEFAULTS, field) else ()
            by_field[field] = known if name is None else (name, *known)
        return cls(by_field, task_required=columns.task is not None)

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Return those of a table's column names that are read, or none if they cannot make an instance.

        A name that stands twice cannot: which of the two is meant is anyone's guess.
        """
        known = {name for names_of_field in self.by_field.values() for name in names_of_field}
        present = [name for name in names if name in known]

        def has(field: Field) -> bool:
            return any(name in present for name in self.by_field[field])

        usable = (has("prompt") and has("response")) or has("messages")
        task_known = has("task") or not self.task_required
        return present if usable and task_known and len(set(present)) == len(present) else []

    def value(self, row: Row, field: Field) -> object:
        """Return the first value that is there and not null, or None."""
        return next((row[name] for name in self.by_field[field] if row.get(name) is not None), None)


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
        RowError: It is missing without a default, not text, empty, or holds control characters.
    """
    value = names.value(row, "task")
    task = checked_text("task", default if value is None else value)
    if _CONTROL.search(task):
        raise RowError(reasons.TASK_CONTROL)
    return _filled("task", task)


def instance_of(row: Row, names: FieldNames, task: str) -> AcceptedRow:
    """Return the instance that a row of a task holds.

    A chat is read only where prompt or response is absent. Its turns are part of the id where they say more than the
    prompt: two system prompts make two instances.

    Raises:
        RowError: A field is missing, of a wrong type, empty, or holds text that cannot be kept.
    """
    prompt, response = names.value(row, "prompt"), names.value(row, "response")
    messages, turns = names.value(row, "messages"), None
    if messages is not None and (prompt is None or response is None):
        chat = read_chat(messages)
        prompt, response, turns = chat.prompt, chat.response, chat.turns
    prompt = _filled("prompt", checked_text("prompt", prompt))
    response = _filled("response", checked_text("response", response))
    template = names.value(row, "template")
    identity = (task, prompt, response) if turns is None else (task, prompt, response, turns)
    return AcceptedRow(
        id=content_hash(*identity),
        task=task,
        template="" if template is None else checked_text("template", template),
        prompt=prompt,
        response=response,
        messages=turns,
        prompt_hash=content_hash(prompt),
    )


def _filled(field: Field, text: str) -> str:
    if not text.strip():
        raise RowError(reasons.empty(field))
    return text
