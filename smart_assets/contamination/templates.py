"""Which n-grams are common to a template: those that many rows of one (task, template) group say.

Where rows name their template, its fixed text stands in most of them, and what only a third says is a passage that
these rows are about. Where they name none, a group mixes templates, and each of these stands in a part of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_COMMON = 3  # rows; two rows of a small group that share a text are no template
NAMED_SHARE = 0.5  # of the rows of a group that names its template
MIXED = 0.2  # of `template_share`: one of several templates of a group that names none
WHOLE_SHARE = 0.9  # what so many rows of a group say may be its template whatever the evaluation rows tell


@dataclass(frozen=True, slots=True)
class Counts:
    """In how many rows of which group each n-gram stands; a key is `group * width + n-gram`."""

    keys: NDArray[np.int64]  # (k,) rising
    rows: NDArray[np.int64]  # (k,)
    sizes: NDArray[np.int64]  # (g,) rows of each group
    width: int

    def less(self, other: "Counts") -> "Counts":
        """Return the counts without the rows that another one counts; its keys are among these."""
        rows = self.rows.copy()
        rows[np.searchsorted(self.keys, other.keys)] -= other.rows
        return Counts(self.keys, rows, self.sizes - other.sizes, self.width)

    def common(self, share: float | NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rising keys of n-grams in LEAST_COMMON rows or more and in over a share (or (g,)) of a group."""
        most = (share * self.sizes)[self.keys // self.width]
        return self.keys[(self.rows >= LEAST_COMMON) & (self.rows > most)]


@dataclass(frozen=True, slots=True)
class EvaluationGroups:
    """The (task, template) groups, and the evaluation rows of each."""

    of: NDArray[np.int64]  # (e,) the group of each evaluation row
    again: NDArray[np.bool_]  # (e,) whether an earlier evaluation row of its group has the same prompt
    named: NDArray[np.bool_]  # (g,) whether the group's rows name their template

    def shares(self, template_share: float) -> NDArray[np.float64]:
        """Return beyond which share of its rows a text is each group's template for sure, (g,)."""
        return np.where(self.named, max(template_share, NAMED_SHARE), template_share)

    def mixed_shares(self, template_share: float) -> NDArray[np.float64]:
        """Return beyond which share it may be one of several, where it is common to another group, too, (g,)."""
        return np.where(self.named, 1.0, MIXED * template_share)
