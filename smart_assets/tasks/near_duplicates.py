"""Near-duplicate prompts by MinHash: which rows say nearly the same, inside a source and between sources.

Two prompts are near duplicates where the share of equal values in their signatures, an estimate of the Jaccard
similarity of their shingles, reaches a bound. Candidates come from locality-sensitive hashing with so many bands that
no such pair is ever missed: signatures that differ in at most d places are equal in at least one of d + 1 bands.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smart_assets.progress import Log, Progress
from smart_assets.tasks.word_shingles import Shingler

WIDTH = 64  # values of a signature

Signatures = NDArray[np.uint32]  # (rows, WIDTH)

_SEED = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BATCH_SHINGLES = 2048  # 64 permutations of so many stay in the processor's cache
_BATCH_ROWS = 1024
_BATCH_PAIRS = 1 << 18


def signatures_of(prompts: pa.ChunkedArray, log: Log) -> Signatures:
    """Return the MinHash signature of each prompt, row by row: equal normalised prompts have equal signatures.

    Permutations, seed and hashes are fixed, so that signatures made at different times can be compared.
    """
    from datasketch import MinHash

    shingler, progress = Shingler(), Progress("comparing prompts", log)
    empty = MinHash(num_perm=WIDTH, seed=_SEED, hashfunc=int, scheme="affine32")
    signatures = np.empty((len(prompts), WIDTH), dtype=np.uint32)
    for start in range(0, len(prompts), _BATCH_ROWS):
        for row, prompt in enumerate(prompts.slice(start, _BATCH_ROWS).to_pylist(), start):
            shingles, sketch = shingler.hashes(prompt), empty.copy()
            for first in range(0, len(shingles), _BATCH_SHINGLES):
                sketch.update_batch(shingles[first : first + _BATCH_SHINGLES].tolist())
            signatures[row] = sketch.hashvalues
            progress.at(row + 1, (row + 1) / len(prompts))
    return signatures


def clusters_of(signatures: Signatures, similarity: float, log: Log) -> NDArray[np.int64]:
    """Return a cluster's number for each row: near duplicates, and near duplicates of those, are one cluster.

    Args:
        signatures: (rows, WIDTH).
        similarity: The bound, in (0, 1].
        log: Told of progress.

    Returns:
        (rows,), numbers from 0 in no meaningful order.
    """
    distinct, place = np.unique(signatures, axis=0, return_inverse=True)
    labels = np.arange(len(distinct))
    equal = _equal_values(similarity)
    progress = Progress("joining near duplicates", log)
    for band, keys in enumerate(_band_keys(distinct, equal), 1):
        pairs = [pair for rows in _open_buckets(keys, labels) for pair in _spanning_pairs(distinct, rows, equal)]
        labels = _merged(labels, pairs)
        share = band / (WIDTH - equal + 1)
        progress.at(int(share * len(place)), share)
    return labels[place]


def leaking_rows(train: Signatures, held_out: Sequence[Signatures], similarity: float) -> NDArray[np.bool_]:
    """Return which training rows are near duplicates of held-out rows, to be kept out of a mixture.

    Rows of equal normalised prompts have equal signatures, so signatures tell all there is to know.

    Args:
        train: (rows, WIDTH), the training rows of one source.
        held_out: The validation rows of the other sources, each (any, WIDTH).
        similarity: The bound, in (0, 1].

    Returns:
        (rows,), in the order of `train`.
    """
    ours, place = np.unique(train, axis=0, return_inverse=True)
    theirs = np.unique(np.concatenate([np.empty((0, WIDTH), np.uint32), *held_out]), axis=0)
    equal = _equal_values(similarity)
    leaks = np.zeros(len(ours), dtype=np.bool_)
    for our_keys, their_keys in zip(_band_keys(ours, equal), _band_keys(theirs, equal), strict=True):
        unknown = np.flatnonzero(~leaks)
        for rows, others in _equal_pairs(our_keys[unknown], their_keys):
            candidates = unknown[rows]
            leaks[candidates[_near(ours[candidates], theirs[others], equal)]] = True
    return leaks[place]


def _equal_values(similarity: float) -> int:
    """Return how many values of two signatures must be equal for an estimate of at least `similarity`."""
    return math.ceil(similarity * WIDTH - 1e-9)


def _near(one: Signatures, other: Signatures, equal: int) -> NDArray[np.bool_]:
    return np.count_nonzero(one == other, axis=1) >= equal


def _band_keys(signatures: Signatures, equal: int) -> Iterator[NDArray[np.uint64]]:
    """Yield each band of the signatures as one hash a row: enough bands that no near duplicates differ in all."""
    for columns in np.array_split(signatures.astype(np.uint64), WIDTH - equal + 1, axis=1):
        key = np.zeros(len(signatures), dtype=np.uint64)
        for column in columns.T:
            key = (key ^ column) * _MIX
        yield key


def _open_buckets(keys: NDArray[np.uint64], labels: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each key whose rows are not all in one cluster yet."""
    order = np.argsort(keys, kind="stable")
    keys, labels = keys[order], labels[order]
    together = keys[1:] == keys[:-1]
    bounds = np.concatenate([[0], np.flatnonzero(~together) + 1, [len(keys)]])
    changes = np.flatnonzero(together & (labels[1:] != labels[:-1])) + 1
    for bucket in np.unique(np.searchsorted(bounds, changes, side="right") - 1):
        yield order[bounds[bucket] : bounds[bucket + 1]]


def _spanning_pairs(signatures: Signatures, bucket: NDArray[np.int64], equal: int) -> Iterator[tuple[int, int]]:
    """Yield near pairs that connect all rows of a bucket which chains of near pairs connect.

    A row that was reached is never compared with others that were: a bucket of n near duplicates costs n comparisons.
    """
    reached: list[int] = []
    rest = bucket
    while len(rest):
        if not reached:
            reached, rest = [int(rest[0])], rest[1:]
        row = reached.pop()
        near = _near(signatures[rest], signatures[row], equal)
        found = rest[near].tolist()
        yield from ((row, other) for other in found)
        reached += found
        rest = rest[~near]


def _merged(labels: NDArray[np.int64], pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the labels after the clusters of each pair of rows became one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = labels[np.array(pairs, dtype=np.int64).reshape(-1, 2)]
    links = coo_array((np.ones(len(ends), dtype=np.bool_), (ends[:, 0], ends[:, 1])), shape=(len(labels), len(labels)))
    return connected_components(links, directed=False)[1].astype(np.int64)[labels]


def _equal_pairs(
    ours: NDArray[np.uint64], theirs: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield all pairs of our and their rows with equal keys, in batches, so that memory stays bounded."""
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], ours, side="left")
    counts = np.searchsorted(theirs[order], ours, side="right") - first
    ends = np.cumsum(counts)
    for start in range(0, int(counts.sum()), _BATCH_PAIRS):
        pair = np.arange(start, min(start + _BATCH_PAIRS, int(ends[-1])))
        row = np.searchsorted(ends, pair, side="right")
        yield row, order[first[row] + pair - ends[row] + counts[row]]
