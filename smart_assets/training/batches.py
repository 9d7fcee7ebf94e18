"""Which rows are computed together: every optimizer step is cut into micro-batches of like lengths and like work.

Rows of a step are sorted by length and cut where the padding is least, so that a step stays a random draw of the
mixture (its gradient is that of an unsorted one) while little is computed on padding. Nothing is packed: a row never
sees another one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MicroBatch = list[int]
"""Places of rows; may be empty, where a step has fewer rows than micro-batches."""


def micro_batches_a_step(effective_batch: int, micro_batch: int, processes: int) -> int:
    """Return how many micro-batches make an optimizer step: a multiple of `processes`, which take them in turn."""
    return -(-effective_batch // (micro_batch * processes)) * processes


def training_batches(
    lengths: Sequence[int], epochs: float, effective_batch: int, count: int, seed: int
) -> list[MicroBatch]:
    """Return the micro-batches of all steps in their order, `count` for each step.

    Args:
        lengths: tokens of each row, n of them.
        epochs: passes over the rows, each a new random permutation; the last one may be cut short.
        effective_batch: rows of an optimizer step.
        count: micro-batches of a step.
        seed: of the permutations.
    """
    draw = np.random.default_rng(seed)
    total = max(1, round(len(lengths) * epochs))
    passes = -(-total // len(lengths))
    order = np.concatenate([draw.permutation(len(lengths)) for _ in range(passes)])[:total]
    tokens = np.asarray(lengths)
    batches: list[MicroBatch] = []
    for start in range(0, total, effective_batch):
        step = order[start : start + effective_batch]
        step = step[np.argsort(-tokens[step], kind="stable")]
        ends = cut(tokens[step], count)
        batches += [step[first:end].tolist() for first, end in zip([0, *ends[:-1]], ends, strict=True)]
    return batches


def cut(lengths: NDArray[np.int64], count: int) -> list[int]:
    """Cut falling lengths (n,) into `count` runs, so that the sum of squared padded sizes is least; gives their ends.

    A run of k rows costs k times its longest row. Squares keep the runs alike, so that the largest, which decides the
    memory, is no larger than it must be, and so that several processes work equally long. By dynamic programming,
    O(count n^2); runs beyond n are empty.
    """
    n = len(lengths)
    filled = min(count, n)
    sizes = np.arange(n + 1)[None, :] - np.arange(n)[:, None]  # (n, n + 1): rows from i up to j
    costs = np.where(sizes > 0, (sizes * lengths[:, None].astype(np.float64)) ** 2, np.inf)
    best = np.concatenate([[0.0], np.full(n, np.inf)])
    cuts: list[NDArray[np.int64]] = []
    for _ in range(filled):
        ways = best[:n, None] + costs
        cuts.append(ways.argmin(axis=0))
        best = ways.min(axis=0)
        best[0] = np.inf
    ends = [n]
    for came_from in reversed(cuts[1:]):
        ends.append(int(came_from[ends[-1]]))
    return [*reversed(ends), *[n] * (count - filled)]
