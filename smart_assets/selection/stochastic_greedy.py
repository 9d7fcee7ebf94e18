"""Stochastic greedy (Mirzasoleiman et al. 2015): each pick is the best of a random sample of those left.

Gains are the objective's own, in float64 and without a kernel. Blocks are of fixed sizes and their products made by one
thread each, so that the number of threads changes no pick.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import Threads, row_blocks, threads, usable_cores
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.greedy import OnProgress
from smart_assets.selection.objectives import FacilityLocation, Gains, GraphCut, Indices, LogDeterminant, Objective

_STEP = 1024
_TELL_EVERY = 256


class Marginal(Protocol):
    """An objective's gains as picks are made one by one."""

    def gains(self, ids: Indices) -> Gains:
        """Return what each of some elements (m,) would gain now."""
        ...

    def take(self, index: int) -> None:
        """Pick this element."""
        ...


def stochastic_picks(
    ground: GroundSet, objective: Objective, epsilon: float, seed: int, count: int, on_progress: OnProgress
) -> tuple[Indices, Gains]:
    """Return picks and gains (count,); ties of a sample go to the lowest index."""
    rng = np.random.default_rng(seed)
    left = np.arange(len(ground))
    picks, gains = np.empty(count, dtype=np.int64), np.empty(count)
    with threads(usable_cores()) as shared:
        marginal = _marginal(ground, objective, shared)
        for done in range(count):
            sampled = sample_size(len(ground), done + 1, epsilon)
            places = rng.choice(len(left), min(sampled, len(left)), replace=False, shuffle=False)
            sampled_gains = marginal.gains(left[places])
            best = np.lexsort((left[places], -sampled_gains))[0]
            picks[done], gains[done] = left[places[best]], sampled_gains[best]
            marginal.take(picks[done])
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
    parts = np.zeros((-(-len(sample) // _STEP), len(order)))

    def work(block: slice) -> None:
        rows, cover = ground.unit(sample[block]), np.zeros(block.stop - block.start)
        for across in row_blocks(len(order), _STEP):
            covers = np.vstack([cover, ground.unit(order[across]) @ rows.T])
            np.maximum.accumulate(covers, axis=0, out=covers)
            parts[block.start // _STEP, across], cover = covers[1:].sum(axis=1), covers[-1]

    with threads(usable_cores()) as shared:
        shared.over_blocks(work, len(sample), _STEP)
    return parts.sum(axis=0)


def _marginal(ground: GroundSet, objective: Objective, shared: Threads) -> Marginal:
    match objective:
        case FacilityLocation():
            return FacilityLocationMarginal(ground, shared)
        case GraphCut(weight):
            return GraphCutMarginal(ground, shared, weight)
        case LogDeterminant(weight):
            return LogDeterminantMarginal(ground, shared, weight)


class FacilityLocationMarginal:
    """O(n d) a gain: every row is compared with every candidate."""

    def __init__(self, ground: GroundSet, shared: Threads) -> None:
        self._ground, self._shared = ground, shared
        self._cover = np.zeros(len(ground))

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        return np.concatenate([self._gains(ids[block]) for block in row_blocks(len(ids), _STEP)])

    def _gains(self, ids: Indices) -> Gains:
        chosen = self._ground.unit(ids).T
        parts = np.empty((-(-len(self._ground) // _STEP), len(ids)))

        def work(block: slice) -> None:
            more = self._rows(block) @ chosen - self._cover[block, None]
            parts[block.start // _STEP] = np.maximum(more, 0, out=more).sum(axis=0)

        self._shared.over_blocks(work, len(self._ground), _STEP)
        return parts.sum(axis=0)

    def take(self, index: int) -> None:
        """See `Marginal`."""
        chosen = self._ground.unit(np.array([index]))[0]

        def work(block: slice) -> None:
            np.maximum(self._cover[block], self._rows(block) @ chosen, out=self._cover[block])

        self._shared.over_blocks(work, len(self._ground), _STEP)

    def _rows(self, block: slice) -> NDArray[np.float64]:
        rows = self._shared.scratch("unit rows", (block.stop - block.start, self._ground.width), np.float64)
        self._ground.read(np.arange(block.start, block.stop), rows)
        return rows


class GraphCutMarginal:
    """O(d) a gain: x_j.w - lambda, with w = T - 2 lambda P for the sums T of all and P of the picked."""

    def __init__(self, ground: GroundSet, shared: Threads, redundancy_weight: float) -> None:
        self._ground, self._shared, self._weight = ground, shared, redundancy_weight
        self._direction = ground.total()

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        gains = np.empty(len(ids))

        def work(block: slice) -> None:
            gains[block] = self._ground.unit(ids[block]) @ self._direction - self._weight

        self._shared.over_blocks(work, len(ids), _STEP)
        return gains

    def take(self, index: int) -> None:
        """See `Marginal`."""
        self._direction -= 2 * self._weight * self._ground.unit(np.array([index]))[0]


class LogDeterminantMarginal:
    """O(d^2) a gain: log(lambda + x_j^T A^-1 x_j), and A^-1 by rank-one updates (Sherman & Morrison 1950)."""

    def __init__(self, ground: GroundSet, shared: Threads, regularization: float) -> None:
        self._ground, self._shared, self._regularization = ground, shared, regularization
        self._inverse = np.eye(ground.width)

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        gains = np.empty(len(ids))

        def work(block: slice) -> None:
            rows = self._ground.unit(ids[block])
            forms = np.einsum("ij,ij->i", rows @ self._inverse, rows)
            gains[block] = np.log(self._regularization + np.maximum(forms, 0))

        self._shared.over_blocks(work, len(ids), _STEP)
        return gains

    def take(self, index: int) -> None:
        """See `Marginal`."""
        vector = self._ground.unit(np.array([index]))[0]
        step = self._inverse @ vector
        self._inverse -= np.outer(step, step / (self._regularization + max(float(vector @ step), 0.0)))
