"""How far an evaluation is: a line every few seconds, with the rate and the time left."""

import time

from smart_assets.training.program import Log

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts the requests that a model has answered, benchmark by benchmark."""

    def __init__(self, log: Log) -> None:
        self.benchmark = ""
        self._log = log
        self.begin(0)

    def begin(self, total: int) -> None:
        """Start to count towards `total` requests."""
        self._total, self._answered = total, 0
        self._started = self._told = time.monotonic()

    def advance(self, requests: int) -> None:
        """Count so many more as answered. The longest come first, so the time left is told too high, if anything."""
        self._answered += requests
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told = now
        rate = self._answered / (now - self._started)
        left = max(0, self._total - self._answered) / rate
        self._log(f"{self.benchmark}: {self._answered}/{self._total} requests  {rate:.1f}/s  {left:.0f} s left")
