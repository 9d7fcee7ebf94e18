"""The fine-tuning program: `python -m smart_assets.training JOB.json`."""

import sys

from smart_assets.training.devices import claim_device
from smart_assets.training.finetune import finetune
from smart_assets.training.job import TrainingJob
from smart_assets.training.program import Log, run_program


def _work(job: TrainingJob, log: Log) -> None:
    finetune(job.model_copy(update={"device": claim_device(job.device)}), log)


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], TrainingJob.read, _work))
