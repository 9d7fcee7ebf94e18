"""`prompt_embeddings`: a unit vector for every row of a source, and every task's mean vector."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import raw_tasks
from smart_assets.assets.parquet import write_table
from smart_assets.assets.records import EmbeddingCost, EmbeddingParameters, EmbeddingSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.core.errors import EmbeddingError, StoreError
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts, task_means
from smart_assets.embedding.encoder import devices_of, load_encoder
from smart_assets.embedding.identity import encoder_version, resolve_precision
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.read_result import INSTANCES_FILE

NAME = "prompt_embeddings"
CODE_VERSION = "1"
_MANIFESTS = 20  # looked through for vectors of the encoder that is wanted now
ROWS_FILE = "rows.parquet"
ROWS = pa.schema([(name, pa.string()) for name in ("id", "prompt_hash", "task", "template", "split")])
TASKS = pa.schema([("task", pa.string()), ("training_rows", pa.int64())])
_TEXTS_AT_ONCE = 4096


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the source's rows by one encoder."""
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition(raw_tasks.NAME, partition)),),
        parameters=EmbeddingParameters(encoder=encoder_version(project.settings.embedding)).as_kept(),
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `rows.parquet`, `vectors.npy` (n, d) float32, `tasks.parquet` and `task_means.npy` (T, d) float32.

    Validation rows have vectors too, for the index; a task's mean is over its training rows.

    Raises:
        EmbeddingError: the source has no rows, or a prompt has no vector.
    """
    instances = inputs.folder(raw_tasks.NAME, partition) / INSTANCES_FILE
    hashes = pq.read_table(instances, columns=["prompt_hash"])["prompt_hash"].combine_chunks()
    if not len(hashes):
        raise EmbeddingError("there are no prompts to embed; check that the source has accepted instances")
    encoder = load_encoder(project.settings.embedding, *devices_of(run.device, project.settings.device))
    known = known_vectors(project, str(partition), encoder.version, out.folder / "vectors", run)
    distinct, missing = _distinct_and_missing(hashes, known)
    run.log(f"{distinct:,} prompts, {len(missing):,} of them to embed")
    seconds = embed_prompts(_prompts_at(instances, missing), len(missing), encoder, known, run.log)
    vectors = np.lib.format.open_memmap(out.content / "vectors.npy", "w+", np.float32, (len(hashes), known.width))
    known.fill(known.rows_of(hashes), vectors)
    vectors.flush()

    rows = pq.read_table(instances, columns=ROWS.names)
    tasks, means = _task_vectors(rows, vectors)
    write_table(rows, out.content / ROWS_FILE)
    write_table(tasks, out.content / "tasks.parquet")
    np.save(out.content / "task_means.npy", means, allow_pickle=False)
    return StepResult(
        summary=EmbeddingSummary(
            rows=rows.num_rows,
            distinct_prompts=distinct,
            dimensions=known.width,
            tasks=tasks.num_rows,
            encoder=project.settings.embedding.model,
            precision=resolve_precision(project.settings.embedding),
        ).as_kept(),
        facets={"tasks": json_version([tasks.to_pylist(), hashlib.sha256(means.tobytes()).hexdigest()])},
        cost=EmbeddingCost(
            prompts_embedded=len(missing),
            prompts_reused=distinct - len(missing),
            embedding_seconds=round(seconds, 3),
        ).as_kept(),
        recorded=known.drop_segments,
    )


def _distinct_and_missing(hashes: pa.Array, known: VectorCache) -> tuple[int, NDArray[np.int64]]:
    """Return how many prompts there are, and the first row of each that has no vector yet, rising."""
    encoded = hashes.dictionary_encode()
    codes = encoded.indices.to_numpy()
    first = np.empty(len(encoded.dictionary), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several rows the last one written, the first, stays
    return len(first), np.sort(first[known.rows_of(encoded.dictionary) < 0])


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


def known_vectors(project: Project, writer: str, encoder: str, links: Path, run: RunContext) -> VectorCache:
    """Return the vectors that this encoder gave before.

    The newest of each source, and what a killed run of a writer left.

    Args:
        project: whose store holds them.
        writer: a source, or who else embeds prompts.
        encoder: its version.
        links: a folder of this run alone.
        run: told of what cannot be used.
    """
    known = VectorCache(project.store.cache_folder("vectors") / writer, encoder, run.log, links)
    for name in project.settings.sources:
        try:
            made = project.store.history(NAME, name, newest=_MANIFESTS)
            newest = next(
                (manifest for manifest in made if EmbeddingParameters.read(manifest).encoder == encoder), None
            )
            if newest is None:
                continue
            folder = project.store.artifact(newest)
            hashes = pq.read_table(folder / ROWS_FILE, columns=["prompt_hash"])["prompt_hash"].combine_chunks()
            known.add_artifact(hashes, folder / "vectors.npy")
        except (StoreError, pa.ArrowException, OSError) as error:
            run.log(f"the earlier vectors of {name} cannot be used, their prompts are embedded again: {error}")
    return known


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
