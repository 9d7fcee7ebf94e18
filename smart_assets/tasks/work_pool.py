"""Processes that share work on one machine: `python -m smart_assets.tasks.worker`, which gets jobs as lines of JSON.

Tables go through files, in a folder of the caller's. Processes of our own, rather than Python's pools, because those
import the program that uses them once more in every process, and hand over pickles.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from smart_assets.core.errors import SourceError
from smart_assets.core.threads import in_order, usable_cores

Job = dict[str, Any]
Answer = dict[str, Any]

_MOST_PROCESSES = 8  # more would wait for the one that gathers, and each takes some 150 MB
_AHEAD = 2  # jobs for each process that are done or under way before they are asked for
_VARIABLE = "SMART_READ_PROCESSES"
_ROOT = Path(__file__).parents[2]


class WorkPool:
    """A number of processes at most, each started when it is first needed."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._started: list[subprocess.Popen[str]] = []
        self._threads = ThreadPoolExecutor(processes)

    def answers(self, jobs: Iterable[Job]) -> Iterator[Answer]:
        """Return the answer to each job, in the order of the jobs; few of them are done before they are asked for.

        Raises:
            SourceError: A process ended before it answered.
            RuntimeError: A job failed.
        """
        return in_order(self._threads, self._answer, jobs, _AHEAD * self.processes)

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._kill()
        self._threads.shutdown(cancel_futures=True)
        self._kill()  # what a thread started meanwhile
        for process in self._started:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what is not written yet has nobody to read it
                        stream.close()

    def _kill(self) -> None:
        for process in list(self._started):
            process.kill()
            process.wait()

    def _process(self) -> subprocess.Popen[str]:
        """Return a process that has nothing to do: there is one for each thread."""
        with suppress(Empty):
            return self._idle.get_nowait()
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "smart_assets.tasks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._started.append(process)
        return process

    def _answer(self, job: Job) -> Answer:
        process = self._process()
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
                f"{_VARIABLE}=1 to read in one process."
            )
        answer: Answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer


@contextmanager
def work_pool() -> Generator[WorkPool]:
    """Give a pool for a time: of a process for each usable core, but few, or as SMART_READ_PROCESSES says.

    Raises:
        SourceError: It says something else than a number of processes.
    """
    asked = os.environ.get(_VARIABLE, "")
    if asked and not (asked.isdecimal() and int(asked)):
        raise SourceError(f"{_VARIABLE} is a number of processes, 1 or more; got {asked!r}")
    pool = WorkPool(int(asked) if asked else min(usable_cores(), _MOST_PROCESSES))
    try:
        yield pool
    finally:
        pool.close()
