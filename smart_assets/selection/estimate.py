"""How long an ordering will take and how much memory, before it runs: within a factor of two, as a rule.

The engines' work is counted by the formulas below and priced at the rates of this machine (`rates.py`). Their constants
were fitted to embeddings of T0 prompts (MiniLM, d = 384), 1,000 to 100,000 of them, and hold about as well for made-up
clusters of 96 to 1,024 dimensions; `python -m benchmarks.selection --check-estimates` prints how well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.selection.greedy import Limits
from smart_assets.selection.many import LARGE
from smart_assets.selection.objectives import FacilityLocation, GraphCut, Objective
from smart_assets.selection.rates import (
    COUNTED_PICKS,
    LOOP_TERMS,
    ROWS,
    Rates,
    cuda_rates,
    measure_rates,
    submodlib_seconds,
)

Engine = Literal["cpu", "cuda", "submodlib"]
Shape = tuple[int, int]
"""(n, d): how many vectors, and their dimensions."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an ordering is expected to take."""

    size: int  # n
    width: int  # d
    objective: str  # its label
    engine: str
    seconds: float
    bytes: int  # at its peak, beside the vectors and the loaded libraries; for `cuda` those of the CPU


@dataclass(frozen=True, slots=True)
class _Work:
    """An ordering to be made, and at what rates."""

    size: int
    width: int
    picks: int
    memory_bytes: int
    rates: Rates
    products: tuple[float, float]  # of the device, in 32 and in 64 bits: seconds for a multiplication and addition


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds that one thread takes whatever their number, those that all cores take together, and bytes."""

    alone: float
    together: float
    bytes: float


def estimate(
    shape: Shape,
    objective: Objective,
    engine: Engine = "cpu",
    budget: int | None = None,
    limits: Limits | None = None,
    rates: Rates | None = None,
) -> Estimate:
    """What ordering vectors of that shape (n, d) will take.

    Without `rates` they are measured, which takes a second, once; those of a sample of the vectors estimate better.

    Raises:
        SelectionError: n or d is below 1; or there is no GPU for the engine 'cuda'.
        BudgetError: The budget is below 1.
    """
    found = limits or Limits()
    measured = rates or measure_rates()
    cost = _cost(_work(shape, budget, found, measured, engine), objective, engine)
    seconds = cost.alone + cost.together * (1 if engine == "cuda" else _slowdown(found, measured))
    return Estimate(*shape, objective.label, engine, seconds, round(cost.bytes))


def estimate_groups(
    sizes: Sequence[int],
    width: int,
    objective: Objective,
    memory_bytes: int = Limits().memory_bytes,
    rates: Rates | None = None,
) -> Estimate:
    """What `many.order_many` will take on the CPU: large groups one by one, small ones one a core.

    Raises:
        SelectionError: There is no group, or a size or the width is below 1.
    """
    if not sizes:
        raise SelectionError("an estimate for groups needs the size of at least one; got none")
    measured = rates or measure_rates()
    each = Limits(threads=1, memory_bytes=max(2**24, memory_bytes // measured.threads))
    whole = Limits(memory_bytes=memory_bytes)
    large = [estimate((size, width), objective, limits=whole, rates=measured) for size in sizes if size >= LARGE]
    small = [estimate((size, width), objective, limits=each, rates=measured) for size in sizes if size < LARGE]
    longest = max((one.seconds for one in small), default=0.0)
    seconds = sum(one.seconds for one in large) + max(longest, sum(one.seconds for one in small) / measured.threads)
    side_by_side = sum(sorted((one.bytes for one in small), reverse=True)[: measured.threads])
    held = max(side_by_side, *(one.bytes for one in large), 0)
    return Estimate(sum(sizes), width, objective.label, "cpu", seconds, held)


def _work(shape: Shape, budget: int | None, limits: Limits, rates: Rates, engine: Engine) -> _Work:
    if min(shape) < 1:
        raise SelectionError(f"an estimate needs vectors (n, d) with n and d at least 1; got {shape}")
    if budget is not None and budget < 1:
        raise BudgetError(f"the budget of an ordering must be at least 1; got {budget}")
    size, width = shape
    products = cuda_rates() if engine == "cuda" else (rates.product, rates.form)
    return _Work(size, width, size if budget is None else min(budget, size), limits.memory_bytes, rates, products)


def _slowdown(limits: Limits, rates: Rates) -> float:
    return rates.threads / min(limits.threads or rates.threads, rates.threads)


def _cost(work: _Work, objective: Objective, engine: Engine) -> _Cost:
    if engine == "submodlib":
        return _submodlib(work, objective)
    if isinstance(objective, FacilityLocation):
        return _facility_location(work)
    return _graph_cut(work) if isinstance(objective, GraphCut) else _log_determinant(work)


_GRAPH_CUT_GROWTH = 0.1  # of what is read for a pick, with every doubling of the vectors


def _graph_cut(work: _Work) -> _Cost:
    """Gains lie as dense whatever the number of vectors, so a pick reads about as much: only windows grow wider."""
    rates = work.rates
    wider = (work.width + LOOP_TERMS) / (rates.width + LOOP_TERMS)
    grown = 1 + _GRAPH_CUT_GROWTH * max(math.log2(work.size / ROWS), 0.0)
    return _Cost(
        alone=rates.call + work.picks * rates.graph_cut_pick * wider * grown + rates.read * work.size * work.width,
        together=0.0,
        bytes=110 * work.size + 4 * min(work.size, 750) * work.width,
    )


_WIDTH_POWER = 1.5  # a pick's own products take d^2, all else d
_MOST_STEPS = 14  # times d: picks by which the form of one vector is brought up to date in all
_FIRST_ANEW = 15  # times d: vectors from which on forms are computed anew
_ANEW = 25  # times that this happens to a vector, more with every e-fold number of vectors
_NARROW = 1.6  # what a product with some picks takes, by one with d columns


def _log_determinant(work: _Work) -> _Cost:
    """Few vectors are brought up to date pick by pick until they are picked, many are computed anew after d/2 picks."""
    size, width, picks, rates = work.size, work.width, work.picks, work.rates
    steps = min(picks * (1 - picks / (2 * size)), _MOST_STEPS * width)
    anew = _ANEW * max(math.log(size / (_FIRST_ANEW * width)), 0.0) * picks / size
    return _Cost(
        alone=rates.call + picks * rates.log_determinant_pick * (width / rates.width) ** _WIDTH_POWER,
        together=size * width * (steps * _NARROW + anew * width) * work.products[1],
        bytes=150 * size + 8 * width * (4 * min(size, width) + 2 * rates.threads * min(size, 1536)),
    )


_PAIR_BYTES = 8
_PAIR_TERMS = 900  # what a pair that is left takes until all is picked, in multiplications of a product
_BATCH = 256  # candidates that are bounded at a time, and vectors by which the pairs are estimated
_CANDIDATES = 0.4  # of all, times the root of the dense picks: what is bounded for these
_TALL, _GATHER_BYTES = 256, 32 * 2**20  # rows of a block of products, at most
_HALF_SPEED = 36  # rows of a block with which a product runs at half its speed


def _facility_location(work: _Work) -> _Cost:
    """All products bound, each for two rows, once or twice; some bound dense picks; then all gather the pairs."""
    size, rates, capacity = work.size, work.rates, work.memory_bytes * 2 / 3 / _PAIR_BYTES
    dense = _dense_picks(rates, size, work.picks, capacity)
    gathers = dense < work.picks
    candidates = _BATCH if dense == 1 else max(_BATCH * dense, _CANDIDATES * math.sqrt(dense) * size)
    rows = min(_TALL, max(8, _GATHER_BYTES // (_PAIR_BYTES * size)))
    gathered = size * (1 + _HALF_SPEED / rows) / (1 + _HALF_SPEED / _TALL) if gathers else 0.0
    pairs = min(capacity, _share_left(rates, 1) * size**2) if gathers else 0.0
    products = size * ((0.5 if dense == 1 else 1.0) * size + candidates + gathered)
    return _Cost(
        alone=rates.call + pairs * _PAIR_TERMS * rates.product,
        together=products * (work.width + LOOP_TERMS) * work.products[0],
        bytes=(4 * work.width + 100) * size + _PAIR_BYTES * pairs + rates.threads * (_PAIR_BYTES * rows * size + 2**21),
    )


def _dense_picks(rates: Rates, size: int, picks: int, capacity: float) -> int:
    """How many picks are made until the pairs that are left fit, which is tried ever more rarely; or all."""
    done = 1
    while done < picks and _share_left(rates, done) * size**2 > capacity:
        done += max(1, done // 2)
    return min(done, picks)


def _share_left(rates: Rates, picks: int) -> float:
    """The share of all pairs that is left after some picks; beyond those that were counted it falls on as a power."""
    counts, shares = np.log(COUNTED_PICKS), np.log(np.maximum(rates.left, 1e-9))
    slope = float((shares[-1] - shares[-4]) / (counts[-1] - counts[-4]))
    beyond = max(math.log(picks) - float(counts[-1]), 0.0)
    return math.exp(float(np.interp(math.log(picks), counts, shares)) + slope * beyond)


_POWERS = {"facility_location": 2.3, "graph_cut": 2.0, "log_determinant": 2.75}  # of n, in submodlib's seconds


def _submodlib(work: _Work, objective: Objective) -> _Cost:
    """Neither d nor the budget makes much of a difference, beside building the kernel."""
    from smart_assets.selection.engines.submodlib import BYTES_PER_ENTRY

    size, seconds = submodlib_seconds(objective)
    return _Cost(seconds * (work.size / size) ** _POWERS[objective.name], 0.0, BYTES_PER_ENTRY * work.size**2)
