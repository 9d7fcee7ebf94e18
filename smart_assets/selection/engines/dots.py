"""Inner products in float64 of rows of any precision, where there are too few of them for a matrix product."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dots(
    rows: NDArray[np.floating], ids: NDArray[np.int64], direction: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Write rows[ids] @ direction (m,) into `out`, four rows at a time."""
    whole = ids.shape[0] // 4 * 4
    for at in range(0, whole, 4):
        a, b, c, d = rows[ids[at]], rows[ids[at + 1]], rows[ids[at + 2]], rows[ids[at + 3]]
        first = second = third = fourth = 0.0
        for k in range(direction.shape[0]):
            component = direction[k]
            first += a[k] * component
            second += b[k] * component
            third += c[k] * component
            fourth += d[k] * component
        out[at], out[at + 1], out[at + 2], out[at + 3] = first, second, third, fourth
    for at in range(whole, ids.shape[0]):
        row, total = rows[ids[at]], 0.0
        for k in range(direction.shape[0]):
            total += row[k] * direction[k]
        out[at] = total
