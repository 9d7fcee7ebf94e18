"""Embed the prompts that are new, so that an unchanged row never costs a forward pass again; and average by task.

Prompts go longest first: a batch that does not fit into memory then fails at once, not after hours.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.encoder import PromptEncoder
from smart_assets.embedding.vectors import normalized, unit_rows
from smart_assets.errors import EmbeddingError
from smart_assets.progress import PAUSE, Log, Progress

_SEGMENT_PROMPTS = 1024
# A batch of the full `batch_size` holds prompts of this many characters (some 64 tokens); one with longer prompts
# holds fewer, since the memory and the caches a pass needs go with prompts times length.
_PROMPT_CHARACTERS = 256
_CHARACTERS_A_TOKEN = 4
# Below this length the mean of float32 unit vectors is their rounding and points nowhere.
_SHORTEST_MEAN = 1e-6


def embed_prompts(
    prompts: Mapping[str, str], encoder: PromptEncoder, known: VectorCache, log: Log
) -> NDArray[np.float32]:
    """Return the unit vectors (n, d) of `prompts`, a mapping of prompt hash to text, in its order.

    Only prompts that `known` does not hold are embedded. Their vectors are put there every 1,024 prompts or few
    seconds, whichever comes first, so that a killed run goes on where it was.

    Raises:
        EmbeddingError: there are no prompts, `known` belongs to another encoder version, the encoder cannot be
            loaded, or it gave a vector without a direction (the message names the prompt's hash).
        StoreError: a segment cannot be written.
    """
    if not prompts:
        raise EmbeddingError("there are no prompts to embed; check that the source has accepted instances")
    if known.encoder_version != encoder.version:
        raise EmbeddingError(
            f"known vectors are of encoder version {known.encoder_version!r}, the encoder of {encoder.version!r}; "
            "open the cache for this encoder"
        )
    missing = [prompt_hash for prompt_hash in prompts if prompt_hash not in known]
    log(f"{len(prompts):,} prompts, {len(missing):,} of them to embed")
    if missing:
        missing.sort(key=lambda prompt_hash: (-len(prompts[prompt_hash]), prompt_hash))
        _embed_missing({prompt_hash: prompts[prompt_hash] for prompt_hash in missing}, encoder, known, log)
    return known.take(list(prompts))


def task_means(
    vectors: NDArray[np.float32], task_codes: NDArray[np.integer], task_names: Sequence[str]
) -> NDArray[np.float64]:
    """Return each task's vector: the mean of its prompts' vectors, scaled to length 1 (paper, stage 1).

    Args:
        vectors: (n, d) unit rows, one for each instance; may be a memory map.
        task_codes: (n,) position of each row's task in `task_names`.
        task_names: (T,) names of the tasks, for messages.

    Returns:
        (T, d) unit rows, summed in float64.

    Raises:
        EmbeddingError: a code lies outside [0, T), a task has no row, or a task's mean has no length.
    """
    if len(task_codes) != len(vectors):
        raise EmbeddingError(f"{len(vectors)} vectors have {len(task_codes)} task codes; there must be one for each")
    tasks = len(task_names)
    if not len(vectors):
        raise EmbeddingError("there are no vectors to average; check that the source has accepted instances")
    if not 0 <= task_codes.min() <= task_codes.max() < tasks:
        raise EmbeddingError(f"task codes must lie in [0, {tasks}); they span [{task_codes.min()}, {task_codes.max()}]")
    ends = np.cumsum(np.bincount(task_codes, minlength=tasks))
    rows_by_task = np.split(np.argsort(task_codes, kind="stable"), ends[:-1])
    means = np.empty((tasks, vectors.shape[1]))
    for mean, rows, name in zip(means, rows_by_task, task_names, strict=True):
        if not len(rows):
            raise EmbeddingError(f"task {name!r} has no prompt and so no mean vector; remove it")
        mean[:] = vectors[rows].mean(axis=0, dtype=np.float64)
        if not np.linalg.norm(mean) > _SHORTEST_MEAN:
            raise EmbeddingError(
                f"the vectors of the {len(rows)} prompts of task {name!r} cancel out: their mean has length "
                f"{np.linalg.norm(mean):.1e} and no direction; check or remove the task"
            )
    return normalized(means)


def _embed_missing(prompts: Mapping[str, str], encoder: PromptEncoder, known: VectorCache, log: Log) -> None:
    """Embed `prompts`, sorted longest first, and put them into `known` segment by segment."""
    hashes, texts = list(prompts), list(prompts.values())
    cost = np.minimum([len(text) for text in texts], _CHARACTERS_A_TOKEN * encoder.max_length) + 1
    done = np.cumsum(cost) / cost.sum()
    progress = Progress("embedding prompts", log)
    segment: list[NDArray[np.float32]] = []
    first, written_at = 0, time.monotonic()
    for batch in _batches(cost, encoder.batch_size):
        segment.append(unit_rows(encoder.encode(texts[batch]), hashes[batch]))
        full = batch.stop - first >= _SEGMENT_PROMPTS or time.monotonic() - written_at >= PAUSE
        if full or batch.stop == len(texts):
            known.put(hashes[first : batch.stop], np.concatenate(segment))
            segment.clear()
            first, written_at = batch.stop, time.monotonic()
        progress.at(batch.stop, float(done[batch.stop - 1]))


def _batches(cost: NDArray[np.int64], batch_size: int) -> Sequence[slice]:
    """Cut prompts with falling `cost` in characters into batches of at most `batch_size` and about equal cost."""
    batches: list[slice] = []
    start = 0
    while start < len(cost):
        count = max(1, min(batch_size, batch_size * _PROMPT_CHARACTERS // int(cost[start])))
        batches.append(slice(start, min(start + count, len(cost))))
        start += count
    return batches
