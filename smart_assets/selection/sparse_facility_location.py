"""Greedy facility location on a sparse kernel: each row's nearest neighbours, and no other pair.

f(S) = sum_i max(0, max_{j in S, j near i} s_ij). Lazy greedy (Minoux 1978) is exact for it: a gain is summed over the
same rows in the same order, and its terms only fall, so a stale gain bounds the fresh one to the last bit.

Similarities are in float64, rounded to 2^-40, far below what 32-bit vectors can tell: equal rows have the similarity 1
and tie, whichever way a product was summed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import SelectionError
from smart_assets.core.threads import row_blocks
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.engines.kernels import dots
from smart_assets.selection.objective import Gains, Indices, OnProgress

_GRID = 2.0**40
_BLOCK = 1024  # rows whose neighbours are looked at together
_TELL_EVERY = 1024
_PAIRING = 0.7  # share of the work that finding the pairs takes, about

Near = NDArray[np.int64]
"""(b, m) neighbours of some rows, nearest first; -1 for none."""


@dataclass(frozen=True, slots=True)
class NearPairs:
    """For each candidate j the rows i, ascending, that have it among their neighbours."""

    starts: NDArray[np.integer]  # (n + 1,) where a candidate's rows begin in the two below
    rows: NDArray[np.integer]  # (p,)
    similarities: Gains  # (p,) in (0, 1]

    def of(self, candidate: int) -> tuple[NDArray[np.integer], Gains]:
        """Return the rows of one candidate and their similarities."""
        held = slice(self.starts[candidate], self.starts[candidate + 1])
        return self.rows[held], self.similarities[held]


def sparse_facility_location_picks(
    ground: GroundSet, kept: int, neighbours: NDArray[np.integer] | None, count: int, on_progress: OnProgress
) -> tuple[Indices, Gains]:
    """Return picks and gains (count,) by the `kept` nearest neighbours of each row, of which it is one itself.

    Takes some 12 bytes for each of n times `kept` pairs, and three times that while they are sorted.

    Raises:
        SelectionError: The neighbours are not (n, m) distinct rows.
    """
    blocks = _searched(ground, min(kept, len(ground))) if neighbours is None else _given(ground, neighbours)
    return _pick_lazily(_near_pairs(ground, blocks, kept, on_progress), count, on_progress)


def _searched(ground: GroundSet, count: int) -> Iterator[Near]:
    """Blocks of the `count` nearest rows of each row, by comparing all with all."""
    import faiss

    index = faiss.IndexFlatIP(ground.width)
    for block in row_blocks(len(ground), _BLOCK):
        index.add(ground.unit(block).astype(np.float32))
    for block in row_blocks(len(ground), _BLOCK):
        yield index.search(ground.unit(block).astype(np.float32), count)[1]


def _given(ground: GroundSet, neighbours: NDArray[np.integer]) -> Iterator[Near]:
    """Blocks of what was given, each once it is known to be sound."""
    size = len(ground)
    if neighbours.ndim != 2 or len(neighbours) != size or neighbours.dtype.kind not in "iu":
        raise SelectionError(
            f"neighbours must be whole numbers (n, m), a row of them for each of the {size} vectors; "
            f"got {neighbours.dtype} of shape {neighbours.shape}"
        )
    for block in row_blocks(size, _BLOCK):
        near = neighbours[block].astype(np.int64)
        ascending = np.sort(near, axis=1)
        twice = (ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] >= 0)
        for wrong, rule in (((near < -1) | (near >= size), f"lie in [-1, {size - 1}]"), (twice, "be distinct")):
            if wrong.any():
                row = int(np.flatnonzero(wrong.any(axis=1))[0])
                raise SelectionError(
                    f"a row's neighbours must {rule}; those of row {block.start + row} are {near[row].tolist()}: "
                    "search an index of these same vectors"
                )
        yield near


def _near_pairs(ground: GroundSet, blocks: Iterable[Near], kept: int, on_progress: OnProgress) -> NearPairs:
    from scipy.sparse import csr_array

    lengths = np.zeros(len(ground) + 1, dtype=np.int64)
    ids: list[NDArray[np.int32]] = []
    similarities: list[Gains] = []
    start = 0
    for near in blocks:
        rows = np.arange(start, start := start + len(near))
        pairs = np.column_stack([rows, near])
        alike = np.column_stack([np.ones(len(rows)), _cosines(ground, rows, near)])
        worth = alike > 0
        worth[:, 1:] &= near != rows[:, None]
        worth &= np.cumsum(worth, axis=1) <= kept
        lengths[rows + 1] = worth.sum(axis=1)
        ids.append(pairs[worth].astype(np.int32))
        similarities.append(alike[worth])
        on_progress(0, _PAIRING * start / len(ground))
    by_row = (np.concatenate(similarities), np.concatenate(ids), np.cumsum(lengths))
    by_candidate: Any = csr_array(by_row, shape=(start, start)).tocsc()
    return NearPairs(by_candidate.indptr, by_candidate.indices, by_candidate.data)


def _cosines(ground: GroundSet, rows: Indices, near: Near) -> NDArray[np.float64]:
    """Return the similarity of each of `rows` (b,) with its neighbours (b, m); 0 where there is none."""
    cosines, someone = np.empty(near.shape), np.maximum(near, 0)
    for others, unit, out in zip(someone, ground.unit(rows), cosines, strict=True):
        dots(ground.rows, others, unit, out)
    return np.where(near < 0, 0, np.rint(cosines * ground.scales[someone] * _GRID) / _GRID)


def _pick_lazily(pairs: NearPairs, count: int, on_progress: OnProgress) -> tuple[Indices, Gains]:
    size = len(pairs.starts) - 1
    picks, gains = np.empty(count, dtype=np.int64), np.empty(count)
    cover, fresh = np.zeros(size), [0] * size
    heap = [(-float(pairs.of(j)[1].sum()), j) for j in range(size)]
    heapify(heap)
    done = 0
    while done < count:
        loss, j = heap[0]
        rows, similarities = pairs.of(j)
        if fresh[j] == done:  # its gain is that of now, and reached by no bound
            picks[done], gains[done] = j, -loss
            cover[rows] = np.maximum(cover[rows], similarities)
            heappop(heap)
            done += 1
            if done % _TELL_EVERY == 0:
                on_progress(done, _PAIRING + (1 - _PAIRING) * done / count)
        else:
            fresh[j] = done
            heapreplace(heap, (-float(np.maximum(similarities - cover[rows], 0).sum()), j))
    return picks, gains
