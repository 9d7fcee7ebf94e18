"""Stochastic greedy (Mirzasoleiman et al. 2015): each pick is the best of a random sample of those left.

Gains are the objective's own, in float64 and without a kernel. Blocks are of fixed sizes and their products made by one
thread each, so that the number of threads changes no pick.
"""

import math

import numpy as np

from smart_assets.core.threads import row_blocks, threads, usable_cores
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.objective import GAIN_STEP, Gains, Indices, OnProgress, SubmodularObjective

_TELL_EVERY = 256


def stochastic_picks(
    ground: GroundSet, objective: SubmodularObjective, epsilon: float, seed: int, count: int, on_progress: OnProgress
) -> tuple[Indices, Gains]:
    """Return picks and gains (count,); ties of a sample go to the lowest index."""
    rng = np.random.default_rng(seed)
    left = np.arange(len(ground))
    picks, gains = np.empty(count, dtype=np.int64), np.empty(count)
    with threads(usable_cores()) as shared:
        marginal = objective.marginal(ground, shared)
        for done in range(count):
            sampled = sample_size(len(ground), done + 1, epsilon)
            places = rng.choice(len(left), min(sampled, len(left)), replace=False, shuffle=False)
            sampled_gains = marginal.gains(left[places])
            best = np.lexsort((left[places], -sampled_gains))[0]
            picks[done], gains[done] = left[places[best]], sampled_gains[best]
            marginal.take(int(picks[done]))
            left[places[best]] = left[-1]
            left = left[:-1]
            if done % _TELL_EVERY == 0:
                on_progress(done, done / count)
    return picks, gains


def sample_size(size: int, pick: int, epsilon: float) -> int:
    """How many of `size` elements a pick, counted from 1, looks at; fewer where fewer are left."""
    return math.ceil(size / pick * -math.log(epsilon))


def covered(ground: GroundSet, sample: Indices, order: Indices) -> Gains:
    """Return what the first t of `order` cover of the rows `sample` (r,) by facility location, for each t: (k,)."""
    parts = np.zeros((-(-len(sample) // GAIN_STEP), len(order)))

    def work(block: slice) -> None:
        rows, cover = ground.unit(sample[block]), np.zeros(block.stop - block.start)
        for across in row_blocks(len(order), GAIN_STEP):
            covers = np.vstack([cover, ground.unit(order[across]) @ rows.T])
            np.maximum.accumulate(covers, axis=0, out=covers)
            parts[block.start // GAIN_STEP, across], cover = covers[1:].sum(axis=1), covers[-1]

    with threads(usable_cores()) as shared:
        shared.over_blocks(work, len(sample), GAIN_STEP)
    return parts.sum(axis=0)
