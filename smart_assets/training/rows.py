"""Instances as token rows for completion-only training: what is read, what is learnt, what is left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import RefusedRowError
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.row_encoder import RowEncoder


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row to train on: n tokens, of which the last ones are the response."""

    instance: ChatInstance
    tokens: NDArray[np.int32]  # (n,)
    response_start: int  # in [1, n): the tokens from here on are learnt, those before it are only read
    truncated: bool  # the middle of the prompt was cut out
    special_text: bool  # its own text names special tokens, which are text here
    turn_not_written: bool  # the chat template leaves out or rewrites the text of a turn before the response


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that cannot be trained on."""

    id: str
    reason: str


def encode_rows(
    encoder: RowEncoder, instances: Sequence[ChatInstance], max_length: int
) -> tuple[list[TokenRow], list[DroppedRow]]:
    """Encode instances, in their order, and name those that are left out.

    A row of more than `max_length` tokens loses the middle of its prompt. A response is never cut: where it leaves no
    room for one token of prompt, or has no token at all, the row is dropped, and so is one that the chat template
    refuses.

    Raises:
        TrainingError: the turns of an instance cannot be read.
    """
    rows: list[TokenRow] = []
    dropped: list[DroppedRow] = []
    for instance in instances:
        try:
            rows.append(_encode_row(encoder, instance, max_length))
        except RefusedRowError as reason:
            dropped.append(DroppedRow(instance.id, str(reason)))
    return rows, dropped


def _encode_row(encoder: RowEncoder, instance: ChatInstance, max_length: int) -> TokenRow:
    row = encoder.encode(instance)
    learnt = len(row.tokens) - row.learnt_from
    if not learnt:
        raise RefusedRowError("the response has no token")
    if learnt >= max_length:
        raise RefusedRowError(f"the response has {learnt} tokens, max_length is {max_length}")
    row = encoder.cut(row, instance, max_length - learnt)
    tokens = np.array(row.tokens, np.int32)
    return TokenRow(instance, tokens, row.learnt_from, row.truncated, row.special_text, row.turn_not_written)
