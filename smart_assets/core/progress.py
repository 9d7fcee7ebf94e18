"""Progress of long work as log lines: how far, how fast, how long still. In a terminal and in a Dagster run alike."""

import time
from collections.abc import Callable

Log = Callable[[str], None]
"""Takes one line of text for the user, such as a Dagster logger's `info`."""

PAUSE = 5.0
"""Seconds between two progress lines."""


class Progress:
    """Writes a line every few seconds; cheap enough to be called for every row.

    Rows differ in cost (a long prompt takes longer than a short one), so the time left is reckoned by the share of the
    work, and the rate given in rows.
    """

    def __init__(self, what: str, log: Log, unit: str = "rows") -> None:
        self._what, self._log, self._unit = what, log, unit
        self._start = self._last = time.monotonic()

    def at(self, rows: int, share: float) -> None:
        """Take note that `rows` rows, and `share` in [0, 1] of all work, are done."""
        now = time.monotonic()
        if now - self._last < PAUSE or share <= 0:
            return
        self._last, spent = now, now - self._start
        left = spent * (1 - share) / share
        self._log(f"{self._what}: {rows:,} {self._unit}, {share:.0%}, {rows / spent:,.1f}/s, {left:,.0f} s left")


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
