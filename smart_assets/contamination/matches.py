"""Pairs of a training row and an evaluation row whose text it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of rows, each by its place, and how much of the evaluation row each training row holds."""

    rows: NDArray[np.int64]  # (m,)
    evaluation: NDArray[np.int64]  # (m,)
    scores: NDArray[np.float64]  # (m,), at most 1

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the pairs of all parts, in their order."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.evaluation for part in parts)]),
            np.concatenate([np.empty(0, np.float64), *(part.scores for part in parts)]),
        )

    @classmethod
    def nearest(cls, rows: NDArray[np.int64], evaluation: NDArray[np.int64], scores: NDArray[np.float64]) -> Self:
        """Return the pair of each of `rows` (n,) and its one evaluation row (n,); -1: none."""
        has_match = evaluation >= 0
        return cls(rows[has_match], evaluation[has_match], scores[has_match])

    def moved(self, rows: int, evaluation: int = 0) -> "Matches":
        """Return the same pairs, counted from later places."""
        return Matches(self.rows + rows, self.evaluation + evaluation, self.scores)

    def only(self, kept: NDArray[np.bool_]) -> "Matches":
        """Return the pairs that are kept, by place (m,)."""
        return Matches(self.rows[kept], self.evaluation[kept], self.scores[kept])

    def without(self, other: "Matches") -> "Matches":
        """Return the pairs that another one does not hold."""
        width = int(max(self.evaluation.max(initial=0), other.evaluation.max(initial=0))) + 1
        return self.only(~np.isin(self.rows * width + self.evaluation, other.rows * width + other.evaluation))

    def best(self, benchmarks: NDArray[np.int64]) -> "Matches":
        """Return the pair with the highest score of each row and benchmark; of equal ones the lowest evaluation row.

        Args:
            benchmarks: (e,) the benchmark's number of each evaluation row.
        """
        groups = benchmarks[self.evaluation]
        order = np.lexsort((self.evaluation, -self.scores, groups, self.rows))
        rows, groups = self.rows[order], groups[order]
        again = (rows[1:] == rows[:-1]) & (groups[1:] == groups[:-1])
        first = order[np.concatenate([np.ones(min(1, len(order)), np.bool_), ~again])]
        return Matches(self.rows[first], self.evaluation[first], self.scores[first])
