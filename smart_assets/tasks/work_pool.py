"""Processes that share work on one machine: `python -m smart_assets.tasks.worker`, which gets jobs as lines of JSON.

Tables go through files, in a folder of the caller's. Processes of our own, rather than Python's pools, because those
import the program that uses them once more in every process, and hand over pickles.
"""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from smart_assets.core.errors import SourceError
from smart_assets.core.threads import usable_cores

Job = dict[str, Any]
Answer = dict[str, Any]

_AHEAD = 2  # jobs for each process that are done or under way before they are asked for
_ROOT = Path(__file__).parents[2]


class WorkPool:
    """A number of processes, started when they are first needed."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._started: list[subprocess.Popen[str]] = []
        self._threads = ThreadPoolExecutor(processes)

    def answers(self, jobs: Iterable[Job]) -> Iterator[Answer]:
        """Yield the answer to each job, in the order of the jobs; few of them are done before they are asked for.

        Raises:
            SourceError: A process ended before it answered.
            RuntimeError: A job failed.
        """
        self._start()
        under_way: deque[Future[Answer]] = deque()
        for job in jobs:
            under_way.append(self._threads.submit(self._answer, job))
            if len(under_way) > _AHEAD * self.processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process in self._started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what is not written yet has nobody to read it
                        stream.close()
        self._threads.shutdown(cancel_futures=True)

    def _start(self) -> None:
        if self._started:
            return
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        for _ in range(self.processes):
            process = subprocess.Popen(
                [sys.executable, "-m", "smart_assets.tasks.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": path},
            )
            self._started.append(process)
            self._idle.put(process)

    def _answer(self, job: Job) -> Answer:
        process = self._idle.get()
        try:
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):  # the latter: closed meanwhile
            line = ""
        finally:
            self._idle.put(process)
        if not line:
            raise SourceError(
                f"a process that reads ended with status {process.poll()}, as where memory does not suffice. Set "
                "SMART_READ_PROCESSES=1 to read in one process."
            )
        answer: Answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer


@contextmanager
def work_pool() -> Generator[WorkPool]:
    """Give a pool with a process for each usable core, or as many as SMART_READ_PROCESSES says, for a time."""
    asked = os.environ.get("SMART_READ_PROCESSES", "")
    pool = WorkPool(int(asked) if asked.isdecimal() and int(asked) else usable_cores())
    try:
        yield pool
    finally:
        pool.close()
