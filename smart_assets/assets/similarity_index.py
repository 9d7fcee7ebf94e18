"""`similarity_index`: a FAISS index over a source's vectors, and its near-duplicate pairs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.parquet import write_table
from smart_assets.assets.records import IndexSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.embedding.index import build_index, near_duplicates, write_index
from smart_assets.settings import Project

NAME = "similarity_index"
CODE_VERSION = "1"
NEAR_DUPLICATES = pa.schema(
    [*((name, pa.string()) for name in ("id", "other_id", "task", "other_task")), ("cosine", pa.float32())]
)


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the source's vectors."""
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition(prompt_embeddings.NAME, partition)),),
        parameters={"index": project.settings.index.model_dump(mode="json")},
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `index.faiss` (rows as in the vectors), `near_duplicates.parquet` and `nearest.npy` (n,) float32."""
    folder = inputs.folder(prompt_embeddings.NAME, partition)
    rows = pq.read_table(folder / "rows.parquet", columns=["id", "task"])
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    settings = project.settings.index
    index = build_index(vectors, settings, run.device)
    duplicates = near_duplicates(index, vectors, settings, run.log)
    write_index(index, out.content / "index.faiss")
    np.save(out.content / "nearest.npy", duplicates.nearest.astype(np.float32), allow_pickle=False)
    first, second = (rows.take(pa.array(side)) for side in (duplicates.first, duplicates.second))
    pairs = pa.table(
        [first["id"], second["id"], first["task"], second["task"], pa.array(duplicates.cosine, pa.float32())],
        NEAR_DUPLICATES,
    )
    write_table(pairs, out.content / "near_duplicates.parquet")
    return StepResult(
        summary=IndexSummary(
            rows=rows.num_rows,
            dimensions=int(vectors.shape[1]),
            index=duplicates.kind,
            near_duplicate_pairs=pairs.num_rows,
            all_pairs_found=duplicates.exact,
            threshold=settings.near_duplicate,
            neighbours_searched=settings.neighbours,
        ).as_kept()
    )
