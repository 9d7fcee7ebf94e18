"""One ordering in a process of its own, so that its memory is its own: `python -m benchmarks.child CASE WHO FILE`.

Prints one JSON object. The time is that of the ordering alone, after one of 64 vectors with which compiled code and
libraries are loaded. Memory is the resident set's peak less what was resident once the vectors were loaded.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import CASES, Measured
from smart_assets.selection.objectives import Objective

WARM_UP_ROWS = 64
Vectors = NDArray[np.float32]
Order = Callable[[Vectors, Objective], object]


def order_by_ours(vectors: Vectors, objective: Objective) -> object:
    """Return all of `vectors` (n, d), exactly, on all cores."""
    from smart_assets.selection.greedy import greedy_ordering

    return greedy_ordering(vectors, objective, engine="cpu")


def order_by_submodlib(vectors: Vectors, objective: Objective) -> object:
    """Return all but the last of `vectors` (n, d), as a user of submodlib does who cares for speed.

    The dense kernel comes from one product in 32 bits, which is faster than submodlib's own, and raw, so that lazy
    greedy picks wrongly by graph cut where similarities are negative.
    """
    size, kernel = len(vectors), vectors @ vectors.T
    function = objective.submodlib_function(kernel)
    return function.maximize(budget=size - 1, optimizer="LazyGreedy", show_progress=False)


ORDER: dict[str, Order] = {"ours": order_by_ours, "submodlib": order_by_submodlib}


def measure(case: str, who: str, path: Path) -> Measured:
    """Order the vectors of a .npy file by the case's objective."""
    objective, order = CASES[case].objective, ORDER[who]
    began = time.perf_counter()
    order(np.random.default_rng(0).standard_normal((WARM_UP_ROWS, 8)).astype(np.float32), objective)
    loading = time.perf_counter() - began
    vectors: Vectors = np.load(path)
    before = _resident_bytes("VmRSS")
    began = time.perf_counter()
    order(vectors, objective)
    seconds = time.perf_counter() - began
    peak = _resident_bytes("VmHWM")
    return Measured(seconds=seconds, took_bytes=max(peak - before, 0), peak_bytes=peak, loading_seconds=loading)


def _resident_bytes(field: str) -> int:
    """Read the kernel's account of this process; `ru_maxrss` would count the parent that it was forked from too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], Path(sys.argv[3])).__dict__))
