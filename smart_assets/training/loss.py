"""Completion-only loss: rows padded into a batch, and the cross-entropy of the response tokens alone.

The model computes logits only where the loss needs them (`logits_to_keep`), which with a large vocabulary saves a
quarter of the work. The mask goes through the model's own `forward`, so its scaling of the logits and the autocast
around it stay as they are.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smart_assets.training.rows import TokenRow

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]

IGNORED = -100  # the label of a token that is not to be learnt


def batch_rows(pad_id: int, keep_logits: bool) -> Callable[[Sequence[Sequence[TokenRow]]], Batch]:
    """A collator of one micro-batch: b rows of up to n tokens become `input_ids`, `attention_mask` and `labels`.

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


def response_loss(outputs: Any, labels: "torch.Tensor", num_items_in_batch: Any = None) -> "torch.Tensor":
    """The summed cross-entropy of the response tokens of a batch, over `num_items_in_batch`; in float32.

    Args:
        outputs: of the model; its logits are (k, v) for the k response tokens, or (b, n, v) for all tokens.
        labels: (b, n), `IGNORED` where nothing is to be learnt.
        num_items_in_batch: response tokens of the whole optimizer step; those of this batch when None.
    """
    from torch.nn.functional import cross_entropy

    predicts = _predicts_response(labels)
    logits = outputs.logits if outputs.logits.ndim == 2 else outputs.logits[predicts]
    targets = labels[:, 1:][predicts[:, :-1]]
    total = cross_entropy(logits.float(), targets, reduction="sum")
    return total / (targets.numel() if num_items_in_batch is None else num_items_in_batch)


def takes_logits_to_keep(model: Any) -> bool:
    """Whether a model computes the logits of a mask of positions: transformers' own do, code from elsewhere may not."""
    own = type(model).__module__.startswith("transformers.models.")
    return own and "logits_to_keep" in inspect.signature(model.forward).parameters


def _predicts_response(labels: "torch.Tensor") -> "torch.Tensor":
    """Where the token after this one is part of the response: bool (b, n), always false in the last column."""
    import torch

    return torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1), value=False)
