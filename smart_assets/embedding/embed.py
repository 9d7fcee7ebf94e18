"""Embed the prompts that are new, so that an unchanged row never costs a forward pass again; and average by task.

Prompts stream through in chunks: only the texts and tokens of one chunk and of the next are in memory.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError
from smart_assets.core.progress import PAUSE, Log, Progress
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.encoder import PromptEncoder, ReadPrompts
from smart_assets.embedding.vectors import normalized, unit_rows
from smart_assets.embedding.windows import SHORTEST_MEAN, LongVectors, WindowMeans
from smart_assets.embedding.work_sharing import one_ahead

_SEGMENT_PROMPTS = 1024
# Enough prompts that those of about one length fill batches, and never more than some megabytes of text.
_CHUNK_PROMPTS = 8192
_CHUNK_CHARACTERS = 2**24
_SUMMED_ROWS = 16_384


def embed_prompts(
    prompts: Iterable[tuple[str, str]], count: int, encoder: PromptEncoder, known: VectorCache, log: Log
) -> float:
    """Embed `prompts` and put their unit vectors into `known`; return the seconds it took with the encoder loaded.

    Vectors are put there every 1,024 prompts or few seconds, whichever comes first, so that a killed run goes on where
    it was.

    Args:
        prompts: pairs of prompt hash and text, each prompt once; read as the work goes on, in a thread of its own.
        count: how many there are, for progress.
        encoder: makes the vectors.
        known: takes them.
        log: takes progress lines.

    Raises:
        EmbeddingError: `known` belongs to another encoder version, the encoder cannot be loaded, or it gave a vector
            without a direction (the message names the prompt's hash).
        StoreError: a segment cannot be written.
    """
    if (known.encoder_version, known.windows) != (encoder.version, encoder.windows):
        raise EmbeddingError(
            f"known vectors are of encoder version {known.encoder_version!r} and {known.windows} windows, the encoder "
            f"of {encoder.version!r} and {encoder.windows}; open the cache for this encoder"
        )
    if not count:
        return 0.0
    encoder.load()
    started = time.perf_counter()
    progress = Progress("embedding prompts", log)
    segment = _Segment(known)
    before = 0  # prompts of the chunks before
    for hashes, read in one_ahead(_read(prompts, encoder)):
        means = WindowMeans(len(hashes), read.long)
        tokens = sum(batch.tokens for batch in read.batches)
        rows = done = 0
        for batch, vectors in encoder.encode_batches(read.batches):
            names = [hashes[row] for row in means.owners[batch.places].tolist()]
            unit = unit_rows(vectors, names)
            whole, complete = means.take(batch.places, unit)
            segment.add(list(compress(names, whole)), unit[whole])
            if len(complete):
                segment.add_long(means.vectors(hashes, complete))
            rows, done = rows + int(whole.sum()) + len(complete), done + batch.tokens
            progress.at(before + rows, (before + len(hashes) * done / tokens) / count)
        before += len(hashes)
    segment.write()
    return time.perf_counter() - started


def task_means(
    vectors: NDArray[np.float32],
    rows: NDArray[np.integer],
    task_codes: NDArray[np.integer],
    task_names: Sequence[str],
) -> NDArray[np.float64]:
    """Return each task's vector: the mean of its prompts' vectors, scaled to length 1 (paper, stage 1).

    Args:
        vectors: (n, d) unit rows; may be a memory map, of which some thousand rows are read at a time.
        rows: (m,) rows of `vectors` that count.
        task_codes: (m,) position of the task of each of `rows` in `task_names`.
        task_names: (T,) names of the tasks, for messages.

    Returns:
        (T, d) unit rows, summed in float64 in the order of `rows`.

    Raises:
        EmbeddingError: a code lies outside [0, T), a task has no row, or a task's mean has no length.
    """
    if len(task_codes) != len(rows):
        raise EmbeddingError(f"{len(rows)} vectors have {len(task_codes)} task codes; there must be one for each")
    tasks = len(task_names)
    if not len(rows):
        raise EmbeddingError("there are no vectors to average; check that the source has accepted instances")
    if not 0 <= task_codes.min() <= task_codes.max() < tasks:
        raise EmbeddingError(f"task codes must lie in [0, {tasks}); they span [{task_codes.min()}, {task_codes.max()}]")
    ends = np.cumsum(np.bincount(task_codes, minlength=tasks))
    rows_by_task = np.split(rows[np.argsort(task_codes, kind="stable")], ends[:-1])
    means = np.empty((tasks, vectors.shape[1]))
    for mean, own, name in zip(means, rows_by_task, task_names, strict=True):
        if not len(own):
            raise EmbeddingError(f"task {name!r} has no prompt and so no mean vector; remove it")
        mean[:] = _sum(vectors, own) / len(own)
        if not np.linalg.norm(mean) > SHORTEST_MEAN:
            raise EmbeddingError(
                f"the vectors of the {len(own)} prompts of task {name!r} cancel out: their mean has length "
                f"{np.linalg.norm(mean):.1e} and no direction; check or remove the task"
            )
    return normalized(means)


def _read(prompts: Iterable[tuple[str, str]], encoder: PromptEncoder) -> Iterator[tuple[list[str], ReadPrompts]]:
    """Yield chunks of prompts: their hashes, and their tokens."""
    for chunk in _chunks(prompts):
        hashes, texts = ([pair[side] for pair in chunk] for side in (0, 1))
        yield hashes, encoder.read(texts)


def _chunks(prompts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    chunk: list[tuple[str, str]] = []
    characters = 0
    for pair in prompts:
        chunk.append(pair)
        characters += len(pair[1])
        if len(chunk) == _CHUNK_PROMPTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class _Segment:
    """Vectors on their way into the cache."""

    def __init__(self, known: VectorCache) -> None:
        self._known = known
        self._hashes: list[str] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._long: list[LongVectors] = []
        self._written_at = time.monotonic()

    def add(self, prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Take vectors of prompts of one window; write them with those before once they are many, or have waited."""
        self._hashes += prompt_hashes
        self._vectors.append(vectors)
        self._write_in_time()

    def add_long(self, vectors: LongVectors) -> None:
        """Take vectors of long prompts, whose windows are all there; likewise."""
        self._long.append(vectors)
        self._write_in_time()

    def write(self) -> None:
        if self._hashes:
            self._known.put(self._hashes, np.concatenate(self._vectors))
        if self._long:
            self._known.put_long(LongVectors.joined(self._long))
        self._hashes, self._vectors, self._long, self._written_at = [], [], [], time.monotonic()

    def _write_in_time(self) -> None:
        count = len(self._hashes) + sum(len(part.whole) for part in self._long)
        if count >= _SEGMENT_PROMPTS or time.monotonic() - self._written_at >= PAUSE:
            self.write()


def _sum(vectors: NDArray[np.float32], rows: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the sum of rows, row by row: the same whatever is read at a time."""
    total = np.zeros((1, vectors.shape[1]))
    for first in range(0, len(rows), _SUMMED_ROWS):
        total = np.concatenate([total, vectors[rows[first : first + _SUMMED_ROWS]]]).sum(axis=0, keepdims=True)
    return total[0]
