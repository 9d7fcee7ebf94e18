"""Nested windows: exact greedy that keeps most of a large ground set unread.

The gains of a small window of the best elements are kept exact after every pick; everything outside is bounded by the
best gain it had when the window was taken, plus what that can have grown since. While the window's best exceeds that
bound, it is the best of all. Otherwise the window is taken anew from a wider one around it, that one if need be from a
wider still, and in the end from all elements. This is lazy greedy (Minoux 1978) with two differences: stale gains are
renewed many at a time, in memory order, and gains may grow where their growth can be bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smart_assets.selection.engines import kernels
from smart_assets.selection.engines.products import Ids, Values

NARROWEST, FIRST = 32, 128
"""Elements of the smallest window, and of the first one."""
RATIO = 3
"""How many times wider each next window is."""
SHORT, LONG = 16, 96
"""Picks from which on a window was worth taking, and above which a narrower one would have done."""
TELL_EVERY = 1024
"""Picks after which progress is reported at the latest."""


class Gains(Protocol):
    """What the windows need to know of an objective, as picks are made one by one."""

    def renew(self, ids: Ids, values: Values, since: int) -> Values:
        """Return the values (m,) of elements now, from those they had before pick number `since`."""
        ...

    def open(self, ids: Ids, values: Values) -> None:
        """Take the ascending `ids` (m,) with their values now as the window."""
        ...

    def pick(self, limit: int, bounds: NDArray[np.float64], since: Ids) -> int:
        """Pick from the window while its best exceeds everything outside, up to pick number `limit`.

        Args:
            limit: the pick number to stop before.
            bounds: (w, k) the largest value of each kind of element outside each of the nested windows, when it was
                taken.
            since: (w,) the pick number before which each window was taken. Where that is now, equality will do.

        Returns:
            The widest window that held no longer, or w where `limit` was reached.
        """
        ...

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The kind (n,) of each element, in [0, k): the objective bounds the growth of a kind's values together."""
        ...

    @property
    def picked(self) -> Ids:
        """The picks so far (t,), best first."""
        ...


@dataclass(slots=True)
class _Window:
    ids: Ids  # (m,) ascending, with some that have been picked since
    values: Values  # (m,) as they were before pick number `since`
    since: int
    bounds: Values  # (k,) the largest value of each kind outside, as it was when the window was taken
    taken: int  # the pick number before which it was


def pick_by_windows(gains: Gains, values: Values, count: int, on_progress: Callable[[int, float], None]) -> None:
    """Pick `count` (1 <= count <= n) elements greedily, given the values (n,) of all before the first pick.

    Args:
        gains: the objective's arithmetic; it records the picks.
        values: what orders the elements; ties go to the lowest index.
        count: how many to pick.
        on_progress: called with the picks so far and their share every now and then; what it raises ends the picking.
    """
    left = np.ones(len(values), dtype=bool)
    nothing = np.full(int(gains.kinds.max()) + 1, -np.inf)
    windows = [_Window(np.arange(len(values)), values, 0, nothing, 0)]
    width, opened = FIRST, 0
    failed, done = 1, 0
    while done < count:
        made = done - opened
        if failed == len(windows) - 1 and made < SHORT:
            width = min(2 * width, len(values))
        elif failed == len(windows) - 1 and made > LONG:
            width = max(width // 2, NARROWEST)
        _narrow(windows, max(failed, 1), width, gains, left, done)
        opened = done
        gains.open(windows[-1].ids, windows[-1].values)
        bounds = np.stack([window.bounds for window in windows])
        taken = np.array([window.taken for window in windows])
        failed = len(windows)
        while done < count and failed == len(windows):
            failed = gains.pick(min(count, done + TELL_EVERY), bounds, taken)
            done = len(gains.picked)
            on_progress(done, done / count)
        left[gains.picked[opened:]] = False


def _narrow(windows: list[_Window], level: int, width: int, gains: Gains, left: NDArray[np.bool_], done: int) -> None:
    """Renew the window above `level`, and take all windows from `level` on anew from it."""
    del windows[level:]
    widest = windows[-1]
    keep = left[widest.ids]
    ids, values, since = widest.ids[keep], widest.values[keep], widest.since
    values = gains.renew(ids, values, since) if since < done else values
    widest.ids, widest.values, widest.since = ids, values, done
    size = width
    sizes = [size]
    while (size := size * RATIO) < len(ids) // 2:
        sizes.append(size)
    for size in reversed(sizes):
        ids, values = windows[-1].ids, windows[-1].values
        least = np.partition(values, len(values) - size)[len(values) - size] if size < len(values) else -np.inf
        best, bounds = kernels.split(values, gains.kinds, ids, least, min(size, len(values)), len(widest.bounds))
        windows.append(_Window(ids[best], values[best], done, bounds, done))
