"""One evaluation from job to folder: the model is loaded once, asked the rows, then each named benchmark.

The folder holds `metrics.parquet` (one figure a row), `rows.parquet` (the rows of the sources and the collections one
by one), `samples.parquet` (those of lm-eval's benchmarks), `result.json` (what was measured: equal jobs give equal
bytes on a CPU) and `timing.json` (how long it took, and where).
"""

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from smart_assets.core.errors import EvaluationError
from smart_assets.core.files import new_folder
from smart_assets.core.metrics import HELD_OUT
from smart_assets.evaluation.benchmarks import BenchmarkResult, find_benchmarks, run_benchmark
from smart_assets.evaluation.generation import write_answers
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.local_data import index_of_local
from smart_assets.evaluation.metrics import MacroMeans
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.record import EvaluationResult, write_record
from smart_assets.evaluation.rows import AskedRows, Benchmark, RowResult, prepare_rows
from smart_assets.evaluation.scoring import score_rows
from smart_assets.evaluation.task_collections import read_collections
from smart_assets.training.formatting import load_instances
from smart_assets.training.program import Log

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

_REASONS = 5  # that are told in words


def evaluate(job: EvaluationJob, log: Log) -> None:
    """Evaluate as the job says, and make its folder `out` when all is done.

    Raises:
        EvaluationError: `out` exists, a benchmark is unknown or cannot be run, no row of a benchmark can be scored, a
            loss is not finite, or the GPU's memory does not suffice.
        SourceError: a collection cannot be read.
        TrainingError: the model or the rows cannot be read.
    """
    from transformers import set_seed

    if job.out.exists():
        raise EvaluationError(f"{job.out}: exists already; name a folder that does not, or remove it first")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    started = time.monotonic()
    settings = job.evaluate
    instances = load_instances(job.rows) if settings.held_out and job.rows else []
    collections = read_collections(settings, log)  # before the model is loaded, as what follows:
    with tempfile.TemporaryDirectory() as scratch:
        indices = _indices(job, Path(scratch))  # a misspelt name shows at once
        set_seed(job.seed)
        with new_folder(job.out) as draft, _memory_advice(job):
            progress = RequestProgress(log)
            model = load_language_model(job, progress, log)
            for note in model.encoder.notes():
                log(note)
            with closing(model.answers):
                ready = time.monotonic()
                asked = [Benchmark(HELD_OUT, instances, settings.max_rows_per_task)] if settings.held_out else []
                asked += [collection.benchmark for collection in collections]
                rows = {benchmark.name: prepare_rows(model, benchmark) for benchmark in asked}
                results = [result for name in rows for result in _ask(name, rows[name], model, job, progress)]
                scored = time.monotonic()
                benchmarks: dict[str, BenchmarkResult] = {}
                for name, index in indices.items():
                    progress.benchmark = name
                    benchmarks[name] = run_benchmark(name, index, model, job)
            seconds = {"load": ready - started, "rows": scored - ready, "benchmarks": time.monotonic() - scored}
            records = {collection.benchmark.name: collection.record for collection in collections}
            outcome = EvaluationResult(rows, results, records, benchmarks, seconds)
            _tell(outcome.macro_means(settings.unseen_tasks), log)
            write_record(draft, job, model, outcome)


def _indices(job: EvaluationJob, scratch: Path) -> Mapping[str, "TaskManager"]:
    """Return where each named benchmark is found, in their order."""
    settings = job.evaluate
    index = find_benchmarks(settings)
    indices = dict.fromkeys(settings.tasks, index)
    for number, (name, folder) in enumerate(settings.local_data.items()):
        place = scratch / str(number)
        place.mkdir()
        indices[name] = index_of_local(name, Path(folder).expanduser(), index, place)
    return indices


def _ask(
    name: str, rows: AskedRows, model: LanguageModel, job: EvaluationJob, progress: RequestProgress
) -> list[RowResult]:
    progress.benchmark = name
    progress.tell(
        f"{name}: {len(rows.scored)} rows ({len(rows.truncated)} of them with the middle of the prompt cut out, "
        f"{sum(row.own.special_text for row in rows.scored)} name special tokens, which are text there), "
        f"{len(rows.not_scored)} do not fit the model; {model.prompt_format} prompts, {model.precision} on {job.device}"
    )
    lost = sum(row.own.turn_not_written for row in rows.scored)
    if lost:
        progress.tell(f"{name}: {lost} rows have a turn whose text the chat template leaves out or rewrites")
    for reason, count in Counter(row.reason for row in rows.refused).most_common(_REASONS):
        progress.tell(f"{name}: {count} rows left out: {reason}")
    results = score_rows(model.lm, rows.scored, name)
    return write_answers(model, rows.scored, results, job.evaluate.generate)


def _tell(means: MacroMeans, log: Log) -> None:
    for benchmark, groups in means.items():
        for name, mean in groups["all"].items():
            parts = [f"{group} {groups[group][name]:.4f}" for group in ("seen", "unseen") if name in groups[group]]
            log(
                f"{benchmark}: {name} {mean:.4f}, the mean over tasks"
                + (f" ({', '.join(parts)})" if len(parts) > 1 else "")
            )


@contextmanager
def _memory_advice(job: EvaluationJob) -> Generator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EvaluationError(
            f"{job.device}: its memory does not suffice for the model and one row at a time; set finetune.max_length "
            "to cut contexts shorter, or take a smaller model or another device"
        ) from error
