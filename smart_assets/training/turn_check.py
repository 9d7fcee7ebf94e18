"""Which kinds of chats a base model's template refuses, told from their forms alone, before anything is trained.

Rows differ in their texts, and a template refuses by roles and tools: a system turn, roles that do not alternate, calls
that it does not write. The distinct forms are few, so each is rendered once. Chats of user and assistant in turn are
taken by every template; where there are no others no tokenizer is loaded.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_assets.core.errors import RefusedRowError
from smart_assets.core.stored_chat import parse_stored
from smart_assets.training.base_model import tokenizer_source
from smart_assets.training.chat_template import Turns, fold_system_turns
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.settings import Finetune


@dataclass(frozen=True, slots=True)
class ChatForm:
    """What of a chat decides whether a template takes it."""

    roles: tuple[str, ...]  # of the turns before the response
    calls: tuple[int, ...] = ()  # the places of those that call tools
    offers_tools: bool = False
    answers_by_call: bool = False

    @property
    def has_tools(self) -> bool:
        """Whether tools or calls of them stand in it."""
        return bool(self.calls) or self.offers_tools or self.answers_by_call


def form_of(messages: str) -> ChatForm:
    """Return the form of a chat that an instance holds."""
    chat = parse_stored(messages)
    return ChatForm(
        tuple(str(turn["role"]) for turn in chat.turns),
        tuple(place for place, turn in enumerate(chat.turns) if turn.get("tool_calls")),
        bool(chat.tools),
        bool(chat.tool_calls),
    )


_TOOL: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look_up", "description": "-", "parameters": {"type": "object"}}}
]
_CALL: list[dict[str, Any]] = [{"type": "function", "function": {"name": "look_up", "arguments": {}}}]


def refused_chats(forms: Mapping[ChatForm, int], settings: Finetune, cache: Path) -> dict[str, int]:
    """Return how many rows will be left out of the fine-tune for what their chats are, by the reason.

    Args:
        forms: how many rows have each form.
        settings: of the fine-tune.
        cache: folder of converted base models.

    Raises:
        TrainingError: the tokenizer cannot be had at all or without converting the model, or its template is unfit.
    """
    plain = settings.prompt_format == "plain"
    odd = {form: count for form, count in forms.items() if form.has_tools or not (plain or _usual(form, settings))}
    if not odd:
        return {}
    from smart_assets.training.loading import load_tokenizer
    from smart_assets.training.row_encoder import row_encoder

    place = tokenizer_source(settings.base_model, cache)
    encoder = row_encoder(load_tokenizer(place, settings.trust_remote_code, settings.revision), settings)
    refused: Counter[str] = Counter()
    for form, count in odd.items():
        try:
            encoder.example(_instance(form))
        except RefusedRowError as reason:
            refused[str(reason)] += count
    return dict(refused.most_common())


def _instance(form: ChatForm) -> ChatInstance:
    turns = [
        {"role": role, "content": "-", **({"tool_calls": _CALL} if place in form.calls else {})}
        for place, role in enumerate(form.roles)
    ]
    chat: dict[str, Any] = {"messages": turns}
    if form.offers_tools:
        chat["tools"] = _TOOL
    if form.answers_by_call:
        chat["tool_calls"] = _CALL
    return ChatInstance(id="-", task="-", prompt="-", response="-", messages=json.dumps(chat))


def _usual(form: ChatForm, settings: Finetune) -> bool:
    turns: Turns = [{"role": role, "content": "-"} for role in form.roles]
    turns = fold_system_turns(turns) if settings.system_turns == "fold" else turns
    sequence = [turn["role"] for turn in turns]
    return len(sequence) % 2 == 1 and sequence == [("user", "assistant")[place % 2] for place in range(len(sequence))]
