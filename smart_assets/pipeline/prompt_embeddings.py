"""`prompt_embeddings`: a unit vector for every row of a source, and every task's mean vector."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts, task_means
from smart_assets.embedding.encoder import load_encoder
from smart_assets.embedding.identity import encoder_version, resolve_precision
from smart_assets.errors import StoreError
from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import AssetPartition, Draft, Input, Inputs, Made, RunContext, Wanted
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version

NAME = "prompt_embeddings"
CODE_VERSION = "1"
ROW_COLUMNS = ["id", "prompt_hash", "task", "template", "split"]


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from the source's rows by one encoder."""
    return Wanted(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition("raw_tasks", partition)),),
        parameters={"encoder": encoder_version(project.settings.embedding)},
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `rows.parquet`, `vectors.npy` (n, d) float32, `tasks.parquet` and `task_means.npy` (T, d) float32.

    Validation rows have vectors too, for the index; a task's mean is over its training rows.
    """
    instances = pq.read_table(inputs.folder("raw_tasks", partition) / "instances.parquet")
    hashes: list[str] = instances["prompt_hash"].to_pylist()
    prompts = dict(zip(hashes, instances["prompt"].to_pylist(), strict=True))
    encoder = load_encoder(project.settings.embedding, run.device)
    known = _known_vectors(project, str(partition), encoder.version, run)
    unseen = known.count_unseen(prompts)
    unique = embed_prompts(prompts, encoder, known, run.log)
    place = {prompt_hash: index for index, prompt_hash in enumerate(prompts)}
    vectors = unique[[place[prompt_hash] for prompt_hash in hashes]]

    rows = instances.select(ROW_COLUMNS)
    tasks, means = _task_vectors(rows, vectors)
    write_table(rows, out.content / "rows.parquet")
    np.save(out.content / "vectors.npy", vectors, allow_pickle=False)
    write_table(tasks, out.content / "tasks.parquet")
    np.save(out.content / "task_means.npy", means, allow_pickle=False)
    return Made(
        summary={
            "rows": rows.num_rows,
            "distinct prompts": len(prompts),
            "dimensions": int(vectors.shape[1]),
            "tasks": tasks.num_rows,
            "encoder": project.settings.embedding.model,
            "precision": resolve_precision(project.settings.embedding),
        },
        facets={"tasks": json_version([tasks.to_pylist(), hashlib.sha256(means.tobytes()).hexdigest()])},
        cost={"prompts embedded": unseen, "prompts reused": len(prompts) - unseen},
        recorded=known.drop_segments,
    )


def _known_vectors(project: Project, source: str, encoder: str, run: RunContext) -> VectorCache:
    """The vectors that this encoder gave before: the newest of each source, and what a killed run left."""
    known = VectorCache(project.store.cache_folder("vectors") / source, encoder, run.log)
    for name in project.settings.sources:
        made = (one for one in project.store.history(NAME, name) if one.parameters["encoder"] == encoder)
        newest = next(made, None)
        if newest is None:
            continue
        try:
            folder = project.store.artifact(newest)
            hashes = pq.read_table(folder / "rows.parquet", columns=["prompt_hash"])["prompt_hash"].to_pylist()
            known.add_artifact(hashes, folder / "vectors.npy")
        except (StoreError, pa.ArrowException, OSError) as error:
            run.log(f"the earlier vectors of {name} cannot be used, their prompts are embedded again: {error}")
    return known


def _task_vectors(rows: pa.Table, vectors: NDArray[np.float32]) -> tuple[pa.Table, NDArray[np.float32]]:
    """Tasks with training rows (task, training_rows) by name, and their unit mean vectors (T, d)."""
    train = np.asarray(pc.equal(rows["split"], "train"))
    names, codes, counts = np.unique(
        np.array(rows["task"].to_pylist(), dtype=object)[train], return_inverse=True, return_counts=True
    )
    means = task_means(vectors[train], codes, names.tolist())
    table = pa.table({"task": pa.array(names.tolist(), pa.string()), "training_rows": pa.array(counts, pa.int64())})
    return table, means.astype(np.float32)
