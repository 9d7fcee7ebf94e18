"""Training and evaluation as programs of their own: a job file in, a folder out, the error in one sentence."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smart_assets.assets.step import RunContext
from smart_assets.core.errors import ProgramError
from smart_assets.training.program import error_path


def run_program(run: RunContext, module: str, write_job: Callable[[Path], None], out: Path) -> None:
    """Run `python -m module JOB`, which makes the folder `out`.

    Raises:
        ProgramError: the program ended with an error; the message is its own.
    """
    job = out.with_name(f"{out.name}.job.json")
    write_job(job)
    try:
        run.launch(["-m", module, str(job)])
    except ProgramError as error:
        message = error_path(out)
        raise ProgramError(
            message.read_text(encoding="utf-8").strip() if message.exists() else _ending(error)
        ) from error
    job.unlink()


def take_timing(out: Path) -> dict[str, Any]:
    """Return what a program says of the time it took, taken out of its folder: it is no content."""
    timing = out / "timing.json"
    figures = json.loads(timing.read_text(encoding="utf-8"))
    timing.unlink()
    return figures


def _ending(error: ProgramError) -> str:
    """Return why a program ended that could not say so itself."""
    if not re.search(rf"code (-{signal.SIGKILL}|{128 + signal.SIGKILL})\b", str(error)):
        return str(error)
    return (
        "the program was killed, most likely because this machine's memory was full: lower finetune.micro_batch or "
        "finetune.max_length, or set evaluate.batch_size; a fine-tune goes on from its last saved step"
    )
