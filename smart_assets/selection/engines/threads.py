"""Work on blocks of rows over threads. Every block writes its own part of the result, so threads change no bit of it.

The compiled loops and NumPy's products release the interpreter's lock; products are kept to one thread each, so that
the blocks share the cores and not each block all of them.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import local
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from smart_assets.cores import products_on_one_thread
from smart_assets.selection.engines.ground_set import row_blocks

_Number = TypeVar("_Number", np.int32, np.float32, np.float64)


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
    """Threads for the time of one ordering."""
    shared = Threads(count)
    try:
        with products_on_one_thread():
            yield shared
    finally:
        shared.close()
