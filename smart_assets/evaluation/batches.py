"""How many rows a model sees at once, bounded by their logits.

lm-eval keeps the logits of all tokens of a batch: 16 rows of 8,192 tokens are 13 GB of them in bfloat16, and as much
again twice over in the softmax. So a batch holds a bounded number of logits, and one row at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MOST_LOGITS = 2**28
"""Logits of one batch where memory is not asked for: 1 GiB in float32."""

# On 2 CPU cores more rows at once gain nothing; a GPU is busy with some hundred short ones.
_AUTO_ROWS = {"cpu": 64, "cuda": 256}
_BYTES_A_LOGIT = 16  # bfloat16 logits, float32 softmax and what it works on, and the cache of keys and values besides
_SHARE_OF_FREE = 0.5


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold at most."""

    rows: int
    logits: int

    def rows_of(self, length: int, vocabulary: int) -> int:
        """Return how many rows of so many tokens fit: `rows`, or a power of two (few sizes), 1 at least."""
        fits = max(1, self.logits // (max(1, length) * vocabulary))
        return self.rows if fits >= self.rows else 1 << (fits.bit_length() - 1)


def batch_limits(batch_size: int | Literal["auto"], device: str) -> BatchLimits:
    """Return the limits on a device, once the model lies on it; `auto` on a GPU goes by its free memory."""
    if batch_size != "auto":
        return BatchLimits(batch_size, MOST_LOGITS)
    if device == "cpu":
        return BatchLimits(_AUTO_ROWS["cpu"], MOST_LOGITS)
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    logits = max(1, int(free * _SHARE_OF_FREE) // _BYTES_A_LOGIT)
    # A power of two: what others take of the memory meanwhile does not change the batches.
    return BatchLimits(_AUTO_ROWS["cuda"], 1 << (logits.bit_length() - 1))


def plan_batches(lengths: Sequence[int], limits: BatchLimits, vocabulary: int) -> list[list[int]]:
    """Deal rows of those token counts into batches of places, the longest first; equal lengths in their order."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    batches: list[list[int]] = []
    while order:
        size = limits.rows_of(lengths[order[0]], vocabulary)
        batches.append(order[:size])
        order = order[size:]
    return batches
