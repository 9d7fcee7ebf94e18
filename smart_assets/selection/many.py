"""Many orderings on the cores of one machine: large groups one by one on all cores, small ones side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import mul
from threading import Lock

from smart_assets.core.threads import products_on_one_thread, usable_cores
from smart_assets.selection.greedy import GreedyOrdering
from smart_assets.selection.objective import Limits, OnProgress

LARGE = 4096
"""Rows of a group from which on one ordering keeps all cores busy."""

Order = Callable[[int, Limits, OnProgress], GreedyOrdering]
"""Makes the ordering of one group, by its position."""


def order_many(
    sizes: Sequence[int], order: Order, memory_bytes: int, on_progress: Callable[[int, float], None]
) -> list[GreedyOrdering]:
    """Make the ordering of every group, the biggest first.

    Args:
        sizes: rows of each group.
        order: makes one; the compiled loops and products in it let other threads run.
        memory_bytes: that all orderings at a time may take together.
        on_progress: called, by one thread at a time, with the rows ordered and their share in [0, 1] of the work.

    Returns:
        The orderings, as the groups stand.
    """
    cores = usable_cores()
    work = _Work(sizes, on_progress)
    orderings: dict[int, GreedyOrdering] = {}
    biggest_first = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    for index in (index for index in biggest_first if sizes[index] >= LARGE):
        orderings[index] = order(index, Limits(memory_bytes=memory_bytes), work.progress_of(index))
    alone = Limits(threads=1, memory_bytes=max(2**24, memory_bytes // cores))
    pool = ThreadPoolExecutor(cores)
    try:
        with products_on_one_thread():
            small = [index for index in biggest_first if sizes[index] < LARGE]
            made = pool.map(lambda index: order(index, alone, work.progress_of(index)), small)
            orderings.update(zip(small, made, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    return [orderings[index] for index in range(len(sizes))]


class _Work:
    """How far all orderings are together; a group's share grows faster than its rows."""

    def __init__(self, sizes: Sequence[int], on_progress: Callable[[int, float], None]) -> None:
        self._on_progress, self._lock = on_progress, Lock()
        self._picked, self._shares = [0] * len(sizes), [0.0] * len(sizes)
        self._work = [size**1.5 for size in sizes]
        self._total = sum(self._work)

    def progress_of(self, index: int) -> OnProgress:
        """Return what the ordering of one group is to call."""

        def on_progress(picked: int, share: float) -> None:
            with self._lock:
                self._picked[index], self._shares[index] = picked, share
                self._on_progress(sum(self._picked), min(1.0, sum(map(mul, self._shares, self._work)) / self._total))

        return on_progress
