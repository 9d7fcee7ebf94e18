"""Greedy log-determinant in d dimensions, exact.

With A = I + X_S^T X_S / lambda, adding j gains log(lambda + q_j), q_j = x_j^T A^-1 x_j (matrix determinant lemma). A
pick p takes (x_j.y)^2 from every q_j, where y = A^-1 x_p / sqrt(lambda + q_p) (Sherman & Morrison 1950): O(d) for each
element and pick, many picks at a time in one product, and never more than the O(d^2) of the form itself.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smart_assets.selection.engines import kernels
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.engines.products import Ids, Products, Values
from smart_assets.selection.engines.windows import pick_by_windows

_PENDING = 32  # picks that A^-1 waits for, to take them in one product


class LogDeterminantGains:
    """The quadratic forms q of all elements under the picks so far; see `windows.Gains`."""

    def __init__(self, ground: GroundSet, products: Products, regularization: float, count: int) -> None:
        self._ground, self._regularization, self._products = ground, regularization, products
        self._picks = np.empty(count, dtype=np.int64)
        self._gains = np.empty(count)
        self._done = self._applied = 0
        self._inverse = np.eye(ground.width)  # A^-1 after the first `_applied` picks
        # y of pick t, in row t modulo their number
        self._recent = np.empty((max(ground.width, 2 * _PENDING), ground.width))
        self._window = (self._picks[:0], self._gains[:0], self._recent[:0])  # ids, values, unit rows
        self.kinds = np.zeros(len(ground), dtype=np.uint8)  # q only falls: one bound will do

    @property
    def picked(self) -> Ids:
        """The picks so far (t,)."""
        return self._picks[: self._done]

    @property
    def gains(self) -> Values:
        """What each pick gained (t,)."""
        return self._gains[: self._done]

    def renew(self, ids: Ids, values: Values, since: int) -> Values:
        """Return the quadratic forms (m,) now: less what the picks since took, or anew where those are many."""
        if self._done - since <= self._ground.width // 2:
            return values - self._products.energies(ids, self._steps(since))
        self._apply()
        return self._products.forms(ids, self._inverse)

    def open(self, ids: Ids, values: Values) -> None:
        """Keep the window's unit rows side by side."""
        self._window = (ids, values.copy(), self._ground.unit(ids))

    def pick(self, limit: int, bounds: NDArray[np.float64], since: Ids) -> int:
        """Pick from the window; see `windows.Gains`."""
        failed, single = len(bounds), np.ascontiguousarray(bounds[:, 0])
        while self._done < limit and failed == len(bounds):
            if self._done == self._applied + _PENDING:
                self._apply()
            self._done, failed = kernels.pick_by_log_determinant(
                *self._window,
                *(self._inverse, self._recent, self._applied, self._regularization),
                *(single, since),
                *(self._picks, self._gains, self._done, min(limit, self._applied + _PENDING)),
            )
        return failed

    def _apply(self) -> None:
        """Bring A^-1 up to the last pick."""
        steps = self._steps(self._applied)
        self._inverse -= steps.T @ steps
        self._applied = self._done

    def _steps(self, since: int) -> NDArray[np.float64]:
        """Return the y (t, d) of the picks from number `since` on."""
        return self._recent[np.arange(since, self._done) % len(self._recent)]


def log_determinant_picks(
    ground: GroundSet, products: Products, regularization: float, count: int, on_progress: Callable[[int, float], None]
) -> tuple[Ids, Values]:
    """Return picks and gains (count,) of the whole ground set."""
    state = LogDeterminantGains(ground, products, regularization, count)
    pick_by_windows(state, np.ones(len(ground)), count, on_progress)
    return state.picked, state.gains
