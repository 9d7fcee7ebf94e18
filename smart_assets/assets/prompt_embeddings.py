"""`prompt_embeddings`: a unit vector for every row of a source, and every task's mean vector."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import raw_tasks
from smart_assets.assets.parquet import write_table
from smart_assets.assets.reading.known_vectors import known_vectors
from smart_assets.assets.records import EmbeddingCost, EmbeddingParameters, EmbeddingSummary, LongRows
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.core.errors import EmbeddingError
from smart_assets.core.safe_text import printable
from smart_assets.embedding.embed import embed_prompts, task_means
from smart_assets.embedding.encoder import devices_of, load_encoder
from smart_assets.embedding.identity import resolve_precision
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.read_result import INSTANCES_FILE

NAME = "prompt_embeddings"
CODE_VERSION = "2"
ROWS_FILE = "rows.parquet"
ROWS = pa.schema([(name, pa.string()) for name in ("id", "prompt_hash", "task", "template", "split")])
TASKS = pa.schema([("task", pa.string()), ("training_rows", pa.int64())])
_TEXTS_AT_ONCE = 4096
_TASKS_NAMED = 20  # in a line of the log


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the source's rows by one encoder."""
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition(raw_tasks.NAME, partition)),),
        parameters=EmbeddingParameters.of(project.settings.embedding).as_kept(),
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `rows.parquet`, `vectors.npy` (n, d) float32, `tasks.parquet` and `task_means.npy` (T, d) float32.

    Where prompts are longer than the encoder's window, also `long_prompts.parquet` (LONG_PROMPTS, each prompt once) and
    `last_windows.npy` (k, d) float32, row by row. How many rows of each task these are stands in the manifest:
    `EmbeddingSummary.read(manifest).long_prompts`, task -> `LongRows`; tasks without any are not in it, and it is None
    where a version made the vectors that cut prompts and did not count them.

    Validation rows have vectors too, for the index; a task's mean is over its training rows.

    Raises:
        EmbeddingError: the source has no rows, or a prompt has no vector.
    """
    instances = inputs.folder(raw_tasks.NAME, partition) / INSTANCES_FILE
    hashes = pq.read_table(instances, columns=["prompt_hash"])["prompt_hash"].combine_chunks()
    if not len(hashes):
        raise EmbeddingError("there are no prompts to embed; check that the source has accepted instances")
    encoder = load_encoder(project.settings.embedding, *devices_of(run.device, project.settings.device))
    known = known_vectors(project, NAME, str(partition), encoder, out.folder / "vectors", run)
    prompts = partial(_prompts_at, instances)
    cache = known.cache
    distinct, missing = known.missing(encoder, hashes, prompts)
    run.log(f"{distinct:,} prompts, {len(missing):,} of them to embed")
    seconds = embed_prompts(prompts(missing), len(missing), encoder, cache, run.log)
    vectors = np.lib.format.open_memmap(out.content / "vectors.npy", "w+", np.float32, (len(hashes), cache.width))
    cache.fill(cache.rows_of(hashes), vectors)
    vectors.flush()

    rows = pq.read_table(instances, columns=ROWS.names)
    long = long_by_task(rows, known.write_long(hashes, out.content))
    for line in _in_words(long, encoder.windows):
        run.log(line)
    tasks, means = _task_vectors(rows, vectors)
    write_table(rows, out.content / ROWS_FILE)
    write_table(tasks, out.content / "tasks.parquet")
    np.save(out.content / "task_means.npy", means, allow_pickle=False)
    return StepResult(
        summary=EmbeddingSummary(
            rows=rows.num_rows,
            distinct_prompts=distinct,
            dimensions=cache.width,
            tasks=tasks.num_rows,
            encoder=project.settings.embedding.model,
            precision=resolve_precision(project.settings.embedding),
            long_prompts=long,
        ).as_kept(),
        facets={"tasks": json_version([tasks.to_pylist(), hashlib.sha256(means.tobytes()).hexdigest()])},
        cost=EmbeddingCost(
            prompts_embedded=len(missing),
            prompts_reused=distinct - len(missing),
            embedding_seconds=round(seconds, 3),
        ).as_kept(),
        recorded=cache.drop_segments,
    )


def long_by_task(rows: pa.Table, long: pa.Table) -> dict[str, LongRows]:
    """Return how many rows of each task have long prompts, the tasks with most first.

    Args:
        rows: ROWS.
        long: LONG_PROMPTS.
    """
    own = rows.select(["task", "prompt_hash"]).join(long, "prompt_hash", join_type="inner")
    in_part = pc.cast(pc.less(own["read"], own["windows"]), pa.int64())
    tasks = own.append_column("in part", in_part).group_by("task")
    counts = tasks.aggregate([([], "count_all"), ("in part", "sum"), ("windows", "max"), ("tokens", "max")])
    return {
        row["task"]: LongRows(
            rows=row["count_all"],
            read_in_part=row["in part_sum"],
            most_windows=row["windows_max"],
            most_tokens=row["tokens_max"],
        )
        for row in sorted(counts.to_pylist(), key=lambda row: (-row["count_all"], row["task"]))
    }


def _in_words(long: Mapping[str, LongRows], windows: int) -> Iterator[str]:
    """Yield what is to be said of long prompts."""
    if long:
        rows = sum(task.rows for task in long.values())
        how = "the mean of their windows" if windows > 1 else "of their beginnings alone (embedding.windows: 1)"
        yield f"{rows:,} rows have prompts longer than the encoder's window; their vectors are {how}: {_listed(long)}"
    in_part = {name: task for name, task in long.items() if task.read_in_part}
    if in_part and windows > 1:
        rows = sum(task.read_in_part for task in in_part.values())
        yield (
            f"{rows:,} rows have prompts of more than {windows} windows (embedding.windows), up to "
            f"{max(task.most_windows for task in in_part.values()):,}, of which {windows} are read: {_listed(in_part)}"
        )


def _listed(tasks: Mapping[str, LongRows]) -> str:
    named = [f"{printable(name)} ({task.rows:,})" for name, task in list(tasks.items())[:_TASKS_NAMED]]
    return ", ".join([*named, *([f"{len(tasks) - len(named):,} more tasks"] if len(tasks) > len(named) else [])])


def _prompts_at(instances: Path, rows: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
    """Yield prompt hash and text at some rows of a file, in rising order.

    Row groups without any of them are not read.
    """
    file = pq.ParquetFile(instances)
    start = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if np.searchsorted(rows, start) < np.searchsorted(rows, start + count):
            for batch in file.iter_batches(_TEXTS_AT_ONCE, [group], ["prompt_hash", "prompt"]):
                places = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)] - start
                chosen = batch.take(pa.array(places))
                yield from zip(chosen["prompt_hash"].to_pylist(), chosen["prompt"].to_pylist(), strict=True)
                start += batch.num_rows
        else:
            start += count


def _task_vectors(rows: pa.Table, vectors: NDArray[np.float32]) -> tuple[pa.Table, NDArray[np.float32]]:
    """Return the tasks with training rows (task, training_rows) by name, and their unit mean vectors (T, d)."""
    train = np.flatnonzero(np.asarray(pc.equal(rows["split"], "train")))
    tasks = rows["task"].combine_chunks().take(pa.array(train)).dictionary_encode()
    names: list[str] = tasks.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    codes = place[tasks.indices.to_numpy()]
    names.sort()
    means = task_means(vectors, train, codes, names)
    counts = np.bincount(codes, minlength=len(names))
    table = pa.table({"task": names, "training_rows": counts}, TASKS)
    return table, means.astype(np.float32)
