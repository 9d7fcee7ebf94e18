"""A line in the log every few seconds of long work: how far, how fast, how long still."""

import time
from collections.abc import Callable

_SECONDS = 5.0


class Progress:
    """Reports through `log`, and only when enough time has passed; cheap enough to be told of every row."""

    def __init__(self, log: Callable[[str], None], label: str) -> None:
        self._log = log
        self._label = label
        self._started = self._reported = time.monotonic()

    def at(self, rows: int, share: float) -> None:
        """Take note that `rows` rows, and `share` in [0, 1] of all work, are done."""
        now = time.monotonic()
        if now - self._reported < _SECONDS or share <= 0:
            return
        self._reported, elapsed = now, now - self._started
        left = elapsed * (1 - share) / share
        self._log(f"{self._label}: {rows:,} rows, {share:.0%}, {rows / elapsed:,.0f} rows/s, {left:,.0f} s left")
