"""The evaluation program: `python -m smart_assets.evaluation JOB.json`."""

import os
import sys
from pathlib import Path

from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.store.url_folder import is_url
from smart_assets.training.devices import claim_device
from smart_assets.training.program import Log, run_program


def _work(job: EvaluationJob, log: Log) -> None:
    os.environ["TQDM_DISABLE"] = "1"  # progress goes to `log`
    if _needs_no_hub(job):  # nor does any library then ask it on its own account
        os.environ["HF_HUB_OFFLINE"] = "1"
    evaluate(job.model_copy(update={"device": claim_device(job.device)}), log)


def _needs_no_hub(job: EvaluationJob) -> bool:
    """Return whether model, collections and rows of every lm-eval task are local: others may name the hub."""
    base = job.base_model
    model = base is None or base.startswith("package:") or is_url(base) or Path(base).expanduser().is_dir()
    collections = all(collection.is_local(Path()) for collection in job.evaluate.collections.values())
    return model and collections and set(job.evaluate.tasks) <= job.evaluate.local_data.keys()


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], EvaluationJob.read, _work))
