"""Row encoders over the tiny tokenizer, for tests of what is taught."""

from datetime import date
from typing import Any, Literal

from smart_assets.training.formatting import ChatInstance
from smart_assets.training.row_encoder import RowEncoder, row_encoder
from smart_assets.training.settings import PromptFormat, PromptSettings


def encoder_of(
    tokenizer: Any,
    prompt_format: PromptFormat = "auto",
    system_turns: Literal["keep", "fold"] = "keep",
    template_date: date = date(2026, 1, 1),
) -> RowEncoder:
    settings = PromptSettings(prompt_format=prompt_format, system_turns=system_turns, template_date=template_date)
    return row_encoder(tokenizer, settings)


def pair_of(encoder: RowEncoder, instance: ChatInstance) -> tuple[list[int], list[int]]:
    """The tokens that are read and those that are learnt."""
    row = encoder.encode(instance)
    return row.tokens[: row.learnt_from], row.tokens[row.learnt_from :]
