"""Ties between equal vectors, settled by index.

Equal rows have equal gains, but a matrix product may sum the last rows of a block in another order than the first ones,
and then the last digit decides. Which of equal rows stands where changes no gain, so they are put in order afterwards.
"""

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import row_blocks
from smart_assets.selection.engines.ground_set import BLOCK_ROWS
from smart_assets.selection.engines.products import Ids


def by_index(rows: NDArray[np.floating], picks: Ids) -> Ids:
    """Return the picks (k,) with equal rows (n, d) exchanged: of each group of them the lowest index comes first.

    A pick is replaced by a lower row of its group that was not picked.
    """
    keys = _keys(rows)
    order = np.argsort(keys, kind="stable")  # rows of a group side by side, by index
    same = keys[order[1:]] == keys[order[:-1]]
    alike = np.flatnonzero(same)
    if not alike.size:
        return picks
    same[alike] = [np.array_equal(rows[order[place]], rows[order[place + 1]]) for place in alike]
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    group = np.empty(len(rows), dtype=np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    places = np.argsort(group[picks], kind="stable")  # of a group's picks, the best first
    of_place = group[picks[places]]
    first = np.searchsorted(of_place, of_place)
    exchanged = np.empty_like(picks)
    exchanged[places] = order[starts[of_place] + np.arange(len(picks)) - first]
    return exchanged


def _keys(rows: NDArray[np.floating]) -> NDArray[np.uint64]:
    """Return a number for each row (n,), the same for equal bits; different rows share one by chance alone."""
    words = rows.view(np.uint64 if rows.dtype.itemsize == 8 else np.uint32)
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(len(rows), dtype=np.uint64)
    for block in row_blocks(len(rows), BLOCK_ROWS):
        mixed = words[block].astype(np.uint64) * factors
        keys[block] = (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return keys
