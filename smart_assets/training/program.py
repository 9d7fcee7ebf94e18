"""What makes a long computation a well-behaved program of its own: beside Dagster, or alone on a command line.

It ends with the process that started it, ends on SIGTERM with everything half-written removed, tells its progress
where somebody reads it, and says in one line what went wrong.
"""

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from smart_assets.core.environment import quiet_bitsandbytes
from smart_assets.core.errors import SmartError
from smart_assets.core.progress import Log
from smart_assets.core.safe_text import printable
from smart_assets.training.distributed import is_main

_PR_SET_PDEATHSIG = 1


class Job(Protocol):
    """What a program is told: at least where its result goes."""

    @property
    def out(self) -> Path:
        """Folder to be made."""
        ...


J = TypeVar("J", bound=Job)


def run_program(arguments: list[str], read_job: Callable[[Path], J], work: Callable[[J, Log], None]) -> int:
    """Read the job that the only argument names, work on it, and return the exit status.

    A `SmartError` becomes one line on stderr and exit status 1; the same text goes to `<out>.error.txt`, so that the
    parent process can show it. Any other exception is a bug and keeps its traceback.
    """
    if len(arguments) != 1:
        print("exactly one argument is needed: the job's JSON file", file=sys.stderr)
        return 2
    end_with_parent()
    # Threads that spin while they wait starve each other when the cores are shared: measured, 4-8 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported, which is still to come
    quiet_bitsandbytes()
    error_file: Path | None = None
    try:
        job = read_job(Path(arguments[0]))
        error_file = error_path(job.out)
        error_file.unlink(missing_ok=True)
        with _progress_log() as log:
            work(job, log)
    except SmartError as error:
        print(f"error: {error}", file=sys.stderr)
        if error_file is not None:
            error_file.parent.mkdir(parents=True, exist_ok=True)
            error_file.write_text(f"{error}\n", encoding="utf-8")
        return 1
    return 0


def error_path(out: Path) -> Path:
    """Return where a program that should have made the folder `out` leaves its error message."""
    return out.with_name(f"{out.name}.error.txt")


@contextmanager
def _progress_log() -> Generator[Log]:
    """Yield a log to the Dagster run where one started this process, else to stderr; only the first process logs."""
    if not is_main():
        yield lambda _: None
        return
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield lambda line: print(printable(line), file=sys.stderr, flush=True)
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        yield lambda line: pipes.log.info(printable(line))


def end_with_parent() -> None:
    """End on SIGTERM and SIGINT as on an exception, so that drafts are removed, and then at once.

    Dagster sends SIGINT when a person terminates the run, which a shell's background process would ignore. On Linux
    SIGTERM is also sent when the parent dies. Taking down an interpreter that holds torch takes seconds, and nobody
    waits for what it frees: once every exit hook has run, the process leaves without.
    """
    ended_by: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ended_by.append(number)
        sys.exit(128 + number)

    def leave() -> None:
        if ended_by:
            with suppress(OSError, ValueError):  # nobody may be reading any more
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(128 + ended_by[0])

    atexit.register(leave)  # before any library's hook, and so run after all of them
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it was watched
            sys.exit(128 + signal.SIGTERM)
