"""A heap of (key, index), the largest key on top and the lowest index of equal keys, as two arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

ARITY = 4


@njit(cache=True, nogil=True)
def sink(keys: NDArray[np.float64], ids: NDArray[np.int64], size: int) -> None:
    """Let the top, whose key fell, sink to its place among the first `size`. Sorted arrays are a heap already."""
    key, index, at = keys[0], ids[0], 0
    while True:
        child = ARITY * at + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + ARITY, size)):
            if keys[other] > keys[best] or (keys[other] == keys[best] and ids[other] < ids[best]):
                best = other
        if keys[best] < key or (keys[best] == key and ids[best] > index):
            break
        keys[at], ids[at] = keys[best], ids[best]
        at = best
    keys[at], ids[at] = key, index
