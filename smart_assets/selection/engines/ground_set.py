"""The ground set as the engines read it: rows as they came, and what makes each a unit vector.

Rows stay in their own precision (32 bits as a rule) and are brought to length 1 in float64 where they are read: a
million vectors need no second copy, and still every inner product is one of float64 unit vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from smart_assets.errors import SelectionError

BLOCK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class GroundSet:
    """Rows of any length but zero, and their inverse lengths."""

    rows: NDArray[np.floating]  # (n, d), float32 or float64, C order
    scales: NDArray[np.float64]  # (n,)

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "GroundSet":
        """Check the vectors and measure them; nothing is copied that has 32 or 64 bits and C order.

        Raises:
            SelectionError: The shape is not (n, d) with n, d >= 1, or a row is zero or not finite.
        """
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise SelectionError(f"vectors must have the shape (n, d) with n and d at least 1; got {vectors.shape}")
        kind = np.float64 if vectors.dtype == np.float64 else np.float32
        rows = np.ascontiguousarray(vectors, dtype=kind)
        lengths = _lengths(rows)
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if bad.size:
            raise SelectionError(
                f"a vector must be finite and not zero to have a direction; row {bad[0]} has the length "
                f"{lengths[bad[0]]}: embed it again, or remove the row"
            )
        return cls(rows, 1 / lengths)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """d, the dimensions of a vector."""
        return self.rows.shape[1]

    def unit(self, ids: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """The unit vectors (k, d) of some elements."""
        chosen = np.arange(len(self))[ids] if isinstance(ids, slice) else ids
        out = np.empty((len(chosen), self.width))
        self.read(chosen, out)
        return out

    def read(self, ids: NDArray[np.int64], out: NDArray[np.float64]) -> None:
        """Write the unit vectors of some elements into `out` (k, d)."""
        _read(self.rows, self.scales, ids, out)

    def total(self) -> NDArray[np.float64]:
        """The sum of all unit vectors (d,)."""
        return _weighted_sum(self.rows, self.scales)


def row_blocks(size: int, step: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices that cut `size` rows into blocks of `step`, the last one shorter."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    lengths = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        row, square = rows[i], 0.0
        for k in range(row.shape[0]):
            square += np.float64(row[k]) * row[k]
        lengths[i] = np.sqrt(square)
    return lengths


@njit(cache=True, nogil=True, fastmath={"contract"})
def _weighted_sum(rows: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(rows.shape[1])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            total[k] += weights[i] * rows[i, k]
    return total


@njit(cache=True, nogil=True)
def _read(
    rows: NDArray[np.floating], scales: NDArray[np.float64], ids: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    for at in range(ids.shape[0]):
        row, scale = rows[ids[at]], scales[ids[at]]
        for k in range(row.shape[0]):
            out[at, k] = row[k] * scale
