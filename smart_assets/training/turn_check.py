"""Which kinds of chats a base model's template refuses, told from their roles alone, before anything is trained.

Rows differ in their texts, and a template refuses by roles: a system turn, roles that do not alternate. The distinct
sequences of roles are few, so each is rendered once. Chats of user and assistant in turn are taken by every template;
where there are no others no tokenizer is loaded.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smart_assets.core.errors import RefusedRowError
from smart_assets.training.base_model import tokenizer_source
from smart_assets.training.chat_template import Turns, fold_system_turns
from smart_assets.training.settings import Finetune

Roles = tuple[str, ...]
"""Of the turns before the response."""


def refused_chats(roles: Mapping[Roles, int], settings: Finetune, cache: Path) -> dict[str, int]:
    """Return how many rows the chat template will refuse, by its reason.

    Args:
        roles: how many rows have each sequence of roles.
        settings: of the fine-tune.
        cache: folder of converted base models.

    Raises:
        TrainingError: the tokenizer cannot be had at all or without converting the model, or its template is unfit.
    """
    odd = {sequence: count for sequence, count in roles.items() if not _usual(sequence, settings)}
    if settings.prompt_format == "plain" or not odd:
        return {}
    from smart_assets.training.loading import load_tokenizer
    from smart_assets.training.row_encoder import row_encoder

    place = tokenizer_source(settings.base_model, cache)
    template = row_encoder(load_tokenizer(place, settings.trust_remote_code, settings.revision), settings).template
    if template is None:
        return {}
    refused: Counter[str] = Counter()
    for sequence, count in odd.items():
        try:
            template.example(_turns(sequence, settings), "-")
        except RefusedRowError as reason:
            refused[str(reason)] += count
    return dict(refused.most_common())


def _turns(roles: Roles, settings: Finetune) -> Turns:
    turns: list[dict[str, Any]] = [{"role": role, "content": "-"} for role in roles]
    return fold_system_turns(turns) if settings.system_turns == "fold" else turns


def _usual(roles: Roles, settings: Finetune) -> bool:
    sequence = [turn["role"] for turn in _turns(roles, settings)]
    return len(sequence) % 2 == 1 and sequence == [("user", "assistant")[place % 2] for place in range(len(sequence))]
