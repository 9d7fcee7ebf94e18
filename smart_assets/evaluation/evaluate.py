"""One evaluation from job to folder: the model is loaded once, asked the held-out rows, then each named benchmark.

The folder holds `metrics.parquet` (one figure a row), `rows.parquet` (the held-out rows one by one), `result.json`
(what was measured: equal jobs give equal bytes on a CPU) and `timing.json` (how long it took, and where).
"""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager

from smart_assets.errors import EvaluationError
from smart_assets.evaluation.benchmarks import BenchmarkResult, find_benchmarks, run_benchmark
from smart_assets.evaluation.held_out import HeldOutRows, prepare_rows, score_rows
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.metrics import HELD_OUT, held_out_metrics, macro_means
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.record import Outcome, write_record
from smart_assets.training.formatting import load_instances
from smart_assets.training.program import Log, written_beside


def evaluate(job: EvaluationJob, log: Log) -> None:
    """Evaluate as the job says, and make its folder `out` when all is done.

    Raises:
        EvaluationError: `out` exists, a benchmark is unknown or cannot be run, no held-out row can be scored, a loss is
            not finite, or the GPU's memory does not suffice.
        TrainingError: the model or the rows cannot be read.
    """
    from transformers import set_seed

    if job.out.exists():
        raise EvaluationError(f"{job.out}: exists already; name a folder that does not, or remove it first")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    started = time.monotonic()
    instances = load_instances(job.rows) if job.evaluate.held_out and job.rows else []
    index = find_benchmarks(job.evaluate)  # before the model is loaded: a misspelt name shows at once
    set_seed(job.seed)
    with written_beside(job.out) as draft, _memory_advice(job):
        progress = RequestProgress(log)
        model = load_language_model(job, progress, log)
        ready = time.monotonic()
        rows = prepare_rows(model, instances, job.evaluate.max_rows_per_task)
        log(_summary(rows, model, job))
        progress.benchmark = HELD_OUT
        results = score_rows(model.lm, rows.scored)
        metrics = held_out_metrics(results)
        for name, mean in macro_means(metrics).items():
            log(f"{HELD_OUT}: {name} {mean:.4f}, the mean over tasks")
        scored = time.monotonic()
        benchmarks: dict[str, BenchmarkResult] = {}
        for name in job.evaluate.tasks:
            progress.benchmark = name
            benchmarks[name] = run_benchmark(name, index, model, job)
        seconds = {"load": ready - started, "held_out": scored - ready, "benchmarks": time.monotonic() - scored}
        write_record(draft, job, model, Outcome(rows, results, metrics, benchmarks, seconds))


def _summary(rows: HeldOutRows, model: LanguageModel, job: EvaluationJob) -> str:
    return (
        f"{len(rows.scored)} held-out rows ({len(rows.truncated)} of them with the start of the context cut off), "
        f"{len(rows.not_scored)} do not fit the model; {model.prompt_format} prompts, {model.precision} on {job.device}"
    )


@contextmanager
def _memory_advice(job: EvaluationJob) -> Generator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EvaluationError(
            f"{job.device}: its memory does not suffice for rows in batches of {job.evaluate.batch_size}; "
            "lower evaluate.batch_size"
        ) from error
