"""Training and evaluation as programs of their own: a job file in, a folder out, the error in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smart_assets.errors import ProgramError
from smart_assets.pipeline.step import RunContext
from smart_assets.training.program import error_path


def run_program(run: RunContext, module: str, write_job: Callable[[Path], None], out: Path) -> dict[str, Any]:
    """Run `python -m module JOB`, which makes the folder `out`, and take its `timing.json` out of the content.

    Raises:
        ProgramError: the program ended with an error; the message is its own.
    """
    job = out.with_name(f"{out.name}.job.json")
    write_job(job)
    try:
        run.launch(["-m", module, str(job)])
    except ProgramError as error:
        told = error_path(out)
        raise ProgramError(told.read_text(encoding="utf-8").strip() if told.exists() else str(error)) from error
    job.unlink()
    timing = out / "timing.json"
    figures = json.loads(timing.read_text(encoding="utf-8"))
    timing.unlink()
    return figures
