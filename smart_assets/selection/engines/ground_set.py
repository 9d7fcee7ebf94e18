"""The ground set as the engines read it: rows as they came, and what makes each a unit vector.

Rows stay in their own precision (32 bits as a rule) and are brought to length 1 in float64 where they are read: a
million vectors need no second copy, and still every inner product is one of float64 unit vectors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import SelectionError
from smart_assets.selection.engines import kernels

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
        lengths = kernels.lengths(rows)
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
        """Return the unit vectors (k, d) of some elements."""
        chosen = np.arange(len(self))[ids] if isinstance(ids, slice) else ids
        out = np.empty((len(chosen), self.width))
        self.read(chosen, out)
        return out

    def read(self, ids: NDArray[np.int64], out: NDArray[np.float64]) -> None:
        """Write the unit vectors of some elements into `out` (k, d)."""
        kernels.read(self.rows, self.scales, ids, out)

    def total(self) -> NDArray[np.float64]:
        """Return the sum of all unit vectors (d,)."""
        return kernels.weighted_sum(self.rows, self.scales)
