"""Completion-only loss: rows padded into a batch, and the cross-entropy of the response tokens alone.

The paper's training script takes the mean of each row first, then the mean over rows, so that a row counts once however
long its response is (`RowMean`). Most others take the mean over all tokens of a step, in which a few tasks with long
responses are most of the loss (`TokenMean`).

The model computes logits only where the loss needs them (`logits_to_keep`), which with a large vocabulary saves a
quarter of the work. The mask goes through the model's own `forward`, so its scaling of the logits and the autocast
around it stay as they are.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from smart_assets.training.rows import TokenRow
from smart_assets.training.settings import LossMean

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]

IGNORED = -100  # the label of a token that is not to be learnt


def batch_rows(pad_id: int, keep_logits: bool) -> Callable[[Sequence[Sequence[TokenRow]]], Batch]:
    """Return a collator of one micro-batch: b rows of up to n tokens become `input_ids`, `attention_mask` and `labels`.

    All are (b, n), padded right. With `keep_logits` there is also `logits_to_keep`, bool (b, n): where the next token
    is to be predicted. No rows become one row of padding, of which nothing is learnt.
    """

    def collate(micro_batches: Sequence[Sequence[TokenRow]]) -> Batch:
        import torch

        [rows] = micro_batches
        shape = (max(1, len(rows)), max((len(row.tokens) for row in rows), default=2))
        tokens, labels = np.full(shape, pad_id), np.full(shape, IGNORED)
        attended = np.zeros(shape, np.int64)
        attended[len(rows) :] = 1  # attention to nothing at all would be NaN
        for place, row in enumerate(rows):
            end = len(row.tokens)
            tokens[place, :end] = row.tokens
            attended[place, :end] = 1
            labels[place, row.response_start : end] = row.tokens[row.response_start :]
        arrays = {"input_ids": tokens, "attention_mask": attended, "labels": labels}
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return batch | {"logits_to_keep": _predicts_response(batch["labels"])} if keep_logits else batch

    return collate


class ResponseLoss(Protocol):
    """A mean over the items of an optimizer step: how many items labels (b, n) hold, and what they add to the mean.

    `labels` are `IGNORED` where nothing is to be learnt. Called with the model's outputs (logits (k, v) for the k
    response tokens, or (b, n, v) for all tokens), it gives the sum over this batch's items, over `num_items_in_batch`:
    the items of the whole step, or of this batch when None. In nats, float32; 0 for a batch without items.
    """

    def items(self, labels: "torch.Tensor") -> "torch.Tensor":
        """Return how many items there are: an integer, ()."""
        ...

    def __call__(self, outputs: Any, labels: "torch.Tensor", num_items_in_batch: Any = None) -> "torch.Tensor":
        """Return this batch's part of the step's loss, ()."""
        ...


class TokenMean:
    """The mean over all response tokens of a step: a response counts as often as it has tokens."""

    def items(self, labels: "torch.Tensor") -> "torch.Tensor":
        """Return how many response tokens there are."""
        return (labels != IGNORED).sum()

    def __call__(self, outputs: Any, labels: "torch.Tensor", num_items_in_batch: Any = None) -> "torch.Tensor":
        """Return the sum over this batch's tokens, over all of the step."""
        total = _token_losses(outputs, labels).sum()
        return total / (self.items(labels) if num_items_in_batch is None else num_items_in_batch)


class RowMean:
    """The mean over the rows of a step of each row's mean over its response tokens: every row counts once."""

    def items(self, labels: "torch.Tensor") -> "torch.Tensor":
        """Return how many rows have response tokens."""
        return (labels != IGNORED).any(dim=1).sum()

    def __call__(self, outputs: Any, labels: "torch.Tensor", num_items_in_batch: Any = None) -> "torch.Tensor":
        """Return the sum over this batch's rows, over all of the step."""
        tokens = (labels != IGNORED).sum(dim=1)  # (b,)
        total = (_token_losses(outputs, labels) / tokens.repeat_interleave(tokens)).sum()
        return total / (self.items(labels) if num_items_in_batch is None else num_items_in_batch)


LOSSES: Mapping[LossMean, ResponseLoss] = {"rows": RowMean(), "tokens": TokenMean()}
"""What `finetune.loss` names."""


def _token_losses(outputs: Any, labels: "torch.Tensor") -> "torch.Tensor":
    """Return the cross-entropy of each response token, row after row: float32 (k,)."""
    from torch.nn.functional import cross_entropy

    predicts = _predicts_response(labels)
    logits = outputs.logits if outputs.logits.ndim == 2 else outputs.logits[predicts]
    return cross_entropy(logits.float(), labels[:, 1:][predicts[:, :-1]], reduction="none")


def takes_logits_to_keep(model: Any) -> bool:
    """Return whether a model computes the logits of a mask of positions; code from elsewhere may not."""
    own = type(model).__module__.startswith("transformers.models.")
    return own and "logits_to_keep" in inspect.signature(model.forward).parameters


def _predicts_response(labels: "torch.Tensor") -> "torch.Tensor":
    """Return where the token after this one is part of the response: bool (b, n), always false in the last column."""
    import torch

    return torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1), value=False)
