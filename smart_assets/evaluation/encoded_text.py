"""Text that goes through lm-eval with its tokens: rows of ours are asked in the very tokens that are taught.

lm-eval tokenizes texts itself, and in its own way: it parses special tokens wherever they stand, and counts white space
that ends a context to the continuation. Its own tasks keep to that. A row of ours hands its tokens along.
"""

from collections.abc import Sequence
from typing import Any

from smart_assets.training.row_encoder import EncodedRow


class EncodedText(str):
    """A text (lm-eval hashes it) and the tokens that the model is given for it."""

    tokens: tuple[int, ...]


def _encoded(text: str, tokens: Sequence[int]) -> EncodedText:
    made = EncodedText(text)
    made.tokens = tuple(tokens)
    return made


def scored_pair(row: EncodedRow) -> tuple[EncodedText, EncodedText]:
    """Return a row as what is read and what is scored."""
    example = row.example
    context = _encoded(example.context, row.tokens[: row.scored_from])
    return context, _encoded(example.continuation, row.tokens[row.scored_from :])


def bare_pair(row: EncodedRow, end_tokens: int) -> tuple[str, str]:
    """Return a row without its end, as text that lm-eval tokenizes in its own way.

    Where that would parse a special token in the row's text, or cut the row otherwise, it has its tokens.
    """
    example = row.example
    if not (row.special_text or row.truncated):
        return example.context, example.response
    context, _ = scored_pair(row)
    return context, _encoded(example.response, row.tokens[row.scored_from : len(row.tokens) - end_tokens])


def asked_as(text: str) -> Any:
    """Return what stands for a text in JSON: its tokens where it has some."""
    return list(text.tokens) if isinstance(text, EncodedText) else text


def padded_left(rows: Sequence[EncodedText], pad_id: int) -> tuple[Any, Any]:
    """Return token ids and attention mask, both int64 (b, n)."""
    import torch

    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([[pad_id] * (width - len(row.tokens)) + list(row.tokens) for row in rows])
    lengths = torch.tensor([len(row.tokens) for row in rows])
    return ids, (torch.arange(width) >= width - lengths[:, None]).long()
