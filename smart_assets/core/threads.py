"""Work on blocks of rows over threads. Every block writes its own part of the result, so threads change no bit of it.

The compiled loops and NumPy's products release the interpreter's lock; products are kept to one thread each, so that
the blocks share the cores and not each block all of them.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import local
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_Number = TypeVar("_Number", np.int32, np.float32, np.float64)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def products_on_one_thread() -> AbstractContextManager[object]:
    """Keep NumPy's products to one thread each; the outermost of nested contexts decides.

    Of several threads only the one that came first decides, so a caller that computes in threads of its own holds this
    around all of them.
    """
    return threadpool_limits(1, user_api="blas")


def row_blocks(size: int, step: int) -> Iterator[slice]:
    """Slices that cut `size` rows into blocks of `step`, the last one shorter."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def in_order(pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int) -> Iterator[_Result]:
    """Yield what `work` makes of each item, in their order; so many are begun before they are asked for.

    `Executor.map` would take all items at once.
    """
    under_way: deque[Future[_Result]] = deque()
    for item in items:
        under_way.append(pool.submit(work, item))
        if len(under_way) > ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


class Threads:
    """A number of threads to share blocks among; with one, the calling thread does all."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None
        self._own = local()

    def over_blocks(self, work: Callable[[slice], None], size: int, step: int) -> None:
        """Call `work` for every block of `step` out of `size` rows; small work is not worth a second thread."""
        if self._pool is None or size <= step:
            for block in row_blocks(size, step):
                work(block)
        else:
            for _ in self._pool.map(work, row_blocks(size, step)):
                pass

    def scratch(self, name: str, shape: tuple[int, int], kind: type[_Number]) -> NDArray[_Number]:
        """Memory of the calling thread by name, used again by its next block: new pages cost more than sums."""
        needed = shape[0] * shape[1] * np.dtype(kind).itemsize
        held: NDArray[np.uint8] | None = getattr(self._own, name, None)
        if held is None or held.size < needed:
            held = np.empty(needed, np.uint8)
            setattr(self._own, name, held)
        return held[:needed].view(kind).reshape(shape)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def threads(count: int) -> Generator[Threads]:
    """Threads for the time of one computation."""
    shared = Threads(count)
    try:
        with products_on_one_thread():
            yield shared
    finally:
        shared.close()
