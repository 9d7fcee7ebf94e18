"""Dealing work out to several devices, and doing the next piece while this one is worked on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def deal_out(items: Sequence[Item], workers: Sequence[Callable[[Item], Result]]) -> Iterator[tuple[Item, Result]]:
    """Yield every item with its result, as they come; a worker has one item at a time, and then takes the next.

    One worker works in the calling thread, several have a thread each. An error in one ends them all.
    """
    if len(workers) == 1:
        yield from ((item, workers[0](item)) for item in items)
        return
    free: SimpleQueue[Callable[[Item], Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(item: Item) -> tuple[Item, Result]:
        worker = free.get()
        try:
            return item, worker(item)
        finally:
            free.put(worker)

    pool = ThreadPoolExecutor(len(workers))
    try:
        for done in as_completed([pool.submit(work, item) for item in items]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items`, each made in a second thread while the one before is in use; so two exist at a time."""
    source = iter(items)
    end = object()
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield item  # pyright: ignore[reportReturnType]
    finally:
        pool.shutdown(cancel_futures=True)
