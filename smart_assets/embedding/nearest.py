"""The nearest of many vectors, where it is near enough: exact, without comparing all numbers of all pairs.

The first directions of a principal component analysis tell most of a vector; what they leave is a length. By Cauchy and
Schwarz the cosine of two unit vectors is at most the product of what is told, plus that of the lengths that are left.
One more number a vector, and a product of short vectors bounds every cosine from above: few pairs are left to compute.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import threads, usable_cores
from smart_assets.embedding.windows import DECIMALS, PromptVectors

_DIRECTIONS = 32
_OUR_ROWS, _THEIR_ROWS = 1024, 256  # the bounds of so many pairs stay in a core's cache
_PAIRS = 1 << 14
_ROUNDING = 1e-4  # of the bound, computed in float32


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest of theirs of each of our rows, of those that are near enough."""

    rows: NDArray[np.int64]  # (n,) row of theirs, the lowest of those with the largest cosine; -1: none
    cosines: NDArray[np.float64]  # (n,) taken in float64 and rounded to 6 decimals; 0 where there is none

    @classmethod
    def nothing(cls, count: int) -> "Nearest":
        """Return that none is near, for so many rows."""
        return cls(np.full(count, -1), np.zeros(count))

    def take(self, rows: NDArray[np.int64], others: NDArray[np.int64], cosines: NDArray[np.float64]) -> None:
        """Take pairs of rows (b,) that are near; those of a row come in the order of theirs."""
        for row, other, cosine in zip(rows, others, cosines, strict=True):
            if self.rows[row] < 0 or cosine > self.cosines[row]:  # the first of equal ones stays
                self.rows[row], self.cosines[row] = other, cosine


def nearest_above(
    ours: PromptVectors, rows: NDArray[np.int64], theirs: PromptVectors, threshold: float
) -> tuple[Nearest, Nearest]:
    """Find for some of our prompts the one of theirs with the largest cosine, where that reaches a threshold.

    Where a prompt has several windows, the cosine of the last windows has to reach it, too: two prompts of one document
    are near as a whole, whatever they ask in their ends.

    Args:
        ours: n or more; some thousand are read at a time.
        rows: (n,) which of them.
        theirs: any.
        threshold: in (0, 1].

    Returns:
        The nearest prompt that asks the same; and the nearest of the same document that ends otherwise.
    """
    same, document = Nearest.nothing(len(rows)), Nearest.nothing(len(rows))
    if not len(theirs):
        return same, document
    # Small products over all cores wait for each other; blocks of rows need not.
    with threads(usable_cores()) as shared:
        directions = _directions(theirs.whole)
        short = _shortened(theirs.whole, directions)

        def compare(part: slice) -> None:
            block = ours.whole[rows[part]]
            for ours_there, theirs_there in _candidates(_shortened(block, directions), short, threshold - _ROUNDING):
                cosines = np.einsum("pd,pd->p", block[ours_there], theirs.whole[theirs_there], dtype=np.float64)
                cosines = cosines.round(DECIMALS)
                near = np.flatnonzero(cosines >= threshold)
                alike = ours.same_ends(rows[part][ours_there[near]], theirs, theirs_there[near], threshold)
                for nearest, chosen in ((same, near[alike]), (document, near[~alike])):
                    nearest.take(ours_there[chosen] + part.start, theirs_there[chosen], cosines[chosen])

        shared.over_blocks(compare, len(rows), _OUR_ROWS)
    return same, document


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
