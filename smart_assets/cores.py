"""Sharing the cores of this machine among threads of one's own."""

import os
from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def products_on_one_thread() -> AbstractContextManager[object]:
    """Keep NumPy's products to one thread each; the outermost of nested contexts decides.

    Of several threads only the one that came first decides, so a caller that computes in threads of its own holds this
    around all of them.
    """
    return threadpool_limits(1, user_api="blas")
