"""Work dealt out to devices: everything once, by workers that are never given two things at a time."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from smart_assets.embedding.work_sharing import deal_out, one_ahead


def worker(name: str, met: threading.Barrier | None = None) -> Callable[[int], tuple[str, int]]:
    """One that fails where it is used twice at a time, and that waits for the others at its first item."""
    busy = threading.Lock()
    first = [met]

    def work(item: int) -> tuple[str, int]:
        assert busy.acquire(blocking=False)
        barrier = first.pop() if first else None
        if barrier is not None:
            barrier.wait(timeout=30)
        busy.release()
        return name, item * item

    return work


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_item_is_done_once_and_every_worker_has_some(count: int) -> None:
    met = threading.Barrier(count)
    found = list(deal_out(range(40), [worker(str(number), met) for number in range(count)]))
    assert sorted((item, square) for item, (_, square) in found) == [(item, item**2) for item in range(40)]
    assert len({name for _, (name, _) in found}) == count


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_one_worker_ends_them_all(count: int) -> None:
    seen: list[int] = []

    def fail_at_3(item: int) -> int:
        seen.append(item)
        time.sleep(0.001)  # as a forward pass would take
        return 1 // (item - 3)

    with pytest.raises(ZeroDivisionError):
        list(deal_out(range(10_000), [fail_at_3] * count))
    assert len(seen) < 10_000


def test_one_is_made_ahead_and_no_more() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    for at, number in enumerate(one_ahead(numbers())):
        assert number == at
        assert len(made) <= at + 2
    assert made == list(range(20))


def test_an_error_in_making_ahead_reaches_the_user() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    found = one_ahead(numbers())
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
