"""How far an evaluation is: a line every few seconds, with the rate and the time left."""

import time
from collections.abc import Callable

Log = Callable[[str], None]


class Progress:
    """Counts the requests that a model has answered; lm-eval asks the longest first, so the time left is an upper bound."""

    def __init__(self, log: Log, every_seconds: float = 5.0):
        """Tell `log` at most once in `every_seconds`."""
        self._log = log
        self._every_seconds = every_seconds
        self.begin("", 0)

    def begin(self, what: str, total: int) -> None:
        """Start counting `total` requests anew; `what` names the benchmark."""
        self._what, self._total, self._answered = what, total, 0
        self._started = self._told = time.monotonic()

    def advance(self, requests: int) -> None:
        """Note that so many more are answered."""
        self._answered += requests
        now = time.monotonic()
        if now - self._told < self._every_seconds:
            return
        self._told = now
        rate = self._answered / (now - self._started)
        left = max(0, self._total - self._answered) / rate
        self._log(f"{self._what}: {self._answered} of {self._total} requests, {rate:.1f}/s, at most {left:.0f} s left")
