import pytest

from smart_assets.core.progress import Progress


def test_counts_rate_and_time_left_are_told_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 104.9, 105.0, 106.0, 110.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    log: list[str] = []
    progress = Progress("reading tasks", log.append)
    progress.at(900, 0.24)
    progress.at(1000, 0.25)
    progress.at(1100, 0.26)
    progress.at(2000, 0.5)
    assert log == [
        "reading tasks: 1,000 rows, 25%, 200.0/s, 15 s left",
        "reading tasks: 2,000 rows, 50%, 200.0/s, 10 s left",
    ]
