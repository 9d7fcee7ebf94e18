"""Near-duplicate prompts by MinHash: which rows say nearly the same, inside a source and between sources.

Two prompts are near duplicates where the share of equal values in their signatures, an estimate of the Jaccard
similarity of their shingles, reaches a bound. Candidates come from locality-sensitive hashing with so many bands that
no such pair is ever missed: signatures that differ in at most d places are equal in at least one of d + 1 bands.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.progress import Log, Progress
from smart_assets.core.threads import in_order, threads, usable_cores
from smart_assets.tasks import digests
from smart_assets.tasks.word_shingles import Shingler

WIDTH = 64  # values of a signature

Signatures = NDArray[np.uint32]  # (rows, WIDTH)

_SEED = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BATCH_SHINGLES = 2048  # 64 permutations of so many stay in the processor's cache
_BATCH_ROWS = 4096
_BATCH_PAIRS = 1 << 16
_AHEAD = 2  # bands that are sorted while another one is joined
_SMALL_BUCKET = 8  # rows; all pairs of it are compared


class Sketcher:
    """Makes MinHash signatures: equal normalised prompts have equal ones.

    Permutations, seed and hashes are fixed and those of datasketch's "affine32" scheme, so that signatures made at
    different times can be compared.
    """

    def __init__(self) -> None:
        self._shingler = Shingler()
        # NumPy keeps the stream of RandomState for good. An odd factor makes h -> factor * h + term (mod 2^32) one to
        # one, so that it permutes the hashes; an even one would map some of them on each other.
        generator = np.random.RandomState(_SEED)
        halves = generator.randint(0, 1 << 31, WIDTH, dtype=np.uint32)
        self._factors = (halves * np.uint32(2) + np.uint32(1))[:, None]
        self._terms = generator.randint(0, 1 << 32, WIDTH, dtype=np.uint32)[:, None]

    def signatures(self, prompts: Sequence[str]) -> Signatures:
        """Return the signature of each prompt, row by row."""
        signatures = np.full((WIDTH, len(prompts)), ~np.uint32(0))
        shingles = [self._shingler.hashes(prompt) for prompt in prompts]
        ends = np.cumsum([len(of_prompt) for of_prompt in shingles])
        row = 0
        while row < len(prompts):
            # The prompts from `row` to `stop` have at most _BATCH_SHINGLES shingles together, or are one long prompt.
            before = int(ends[row - 1]) if row else 0
            stop = max(row + 1, int(np.searchsorted(ends, before + _BATCH_SHINGLES, side="right")))
            hashes = _mixed(np.concatenate(shingles[row:stop]).astype(np.uint32))
            # `reduceat` takes the lowest value of each prompt's shingles, from its start to the next one's. A prompt of
            # several batches stands alone here: its only start is 0 in every batch.
            starts = np.concatenate([[0], ends[row : stop - 1] - before])
            for first in range(0, len(hashes), _BATCH_SHINGLES):  # more than one only where a single prompt is longer
                values = self._factors * hashes[first : first + _BATCH_SHINGLES] + self._terms
                lowest = np.minimum.reduceat(values, starts, axis=1)
                np.minimum(signatures[:, row:stop], lowest, out=signatures[:, row:stop])
            row = stop
        return np.ascontiguousarray(signatures.T)


def _mixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return MurmurHash3's last steps of 32-bit hashes."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashes = (hashes ^ (hashes >> np.uint32(shift))) * np.uint32(factor)
    return hashes ^ (hashes >> np.uint32(16))


def clusters_of(signatures: Signatures, similarity: float, log: Log) -> NDArray[np.int64]:
    """Return a cluster's number for each row: near duplicates, and near duplicates of those, are one cluster.

    Args:
        signatures: (rows, WIDTH).
        similarity: The bound, in (0, 1].
        log: Told of progress.

    Returns:
        (rows,), numbers from 0 in no meaningful order.
    """
    distinct, place = _distinct(signatures)
    labels = np.arange(len(distinct))
    equal = _equal_values(similarity)
    progress = Progress("joining near duplicates", log)
    for band, (keys, order) in enumerate(_sorted_bands(signatures, distinct, equal), 1):
        labels = _merged(labels, _spanning_pairs(signatures, distinct, _Buckets(keys, order, labels), equal))
        share = band / (WIDTH - equal + 1)
        progress.at(int(share * len(place)), share)
    return labels[place]


def nearest_prompts(
    ours: Signatures, theirs: Signatures, similarity: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each of our rows the row of theirs that is most nearly its duplicate, and how alike the two are.

    Rows of equal normalised prompts have equal signatures, so signatures tell all there is to know.

    Args:
        ours: (rows, WIDTH), such as training rows.
        theirs: (any, WIDTH), such as held-out rows.
        similarity: The bound, in (0, 1].

    Returns:
        Row of theirs (rows,), the lowest of those most alike, -1 where none is a near duplicate; the estimated Jaccard
        similarity (rows,), 0 where there is none.
    """
    if not len(theirs) or not len(ours):
        return np.full(len(ours), -1), np.zeros(len(ours))
    (our_rows, place), (their_rows, _) = _distinct(ours), _distinct(theirs)
    equal = _equal_values(similarity)
    # How many values are equal, and the row of theirs, as one number: values * n + (n - 1 - row) for n rows of theirs.
    # The largest has most equal values, and of those the lowest row, whichever band a pair comes from; -1: none yet.
    best = np.full(len(our_rows), -1, dtype=np.int64)
    bands = zip(_band_keys(ours, our_rows, equal), _band_keys(theirs, their_rows, equal), strict=True)
    for our_keys, their_keys in bands:
        for rows, others in _equal_pairs(our_keys, their_keys):
            values = np.count_nonzero(ours[our_rows[rows]] == theirs[their_rows[others]], axis=1)
            near = values >= equal
            packed = (values[near] + 1) * len(theirs) - 1 - their_rows[others[near]]
            np.maximum.at(best, rows[near], packed)
    values, row = np.divmod(best, len(theirs))
    has_match = best >= 0
    nearest, alike = np.where(has_match, len(theirs) - 1 - row, -1), np.where(has_match, values / WIDTH, 0.0)
    return nearest[place], alike[place]


def _distinct(signatures: Signatures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of each distinct signature, and for each row which of these signatures it has."""
    keys = np.empty(len(signatures), dtype=np.uint64)

    def mix(rows: slice) -> None:
        key = np.zeros(rows.stop - rows.start, dtype=np.uint64)
        for values in np.ascontiguousarray(signatures[rows].T):
            key = (key ^ values) * _MIX
            key ^= key >> np.uint64(29)  # so that upper bits reach the lower ones, which alone a product keeps
        keys[rows] = key

    with threads(usable_cores()) as shared:
        shared.over_blocks(mix, len(signatures), _BATCH_ROWS)
    order = np.argsort(keys, kind="stable")
    first = digests.first_of_equal(keys[order])
    if not _are_equal(signatures, order, np.flatnonzero(~first)):
        order, first = _order_by_content(signatures)
    place = np.empty(len(signatures), dtype=np.int64)
    place[order] = np.cumsum(first) - 1
    return order[first], place


def _are_equal(signatures: Signatures, order: NDArray[np.int64], places: NDArray[np.int64]) -> bool:
    """Return whether the rows at some places of an order have the signatures of those before them."""
    batches = (places[start : start + _BATCH_ROWS] for start in range(0, len(places), _BATCH_ROWS))
    return all(np.array_equal(signatures[order[batch]], signatures[order[batch - 1]]) for batch in batches)


def _order_by_content(signatures: Signatures) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return rows in an order in which equal signatures are neighbours, and where another one begins.

    It is slower than short keys are, and needed where unequal signatures have equal keys.
    """
    content = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in signatures)
    hashes = np.frombuffer(b"".join(content), digests.KIND)
    order = digests.order_of(hashes)
    return order, digests.first_of_equal(hashes[order])


def _sorted_bands(
    signatures: Signatures, rows: NDArray[np.int64], equal: int
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
    """Yield each band's keys, and their order; the next ones are made by other threads meanwhile."""

    def keys_and_order(columns: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        keys = _band_key(signatures, rows, columns)
        return keys, np.argsort(keys, kind="stable")

    if len(rows) < _BATCH_PAIRS:  # not worth threads
        yield from map(keys_and_order, _bands(equal))
        return
    with ThreadPoolExecutor(_AHEAD) as pool:
        yield from in_order(pool, keys_and_order, _bands(equal), _AHEAD)


def _equal_values(similarity: float) -> int:
    """Return how many values of two signatures must be equal for an estimate of at least `similarity`."""
    # A product that is a whole number may come out a little above it in binary, and must not be raised to the next.
    return math.ceil(similarity * WIDTH - 1e-9)


def _near(first: Signatures, second: Signatures, equal: int) -> NDArray[np.bool_]:
    return np.count_nonzero(first == second, axis=1) >= equal


def _bands(equal: int) -> list[NDArray[np.int64]]:
    """Return the columns of each band: so many bands that near duplicates share one."""
    # Near duplicates differ in at most d = WIDTH - equal places. These spoil at most d bands, so one of d + 1 is whole.
    return np.array_split(np.arange(WIDTH), WIDTH - equal + 1)


def _band_key(signatures: Signatures, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one band of some rows' signatures as one hash a row."""
    key = np.zeros(len(rows), dtype=np.uint64)
    for column in columns:
        # Multiplied after each value, so that the order of values counts. Equal keys of unequal bands cost only a
        # comparison.
        key = (key ^ signatures[:, column][rows]) * _MIX
    return key


def _band_keys(signatures: Signatures, rows: NDArray[np.int64], equal: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the keys of each band."""
    return (_band_key(signatures, rows, columns) for columns in _bands(equal))


class _Buckets:
    """The rows of each key whose rows are not all in one cluster yet."""

    def __init__(self, keys: NDArray[np.uint64], order: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        self.order = order  # of the keys: a bucket's rows are neighbours in it
        keys, labels = keys[self.order], labels[self.order]
        together = keys[1:] == keys[:-1]
        bounds = np.concatenate([[0], np.flatnonzero(~together) + 1, [len(keys)]])
        # Where two neighbours in a bucket are of different clusters, the bucket can still join something.
        changes = np.flatnonzero(together & (labels[1:] != labels[:-1])) + 1
        buckets = np.unique(np.searchsorted(bounds, changes, side="right") - 1)
        self.starts, self.stops = bounds[buckets], bounds[buckets + 1]

    def rows(self, size: int) -> NDArray[np.int64]:
        """Return the rows of all buckets of one size, (buckets, size)."""
        return self.order[self.starts[self.stops - self.starts == size][:, None] + np.arange(size)]


def _spanning_pairs(
    signatures: Signatures, distinct: NDArray[np.int64], buckets: _Buckets, equal: int
) -> NDArray[np.int64]:
    """Return near pairs (n, 2) that connect all rows of a bucket which chains of near pairs connect."""
    sizes = buckets.stops - buckets.starts
    pairs: list[NDArray[np.int64]] = [np.empty((0, 2), dtype=np.int64)]
    for size in range(2, _SMALL_BUCKET + 1):  # nearly all of them, so they are compared many at a time
        pairs += _near_pairs(signatures, distinct, buckets.rows(size), equal)
    large = sizes > _SMALL_BUCKET
    for start, stop in zip(buckets.starts[large].tolist(), buckets.stops[large].tolist(), strict=True):
        pairs += _spanning(signatures, distinct, buckets.order[start:stop], equal)
    return np.concatenate(pairs)


def _near_pairs(
    signatures: Signatures, distinct: NDArray[np.int64], buckets: NDArray[np.int64], equal: int
) -> Iterator[NDArray[np.int64]]:
    """Yield all near pairs of some buckets of one size, (buckets, size)."""
    first, second = np.triu_indices(buckets.shape[1], 1)
    step = max(1, _BATCH_PAIRS // len(first))
    for start in range(0, len(buckets), step):
        batch = buckets[start : start + step]
        ends = np.stack([batch[:, first].ravel(), batch[:, second].ravel()], axis=1)
        yield ends[_near(signatures[distinct[ends[:, 0]]], signatures[distinct[ends[:, 1]]], equal)]


def _spanning(
    signatures: Signatures, distinct: NDArray[np.int64], bucket: NDArray[np.int64], equal: int
) -> Iterator[NDArray[np.int64]]:
    """Yield near pairs that connect what chains of near pairs connect in one bucket.

    A row that was reached is never compared with others that were: a bucket of n near duplicates costs n comparisons.
    """
    values = signatures[distinct[bucket]]
    reached: list[int] = []
    rest = np.arange(len(bucket))
    while len(rest):
        if not reached:
            reached, rest = [int(rest[0])], rest[1:]
        row = reached.pop()
        near = _near(values[rest], values[row], equal)
        near_rows = rest[near]
        if len(near_rows):
            yield np.stack([np.full(len(near_rows), bucket[row]), bucket[near_rows]], axis=1)
        reached += near_rows.tolist()
        rest = rest[~near]


def _merged(labels: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels after the clusters of each pair of rows became one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = labels[pairs]
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
        # Pairs are numbered row by row: those of row r go from ends[r] - counts[r] to ends[r], and the place in that
        # range is the place among their rows of the same key.
        pair = np.arange(start, min(start + _BATCH_PAIRS, int(ends[-1])))
        row = np.searchsorted(ends, pair, side="right")
        yield row, order[first[row] + pair - ends[row] + counts[row]]
