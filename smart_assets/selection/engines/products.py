"""What the engines ask of a device: products of many rows at once. All else is the same for a CPU and a GPU.

Rows are those of the ground set as unit vectors x (n, d). Sums are in float64, except where a result only bounds.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""(n,) or (m,), a number an element."""
Ids = NDArray[np.int64]
"""(m,) elements of the ground set."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """For each candidate j the rows i that it can still cover better, with s_ij in 32 bits."""

    starts: Ids  # (n,) where a candidate's rows begin in the two below
    lengths: Ids  # (n,) how many there are; falls as rows are covered
    rows: NDArray[np.int32]  # (p,)
    similarities: NDArray[np.float32]  # (p,)


class Products(Protocol):
    """Products of a ground set's rows on one device."""

    @property
    def slack(self) -> float:
        """How far a true similarity can lie above one of `bounds`, `count` and `pairs`, which are in 32 bits."""
        ...

    def project(self, ids: Ids | None, direction: Values) -> Values:
        """x_j . direction for some elements (m,), or all (n,); the direction is (d,)."""
        ...

    def energies(self, ids: Ids, steps: NDArray[np.float64]) -> Values:
        """sum_t (x_j . y_t)^2 for some elements (m,); the steps y are (t, d)."""
        ...

    def forms(self, ids: Ids, matrix: NDArray[np.float64]) -> Values:
        """x_j^T matrix x_j for some elements (m,); the matrix is (d, d)."""
        ...

    def bounds(self, cover: Values, candidates: Ids | None = None) -> Values:
        """Upper bounds of sum_i max(0, s_ij - cover_i) for candidates j (m,), or all (n,)."""
        ...

    def count(self, cover: Values, candidates: Ids) -> int:
        """Pairs (i, j) of these candidates j with s_ij above cover_i, or so near that it cannot be told."""
        ...

    def pairs(self, cover: Values, capacity: int) -> Pairs | None:
        """All pairs (i, j) with s_ij above cover_i, or so near; None where there are more than `capacity`."""
        ...
