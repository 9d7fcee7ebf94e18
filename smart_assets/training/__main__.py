"""The fine-tuning program: `python -m smart_assets.training JOB.json`."""

import sys
from pathlib import Path

from smart_assets.core.errors import TrainingError
from smart_assets.training.devices import claim_device
from smart_assets.training.distributed import become_several
from smart_assets.training.finetune import finetune
from smart_assets.training.job import TrainingJob
from smart_assets.training.program import Log, end_with_parent, run_program


def _work(job: TrainingJob, log: Log) -> None:
    finetune(job.model_copy(update={"device": claim_device(job.device)}), log)


def _processes(arguments: list[str]) -> int:
    """Return how many the job asks for; a job that cannot be read is refused later, in words."""
    try:
        return TrainingJob.read(Path(arguments[0])).processes
    except (TrainingError, IndexError):
        return 1


if __name__ == "__main__":
    end_with_parent()
    become_several("smart_assets.training", sys.argv[1:], _processes(sys.argv[1:]))
    sys.exit(run_program(sys.argv[1:], TrainingJob.read, _work))
