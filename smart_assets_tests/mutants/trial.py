"""Trying changes: a scratch copy of the project, and tests in a fork that has the libraries loaded already."""

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smart_assets_tests.mutants.mutations import Mutation

# Loaded once, before any fork; the product itself is not, for each fork reads its own copy.
LIBRARIES = ("pytest", "numpy", "pyarrow.parquet", "pyarrow.compute", "pydantic", "yaml", "hypothesis", "typer.testing",
             "dagster", "duckdb", "fsspec", "rich.console", "scipy.stats")  # fmt: skip
TIMED_OUT = -1


@dataclass(frozen=True, slots=True)
class Trial:
    """How a run of tests ended."""

    code: int  # pytest's, or `TIMED_OUT`
    seconds: float  # of computing
    output: str

    @property
    def noticed(self) -> bool:
        """Whether a test failed, or the run had no end."""
        return self.code != 0

    @property
    def first_failure(self) -> str:
        """The first test that failed."""
        if self.code == TIMED_OUT:
            return "no end"
        lines = [line for line in self.output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return lines[0].split(" - ")[0].partition(" ")[2] if lines else f"pytest ended with {self.code}"


class Scratch:
    """A copy of the project's files, where one file at a time is changed."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.root = project, folder / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project,
            capture_output=True,
            check=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (project / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, self.root / name)

    def try_mutation(self, mutation: Mutation, tests: Sequence[str], most_seconds: float) -> Trial:
        """Make a change, run the tests until one fails, and take the change back."""
        path = self.root / mutation.path.relative_to(self.project)
        text = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutation.apply(text))
            return self.run(tests, most_seconds)
        finally:
            self._write(path, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Compiled files are told apart by second and size, which two changes can share.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def run(self, tests: Sequence[str], most_seconds: float) -> Trial:
        """Run tests of the copy in a process of their own, for at most so many seconds of computing."""
        output = self.root.parent / "output"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = os.fork()
        if process == 0:
            self._be_the_tests(tests, most_seconds, output)
        code = _await(process, 10 * most_seconds)
        shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Trial(code, seconds, output.read_text(encoding="utf-8", errors="replace"))

    def _be_the_tests(self, tests: Sequence[str], most_seconds: float, output: Path) -> None:
        code = 99
        try:
            os.setsid()
            limit = int(most_seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root)
            sys.path.insert(0, str(self.root))
            for name in [name for name in sys.modules if name.split(".")[0] == "smart_assets_tests"]:
                del sys.modules[name]
            import pytest

            folder = self.root.parent / "tmp"
            shutil.rmtree(folder, ignore_errors=True)
            options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
            code = int(pytest.main([*options, f"--basetemp={folder}", *tests]))
            sys.stdout.flush()
        finally:
            os._exit(code)


def load_libraries() -> None:
    """Import what every run of tests needs, so that forks have it."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    for name in LIBRARIES:
        importlib.import_module(name)


def _await(process: int, most_seconds: float) -> int:
    """The exit status of a process, which is ended with all that it started when it takes too long."""
    end = time.monotonic() + most_seconds
    pause = 0.02
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            _end_all(process)
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else TIMED_OUT
        if time.monotonic() > end:
            _end_all(process)
            os.waitpid(process, 0)
            return TIMED_OUT
        time.sleep(pause)
        pause = min(0.5, 1.5 * pause)


def _end_all(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
