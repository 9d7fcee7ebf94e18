"""Instances as token rows for completion-only training: what is read, what is learnt, what is left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smart_assets.training.formatting import Instance, encode_example, format_example
from smart_assets.training.settings import PromptFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row to train on: n tokens, of which the last ones are the response."""

    instance: Instance
    tokens: NDArray[np.int32]  # (n,)
    response_start: int  # in [1, n): the tokens from here on are learnt, those before it are only read
    truncated: bool  # the start of the context was cut off


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that cannot be trained on."""

    id: str
    reason: str


def encode_rows(
    tokenizer: "PreTrainedTokenizerBase", instances: Sequence[Instance], prompt_format: PromptFormat, max_length: int
) -> tuple[list[TokenRow], list[DroppedRow]]:
    """Encode instances, in their order, and name those that are left out.

    A row of more than `max_length` tokens loses the start of its context: the end stands next to the response, and
    lm-eval cuts the same way. A response is never cut: where it leaves no room for one token of context, or has no
    token at all, the row is dropped.

    Raises:
        TrainingError: an instance cannot be formatted.
    """
    rows: list[TokenRow] = []
    dropped: list[DroppedRow] = []
    for instance in instances:
        row = _encode_row(tokenizer, instance, prompt_format, max_length)
        if isinstance(row, TokenRow):
            rows.append(row)
        else:
            dropped.append(row)
    return rows, dropped


def _encode_row(
    tokenizer: "PreTrainedTokenizerBase", instance: Instance, prompt_format: PromptFormat, max_length: int
) -> TokenRow | DroppedRow:
    context, response = encode_example(tokenizer, format_example(tokenizer, instance, prompt_format))
    if not context:  # the first token of a text has nothing to be predicted from
        context, response = response[:1], response[1:]
    if not response:
        return DroppedRow(instance.id, "the response has no token")
    room = max_length - len(response)
    if room < 1:
        return DroppedRow(instance.id, f"the response has {len(response)} tokens, max_length is {max_length}")
    kept = context[-room:]
    return TokenRow(instance, np.array(kept + response, np.int32), len(kept), len(kept) < len(context))
