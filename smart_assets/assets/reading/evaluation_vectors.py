"""Vectors of evaluation prompts: held-out rows have theirs, those from outside the store are embedded once and kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets.parquet import write_table
from smart_assets.assets.prompt_embeddings import known_vectors
from smart_assets.assets.records import OverlapParameters
from smart_assets.assets.step import Draft, RunContext
from smart_assets.core.errors import StoreError
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts
from smart_assets.embedding.encoder import devices_of, load_encoder
from smart_assets.settings import Project

ATTACHMENT = "vectors"
PROMPTS = pa.schema([("prompt_hash", pa.string())])
_WRITER = "_evaluation"  # no source's name begins so


@dataclass(frozen=True, slots=True)
class OutsideVectors:
    """The vectors of evaluation prompts from outside the store."""

    vectors: NDArray[np.float32]  # (n, d), row by row
    embedded: int  # prompts that the encoder had to read
    recorded: Callable[[], None]  # to be called once the attachment is recorded


def embed_outside(project: Project, asset: str, prompts: pa.Table, out: Draft, run: RunContext) -> OutsideVectors:
    """Embed prompts that were never seen; attach all their vectors, so that the next time knows them.

    Args:
        project: names the encoder.
        asset: to whose artifact they are attached.
        prompts: `prompt_hash` and `prompt` of each row.
        out: the draft of the artifact.
        run: what it computes on.

    Raises:
        EmbeddingError: the encoder cannot be loaded, or a prompt has no vector.
    """
    if not prompts.num_rows:
        return OutsideVectors(np.empty((0, 1), np.float32), 0, lambda: None)
    texts = dict(zip(prompts["prompt_hash"].to_pylist(), prompts["prompt"].to_pylist(), strict=True))
    hashes = sorted(texts)
    encoder = load_encoder(project.settings.embedding, *devices_of(run.device, project.settings.device))
    known = known_vectors(project, _WRITER, encoder.version, out.folder / "evaluation-vectors", run)
    _add_attached(project, asset, encoder.version, known, run)
    missing = [hashes[place] for place in np.flatnonzero(known.rows_of(hashes) < 0)]
    run.log(f"{len(hashes):,} evaluation prompts from outside the store, {len(missing):,} of them to embed")
    embed_prompts(((name, texts[name]) for name in missing), len(missing), encoder, known, run.log)
    vectors = np.empty((len(hashes), known.width), np.float32)
    known.fill(known.rows_of(hashes), vectors)
    _attach(out.attachment(ATTACHMENT), hashes, vectors)
    places = np.searchsorted(np.array(hashes), np.array(prompts["prompt_hash"].to_pylist()))
    return OutsideVectors(vectors[places], len(missing), known.drop_segments)


def _attach(folder: Path, hashes: list[str], vectors: NDArray[np.float32]) -> None:
    write_table(pa.table([hashes], PROMPTS), folder / "prompts.parquet")
    np.save(folder / "vectors.npy", vectors, allow_pickle=False)


def _add_attached(project: Project, asset: str, encoder: str, known: VectorCache, run: RunContext) -> None:
    """Add the vectors that the last artifact was given."""
    try:
        earlier = project.store.current(asset, None)
        attached = None if earlier is None else earlier.attachments.get(ATTACHMENT)
        if earlier is not None and attached is not None and OverlapParameters.read(earlier).encoder == encoder:
            folder = project.store.folder(attached)
            hashes = pq.read_table(folder / "prompts.parquet")["prompt_hash"].combine_chunks()
            known.add_artifact(hashes, folder / "vectors.npy")
    except (StoreError, pa.ArrowException, OSError) as error:
        run.log(f"the earlier vectors of evaluation prompts cannot be used, they are embedded again: {error}")
