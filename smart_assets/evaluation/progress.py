"""How far an evaluation is: lm-eval asks benchmark by benchmark, and the model tells of each batch."""

from smart_assets.core.progress import Log, Progress


class RequestProgress:
    """Counts the requests that a model has answered, benchmark by benchmark."""

    def __init__(self, log: Log) -> None:
        self.benchmark = ""
        self.tell = log
        self.begin(0)

    def begin(self, total: int) -> None:
        """Start to count towards `total` requests."""
        self._total, self._answered = total, 0
        self._progress = Progress(self.benchmark, self.tell, "requests")

    def advance(self, requests: int) -> None:
        """Count so many more as answered. The longest come first, so the time left is told too high, if anything."""
        self._answered += requests
        self._progress.at(self._answered, min(1.0, self._answered / max(1, self._total)))
