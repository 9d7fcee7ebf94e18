"""Vectors of evaluation prompts: held-out rows have theirs, those from outside the store are embedded once and kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.parquet import write_table
from smart_assets.assets.reading.known_vectors import KnownVectors, known_vectors
from smart_assets.assets.records import OverlapParameters, OverlapSummary
from smart_assets.assets.step import Draft, RunContext
from smart_assets.core.errors import StoreError
from smart_assets.embedding.embed import embed_prompts
from smart_assets.embedding.encoder import devices_of, load_encoder
from smart_assets.embedding.windows import LAST_FILE, PromptVectors
from smart_assets.settings import Project

ATTACHMENT = "vectors"
PROMPTS = pa.schema([("prompt_hash", pa.string())])
_WRITER = "_evaluation"  # no source's name begins so


@dataclass(frozen=True, slots=True)
class OutsideVectors:
    """The vectors of evaluation prompts from outside the store."""

    vectors: PromptVectors  # row by row
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
        return OutsideVectors(PromptVectors.short(np.empty((0, 1), np.float32)), 0, lambda: None)
    texts = dict(zip(prompts["prompt_hash"].to_pylist(), prompts["prompt"].to_pylist(), strict=True))
    names = sorted(texts)
    hashes = pa.array(names, pa.string())
    encoder = load_encoder(project.settings.embedding, *devices_of(run.device, project.settings.device))
    links = out.folder / "evaluation-vectors"
    known = known_vectors(project, prompt_embeddings.NAME, _WRITER, encoder, links, run)
    _add_attached(project, asset, encoder.version, known, run)

    def at(rows: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
        yield from ((names[row], texts[names[row]]) for row in rows.tolist())

    _, missing = known.missing(encoder, hashes, at)
    run.log(f"{len(names):,} evaluation prompts from outside the store, {len(missing):,} of them to embed")
    embed_prompts(at(missing), len(missing), encoder, known.cache, run.log)
    vectors = _attach(out.attachment(ATTACHMENT), hashes, known)
    places = np.searchsorted(np.array(names), np.array(prompts["prompt_hash"].to_pylist()))
    return OutsideVectors(vectors.only(places), len(missing), known.cache.drop_segments)


def _attach(folder: Path, hashes: pa.Array, known: KnownVectors) -> PromptVectors:
    vectors = np.empty((len(hashes), known.cache.width), np.float32)
    known.cache.fill(known.cache.rows_of(hashes), vectors)
    write_table(pa.table([hashes], PROMPTS), folder / "prompts.parquet")
    np.save(folder / "vectors.npy", vectors, allow_pickle=False)
    long = known.write_long(hashes, folder)
    last = np.load(folder / LAST_FILE, allow_pickle=False) if long.num_rows else vectors[:0]
    return PromptVectors.of(vectors, hashes, long, last)


def _add_attached(project: Project, asset: str, encoder: str, known: KnownVectors, run: RunContext) -> None:
    """Add the vectors that the last artifact was given."""
    try:
        earlier = project.store.current(asset, None)
        attached = None if earlier is None else earlier.attachments.get(ATTACHMENT)
        if earlier is not None and attached is not None and OverlapParameters.read(earlier).encoder == encoder:
            checked = OverlapSummary.read(earlier).read_in_part is not None
            known.add(project.store.folder(attached), "prompts.parquet", checked)
    except (StoreError, pa.ArrowException, OSError) as error:
        run.log(f"the earlier vectors of evaluation prompts cannot be used, they are embedded again: {error}")
