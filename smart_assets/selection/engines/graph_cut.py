"""Greedy graph cut without a kernel, exact for similarities of any sign.

With T the sum of all unit vectors and P the sum of the picked ones, j gains x_j.w - lambda where w = T - 2 lambda P:
O(d) for each element. A pick p changes the gain of j by -2 lambda x_j.x_p, so gains can grow where similarities are
negative. Over some picks with the sum D they grow by at most 2 lambda max(-x.D), which is little: D points where T
does, and so do the elements of large gain. With the cosine of x and T at least a, -x.D is at most sqrt(1 - a^2) times
the part of D across T, less a times the part along it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smart_assets.selection.engines import kernels
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.engines.products import Ids, Products, Values
from smart_assets.selection.engines.windows import pick_by_windows

KINDS = 8
_NOTHING = 1e-300  # a length, where vectors cancel


class GraphCutGains:
    """The gains of all elements under the picks so far; see `windows.Gains`."""

    def __init__(self, ground: GroundSet, products: Products, redundancy_weight: float, count: int) -> None:
        self._ground, self._weight, self._products = ground, redundancy_weight, products
        self._picks = np.empty(count, dtype=np.int64)
        self._gains = np.empty(count)
        self._done = 0
        self._direction = ground.total()  # w
        self._centre = self._direction / max(float(np.linalg.norm(self._direction)), _NOTHING)
        self.kinds, self._least = _kinds(products.project(None, self._centre))
        self._sums: dict[int, NDArray[np.float64]] = {}  # pick number -> w at that time
        # ids, values, rows, scales
        self._window = (self._picks[:0], self._gains[:0], ground.rows[:0], ground.scales[:0])

    @property
    def picked(self) -> Ids:
        """The picks so far (t,)."""
        return self._picks[: self._done]

    @property
    def gains(self) -> Values:
        """What each pick gained (t,)."""
        return self._gains[: self._done]

    def renew(self, ids: Ids, values: Values, since: int) -> Values:
        """Return the gains (m,) now."""
        return self._products.project(ids, self._direction) - self._weight

    def open(self, ids: Ids, values: Values) -> None:
        """Keep the window's rows side by side."""
        self._window = (ids, values.copy(), self._ground.rows[ids], self._ground.scales[ids])
        self._sums[self._done] = self._direction.copy()

    def pick(self, limit: int, bounds: Values, since: Ids) -> int:
        """Pick from the window; see `windows.Gains`."""
        self._sums = {time: self._sums[time] for time in {0, self._done, *since.tolist()} if time in self._sums}
        then = np.stack([self._sums[time] for time in since.tolist()])
        self._done, failed = kernels.pick_by_graph_cut(
            *self._window,
            *(self._direction, self._weight),
            *(bounds, since, then, self._centre, self._least),
            *(self._picks, self._gains, self._done, limit),
        )
        return failed


def _kinds(cosines: Values) -> tuple[NDArray[np.uint8], Values]:
    """Elements of about the same cosine with the total (n,), and the least cosine of each kind (k,)."""
    edges = np.unique(np.quantile(cosines, np.arange(1, KINDS) / KINDS))
    kinds = np.searchsorted(edges, cosines, side="right").astype(np.uint8)
    distinct, kinds = np.unique(kinds, return_inverse=True)
    return kinds.astype(np.uint8), np.array([cosines[kinds == kind].min() for kind in range(len(distinct))])


def graph_cut_picks(
    ground: GroundSet,
    products: Products,
    redundancy_weight: float,
    count: int,
    on_progress: Callable[[int, float], None],
) -> tuple[Ids, Values]:
    """Return picks and gains (count,) of the whole ground set."""
    state = GraphCutGains(ground, products, redundancy_weight, count)
    everything = np.arange(len(ground))
    pick_by_windows(state, state.renew(everything, np.empty(0), 0), count, on_progress)
    return state.picked, state.gains
