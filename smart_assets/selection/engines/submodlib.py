"""The greedy engine that the paper used: submodlib's C++ lazy greedy on a dense kernel.

Why lazy greedy is exact here: facility location from 0 and the log-determinant are submodular, so a stale gain bounds
the fresh one. Graph cut is so only where no similarity is negative, and submodlib picks wrongly otherwise; raising
every similarity by the same constant changes all candidates' gains alike, hence no pick, and makes it so.

Submodlib keeps the kernel in 32 bits, so a pick's true gain can miss the best available by about 1e-5.
"""

import numpy as np

from smart_assets.core.errors import SelectionError
from smart_assets.selection.objective import Indices, SubmodularObjective, Vectors

BYTES_PER_ENTRY = 64
"""Peak bytes that one kernel entry takes: our 64 and 32 bits, submodlib's list of Python floats, and its own copies."""

MAX_KERNEL_BYTES = 4 * 2**30
"""Upper bound of the memory a kernel may take, copies included: 8,192 vectors."""


def submodlib_picks(vectors: Vectors, objective: SubmodularObjective, count: int) -> Indices:
    """Greedily pick `count` (1 <= count < n) of unit `vectors` (n, d), best first (count,).

    Picks of equal gain go to the lower index where submodlib's heap meets both as equals.

    Raises:
        SelectionError: The kernel would exceed `MAX_KERNEL_BYTES`, or submodlib cannot maximize the objective on it.
    """
    _check_fits(len(vectors))
    # Submodlib breaks ties towards the highest index: reversed, that is the lowest.
    backwards = vectors[::-1]
    kernel = backwards @ backwards.T
    np.fill_diagonal(kernel, 1.0)  # exact, so that a first pick among equals is a tie and not rounding
    if objective.raised_for_submodlib:
        kernel -= min(0.0, kernel.min())
    function = objective.submodlib_function(kernel.astype(np.float32))
    picks = function.maximize(count, optimizer="LazyGreedy", show_progress=False)
    return len(vectors) - 1 - np.array([pick for pick, _ in picks], dtype=np.int64)


def _check_fits(size: int) -> None:
    needed = BYTES_PER_ENTRY * size**2
    if needed > MAX_KERNEL_BYTES:
        raise SelectionError(
            f"a ground set of {size} vectors needs {needed} bytes for its kernel in the submodlib engine, which may "
            f"take {MAX_KERNEL_BYTES} ({int((MAX_KERNEL_BYTES / BYTES_PER_ENTRY) ** 0.5)} vectors): give the task more "
            f"templates, or fewer rows"
        )
