"""The nearest of many vectors, where it is near enough: exact, without comparing all numbers of all pairs.

The first directions of a principal component analysis tell most of a vector; what they leave is a length. By Cauchy and
Schwarz the cosine of two unit vectors is at most the product of what is told, plus that of the lengths that are left.
One more number a vector, and a product of short vectors bounds every cosine from above: few pairs are left to compute.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import threads, usable_cores

_DIRECTIONS = 32
_OUR_ROWS, _THEIR_ROWS = 1024, 256  # the bounds of so many pairs stay in a core's cache
_PAIRS = 1 << 14
_ROUNDING = 1e-4  # of the bound, computed in float32
_DECIMALS = 6  # what float32 vectors can tell


def nearest_above(
    ours: NDArray[np.float32], rows: NDArray[np.int64], theirs: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find for some of our vectors the one of theirs with the largest cosine, where that reaches a threshold.

    Args:
        ours: (any, d) unit rows; may be a memory map, of which some thousand are read at a time.
        rows: (n,) which of them.
        theirs: (m, d) unit rows.
        threshold: in (0, 1].

    Returns:
        Row of theirs (n,), the lowest of those with the largest cosine, -1 where none reaches the threshold; the cosine
        (n,), taken in float64 and rounded to 6 decimals, 0 where there is none.
    """
    nearest, cosines = np.full(len(rows), -1), np.zeros(len(rows))
    if not len(theirs):
        return nearest, cosines
    # Small products over all cores wait for each other; blocks of rows need not.
    with threads(usable_cores()) as shared:
        directions = _directions(theirs)
        short = _shortened(theirs, directions)

        def compare(part: slice) -> None:
            block = ours[rows[part]]
            for block_rows, others in _candidates(_shortened(block, directions), short, threshold - _ROUNDING):
                products = np.einsum("pd,pd->p", block[block_rows], theirs[others], dtype=np.float64).round(_DECIMALS)
                near = products >= threshold
                for row, other, cosine in zip(block_rows[near] + part.start, others[near], products[near], strict=True):
                    # Candidates of a row come in the order of their rows: the first of equal ones stays.
                    if nearest[row] < 0 or cosine > cosines[row]:
                        nearest[row], cosines[row] = other, cosine

        shared.over_blocks(compare, len(rows), _OUR_ROWS)
    return nearest, cosines


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (d, at most _DIRECTIONS) orthonormal directions in which the vectors are longest."""
    products = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _THEIR_ROWS):
        block = vectors[start : start + _THEIR_ROWS].astype(np.float64)
        products += block.T @ block
    return np.linalg.eigh(products)[1][:, ::-1][:, :_DIRECTIONS].astype(np.float32)


def _shortened(vectors: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far vectors go in each direction, and the length of what is left, (n, directions + 1)."""
    projections = vectors @ directions
    left = 1 - np.einsum("nk,nk->n", projections, projections, dtype=np.float64)
    return np.column_stack([projections, np.sqrt(np.maximum(left, 0))]).astype(np.float32)


def _candidates(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], bound: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of rows whose cosine may reach the bound, some thousand at a time."""
    for start in range(0, len(theirs), _THEIR_ROWS):
        products = ours @ theirs[start : start + _THEIR_ROWS].T
        rows, others = np.divmod(np.flatnonzero(products >= bound), products.shape[1])
        for first in range(0, len(others), _PAIRS):
            part = slice(first, first + _PAIRS)
            yield rows[part], others[part] + start
