"""`similarity_index`: a FAISS index over a source's vectors, and its near-duplicate pairs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.parquet import write_table
from smart_assets.assets.records import IndexSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.embedding.index import (
    DocumentPairs,
    NearDuplicatePairs,
    build_index,
    near_duplicates,
    write_index,
)
from smart_assets.embedding.windows import read_prompt_vectors
from smart_assets.settings import Project

NAME = "similarity_index"
CODE_VERSION = "1"
NEAR_DUPLICATES = pa.schema(
    [*((name, pa.string()) for name in ("id", "other_id", "task", "other_task")), ("cosine", pa.float32())]
)

SAME_DOCUMENTS = NEAR_DUPLICATES.append(pa.field("last_cosine", pa.float32()))  # null: an end was not read


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the source's vectors."""
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition(prompt_embeddings.NAME, partition)),),
        parameters={"index": project.settings.index.model_dump(mode="json")},
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `index.faiss` (rows as in the vectors), `near_duplicates.parquet` and `nearest.npy` (n,) float32.

    Where prompts have several windows, also `same_documents.parquet`: pairs that are near as a whole, and not at their
    ends.
    """
    folder = inputs.folder(prompt_embeddings.NAME, partition)
    rows = pq.read_table(folder / "rows.parquet", columns=["id", "task"])
    prompts = read_prompt_vectors(folder)
    settings = project.settings.index
    index = build_index(prompts.whole, settings, run.device)
    duplicates = near_duplicates(index, prompts, settings, run.log)
    write_index(index, out.content / "index.faiss")
    np.save(out.content / "nearest.npy", duplicates.nearest.astype(np.float32), allow_pickle=False)
    pairs = _pairs(rows, duplicates)
    write_table(pairs, out.content / "near_duplicates.parquet")
    documents = duplicates.documents
    if prompts.long.any():
        last = pa.array(documents.last_cosine, pa.float32(), from_pandas=True)
        table = _pairs(rows, documents).append_column(SAME_DOCUMENTS.field("last_cosine"), last)
        write_table(table, out.content / "same_documents.parquet")
    if len(documents.first):
        run.log(
            f"{len(documents.first):,} pairs of long prompts are near as a whole and not at their ends: the same "
            "document, not the same question; they are no near duplicates (view same_documents)"
        )
    return StepResult(
        summary=IndexSummary(
            rows=rows.num_rows,
            dimensions=int(prompts.whole.shape[1]),
            index=duplicates.kind,
            near_duplicate_pairs=pairs.num_rows,
            same_document_pairs=len(documents.first),
            all_pairs_found=duplicates.exact,
            threshold=settings.near_duplicate,
            neighbours_searched=settings.neighbours,
        ).as_kept()
    )


def _pairs(rows: pa.Table, pairs: NearDuplicatePairs | DocumentPairs) -> pa.Table:
    first, second = (rows.take(pa.array(side)) for side in (pairs.first, pairs.second))
    cosine = pa.array(pairs.cosine, pa.float32())
    return pa.table([first["id"], second["id"], first["task"], second["task"], cosine], NEAR_DUPLICATES)
