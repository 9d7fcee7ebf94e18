"""Progress lines for work that takes minutes: how much is done, how fast, and the time left."""

import time
from collections.abc import Callable
from datetime import timedelta

Log = Callable[[str], None]
"""Takes one line of text for the user, such as a Dagster logger's `info`."""

PAUSE = 5.0
"""Seconds between two progress lines."""


class Progress:
    """Counts rows as they are done and logs a line every few seconds.

    Rows differ in cost (a long prompt takes longer than a short one), so the time left is reckoned by work, in any
    unit, and the rate given in rows.
    """

    def __init__(self, what: str, rows: int, work: float, log: Log) -> None:
        self._what, self._rows, self._work, self._log = what, rows, work, log
        self._done_rows, self._done_work = 0, 0.0
        self._start = self._last = time.monotonic()

    def advance(self, rows: int, work: float) -> None:
        """Count `rows` more rows, worth `work`, as done."""
        self._done_rows += rows
        self._done_work += work
        now = time.monotonic()
        if now - self._last < PAUSE:
            return
        self._last, spent = now, now - self._start
        left = timedelta(seconds=round(spent * (self._work / self._done_work - 1)))
        self._log(
            f"{self._what}: {self._done_rows:,} of {self._rows:,} rows, "
            f"{self._done_rows / spent:,.1f}/s, about {left} left"
        )
