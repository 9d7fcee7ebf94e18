"""Vectors that an encoder gave before: which of them still count, and those of long prompts beside them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets.parquet import write_table
from smart_assets.assets.records import EmbeddingParameters, EmbeddingSummary
from smart_assets.assets.step import RunContext
from smart_assets.core.errors import StoreError
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.encoder import PromptEncoder
from smart_assets.embedding.windows import LAST_FILE, LONG_FILE, LONG_PROMPTS
from smart_assets.settings import Project
from smart_assets.store import Manifest

_MANIFESTS = 20  # looked through for vectors of the encoder that is wanted now
_PROMPTS_AT_ONCE = 4096

Prompts = Callable[[NDArray[np.int64]], Iterable[tuple[str, str]]]
"""Gives prompt hash and text at some rising rows."""


@dataclass(frozen=True, slots=True)
class _Unchecked:
    """Vectors of a version that read every prompt in its first window alone, and did not say which it cut."""

    prompt_hashes: pa.Array
    vectors_file: Path


@dataclass(frozen=True)
class KnownVectors:
    """The vectors of one encoder that were made before, and those that a run adds."""

    cache: VectorCache
    unchecked: list[_Unchecked] = field(default_factory=list[_Unchecked])

    def add(self, folder: Path, hashes_file: str, checked: bool) -> None:
        """Take the vectors of an artifact.

        Args:
            folder: of the artifact.
            hashes_file: its table of prompt hashes, row by row.
            checked: whether it names its long prompts.

        Raises:
            StoreError: they cannot be read.
        """
        hashes = pq.read_table(folder / hashes_file, columns=["prompt_hash"])["prompt_hash"].combine_chunks()
        if not checked:
            self.unchecked.append(_Unchecked(hashes, folder / "vectors.npy"))
        elif (folder / LONG_FILE).is_file():
            long = pq.read_table(folder / LONG_FILE)
            self.cache.add_artifact(hashes, folder / "vectors.npy", long, folder / LAST_FILE)
        else:
            self.cache.add_artifact(hashes, folder / "vectors.npy")

    def missing(self, encoder: PromptEncoder, hashes: pa.Array, prompts: Prompts) -> tuple[int, NDArray[np.int64]]:
        """Return how many prompts there are, and the first row of each that has no vector yet, rising.

        Prompts of unchecked vectors are cut into tokens, where they may have several windows: those of one keep their
        vectors.

        Args:
            encoder: that makes the vectors.
            hashes: (n,) of the prompts, row by row.
            prompts: gives the texts.

        Raises:
            EmbeddingError: the encoder cannot be loaded.
        """
        encoded = hashes.dictionary_encode()
        codes = encoded.indices.to_numpy()
        first = np.empty(len(encoded.dictionary), np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several rows the last one written, the first, stays
        unknown = self.cache.rows_of(encoded.dictionary) < 0
        for part in self.unchecked:
            doubted = unknown & np.asarray(pc.is_in(encoded.dictionary, value_set=part.prompt_hashes))
            if doubted.any():
                encoder.load()
                self._check(encoder, part, prompts(np.sort(first[doubted])))
                unknown = self.cache.rows_of(encoded.dictionary) < 0
        return len(first), np.sort(first[unknown])

    def _check(self, encoder: PromptEncoder, part: _Unchecked, prompts: Iterable[tuple[str, str]]) -> None:
        short: list[str] = []
        long = [LONG_PROMPTS.empty_table()]
        pairs = iter(prompts)
        while chunk := list(islice(pairs, _PROMPTS_AT_ONCE)):
            names, texts = zip(*chunk, strict=True)
            cut = encoder.long_prompts(texts)
            long.append(cut.counts(names))
            kept = np.ones(len(names), np.bool_)
            kept[cut.rows] = False
            short += np.array(names)[kept].tolist()
        every = pa.concat_tables(long).combine_chunks()
        self._keep(part, pa.array(short, pa.string()), None)
        if encoder.windows == 1:
            self._keep(part, every["prompt_hash"].combine_chunks(), every)

    def _keep(self, part: _Unchecked, chosen: pa.Array, long: pa.Table | None) -> None:
        """Make some of the unchecked vectors known."""
        nothing = pa.scalar(None, pa.string())
        hashes = pc.if_else(pc.is_in(part.prompt_hashes, value_set=chosen), part.prompt_hashes, nothing)
        if long is None:
            self.cache.add_artifact(hashes, part.vectors_file)
        else:  # of a prompt that is read in one window alone, that is the last one, too
            places = pc.fill_null(pc.index_in(hashes, value_set=long["prompt_hash"].combine_chunks()), 0)
            counts = long.take(places).set_column(0, LONG_PROMPTS.field("prompt_hash"), hashes)
            self.cache.add_artifact(hashes, part.vectors_file, counts, part.vectors_file)

    def write_long(self, hashes: pa.Array, folder: Path) -> pa.Table:
        """Write LONG_FILE and LAST_FILE of some prompts, where any of them is long; return the first one's content.

        Raises:
            StoreError: a vector cannot be read any more.
        """
        long = self.cache.long_prompts(hashes)
        if long.num_rows:
            write_table(long, folder / LONG_FILE)
            np.save(folder / LAST_FILE, self.cache.last_windows(long), allow_pickle=False)
        return long


def known_vectors(
    project: Project, asset: str, writer: str, encoder: PromptEncoder, links: Path, run: RunContext
) -> KnownVectors:
    """Return the vectors that an encoder gave before.

    The newest of each source, and what a killed run of a writer left.

    Args:
        project: whose store holds them.
        asset: `prompt_embeddings`.
        writer: a source, or who else embeds prompts.
        encoder: whose vectors they are.
        links: a folder of this run alone.
        run: told of what cannot be used.
    """
    folder = project.store.cache_folder("vectors") / writer
    known = KnownVectors(VectorCache(folder, encoder.version, run.log, links, encoder.windows))
    for name in project.settings.sources:
        try:
            for manifest in _newest(project, asset, name, encoder):
                checked = EmbeddingSummary.read(manifest).long_prompts is not None
                known.add(project.store.artifact(manifest), "rows.parquet", checked)
        except (StoreError, pa.ArrowException, OSError) as error:
            run.log(f"the earlier vectors of {name} cannot be used, their prompts are embedded again: {error}")
    return known


def _newest(project: Project, asset: str, source: str, encoder: PromptEncoder) -> Iterator[Manifest]:
    """Yield the newest manifest of an encoder's vectors of a source."""
    for manifest in project.store.history(asset, source, newest=_MANIFESTS):
        if EmbeddingParameters.read(manifest).encoder == encoder.version:
            yield manifest
            return
