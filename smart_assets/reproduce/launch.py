"""Starting a program without Dagster: its lines are told as they come."""

import subprocess
import sys
from collections.abc import Callable, Sequence

from smart_assets.core.errors import ProgramError
from smart_assets.core.progress import Log


def launcher(log: Log) -> Callable[[Sequence[str]], None]:
    """Return what runs `python ARGS` as its own process and logs each line of its output; it ends with this process."""

    def launch(arguments: Sequence[str]) -> None:
        with subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as program:
            for line in program.stdout or ():
                log(line.rstrip())
        if program.returncode != 0:
            raise ProgramError(f"the program ended with code {program.returncode}")

    return launch
