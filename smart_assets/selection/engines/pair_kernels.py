"""The compiled loops of facility location: over blocks of similarities, and over pairs; see `compiled`."""

import numpy as np
from numba import types

from smart_assets.selection.engines.compiled import (
    ID_ROWS,
    IDS,
    MAXIMA,
    NUMBERS,
    ROWS,
    SINGLE_ROWS,
    SINGLES,
    SMALL,
    SUMS,
    Ids,
    Numbers,
    Rows,
    Singles,
    Small,
    compiled,
)


@compiled(SINGLE_ROWS, SINGLES, SINGLES, NUMBERS, NUMBERS, types.int64, types.int64, fast=MAXIMA)
def add_both(
    part: Singles,
    least_rows: Singles,
    least_columns: Singles,
    row_sums: Numbers,
    column_sums: Numbers,
    row_start: int,
    column_start: int,
) -> None:
    """Add what every row gains by the columns, and every column by the rows; a pair on both sides counts once.

    Sums of one block are in 32 bits.
    """
    sums = np.zeros(part.shape[1], dtype=np.float32)
    nothing = np.float32(0)
    for i in range(part.shape[0]):
        diagonal = row_start + i - column_start
        least, total = least_rows[i], nothing
        for j in range(max(diagonal, 0), part.shape[1]):
            total += max(part[i, j] - least_columns[j], nothing)
        for j in range(max(diagonal + 1, 0), part.shape[1]):
            sums[j] += max(part[i, j] - least, nothing)
        row_sums[i] += total
    for j in range(part.shape[1]):
        column_sums[j] += sums[j]


@compiled(SINGLE_ROWS, SINGLES, NUMBERS, fast=MAXIMA)
def add_columns(part: Singles, least: Singles, out: Numbers) -> None:
    """Add what every column gains from the rows; sums of one block are in 32 bits."""
    sums = np.zeros(part.shape[1], dtype=np.float32)
    nothing = np.float32(0)
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            sums[j] += max(part[i, j] - least[i], nothing)
    for j in range(part.shape[1]):
        out[j] += sums[j]


@compiled(SINGLE_ROWS, SINGLES, types.int64, SMALL, SINGLES, types.int64, IDS)
def append_pairs(
    part: Singles, least: Singles, start: int, rows: Small, values: Singles, filled: int, counts: Ids
) -> int:
    """Append to a list from place `filled` the rows, counted from `start`, that each candidate is similar enough to.

    Writes how many each has into `counts`, and returns the place behind the last; what stands there is overwritten.
    """
    for j in range(part.shape[0]):
        first = filled
        for i in range(part.shape[1]):
            rows[filled] = start + i
            values[filled] = part[j, i]
            filled += part[j, i] > least[i]
        counts[j] = filled - first
    return filled


@compiled(SMALL, SINGLES, ID_ROWS, IDS, SMALL, SINGLES)
def copy_pairs(rows: Small, values: Singles, counts: Ids, starts: Ids, all_rows: Small, all_values: Singles) -> None:
    """Sort a list by blocks of rows and then by candidates, with their counts (b, c), to where the candidates start."""
    ends = starts.copy()
    filled = 0
    for block in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            for _ in range(counts[block, j]):
                all_rows[ends[j]], all_values[ends[j]] = rows[filled], values[filled]
                ends[j] += 1
                filled += 1


@compiled(NUMBERS, IDS, types.int64)
def sink(keys: Numbers, ids: Ids, size: int) -> None:
    """Let the top of a heap, whose key fell, sink to its place among the first `size`.

    The largest key is on top, the lowest index of equal keys; a node has four children. Sorted arrays are a heap.
    """
    key, index, place = keys[0], ids[0], 0
    while 4 * place + 1 < size:
        best = 4 * place + 1
        for other in range(best + 1, min(best + 4, size)):
            if keys[other] > keys[best] or (keys[other] == keys[best] and ids[other] < ids[best]):
                best = other
        if keys[best] < key or (keys[best] == key and ids[best] > index):
            break
        keys[place], ids[place] = keys[best], ids[best]
        place = best
    keys[place], ids[place] = key, index


@compiled(SMALL, SINGLES, NUMBERS, types.float64)
def bound_by_pairs(rows: Small, similarities: Singles, cover: Numbers, slack: float) -> tuple[float, int]:
    """Return an upper bound of a candidate's gain by its pairs, and how many pairs stay; the others are dropped."""
    total, kept = 0.0, 0
    for i in range(rows.shape[0]):
        row, similarity = rows[i], similarities[i]
        most = similarity + slack - cover[row]
        rows[kept], similarities[kept] = row, similarity
        if most > 0:
            total += most
            kept += 1
    return total, kept


@compiled(IDS, IDS, SMALL, SINGLES, NUMBERS, types.float64, NUMBERS)
def bound_all_by_pairs(
    starts: Ids, counts: Ids, rows: Small, similarities: Singles, cover: Numbers, slack: float, out: Numbers
) -> None:
    """Write the same for every candidate into `out` (n,)."""
    for j in range(out.shape[0]):
        stop = starts[j] + counts[j]
        out[j], counts[j] = bound_by_pairs(rows[starts[j] : stop], similarities[starts[j] : stop], cover, slack)


@compiled(ROWS, types.int64, NUMBERS, fast=SUMS)
def inner(rows: Rows, row: int, other: Numbers) -> float:
    """rows[row] . other."""
    total = 0.0
    for k in range(other.shape[0]):
        total += rows[row, k] * other[k]
    return total


@compiled(ROWS, NUMBERS, types.int64, SMALL, SINGLES, NUMBERS, types.boolean)
def gain_by_pairs(
    vectors: Rows, scales: Numbers, j: int, rows: Small, similarities: Singles, cover: Numbers, take: bool
) -> tuple[float, int]:
    """Return the gain of j in float64 by its pairs, of which only rows that it covers better are kept; how many stay.

    With `take` they are covered by it.
    """
    unit = np.empty(vectors.shape[1])
    for k in range(unit.shape[0]):
        unit[k] = vectors[j, k] * scales[j]
    total, kept = 0.0, 0
    for i in range(rows.shape[0]):
        row = rows[i]
        similarity = scales[row] * inner(vectors, row, unit)
        if similarity > cover[row]:
            total += similarity - cover[row]
            rows[kept], similarities[kept] = row, similarities[i]
            kept += 1
            if take:
                cover[row] = similarity
    return float(total), kept


@compiled(
    *(ROWS, NUMBERS),
    *(IDS, IDS, SMALL, SINGLES),
    *(NUMBERS, types.float64, IDS),
    *(NUMBERS, IDS, types.int64),
    *(IDS, NUMBERS, types.int64, types.int64),
)
def pick_by_pairs(
    vectors: Rows,
    scales: Numbers,
    starts: Ids,
    counts: Ids,
    rows: Small,
    similarities: Singles,
    cover: Numbers,
    slack: float,
    stamps: Ids,
    keys: Numbers,
    ids: Ids,
    size: int,
    picks: Ids,
    gains: Numbers,
    done: int,
    limit: int,
) -> tuple[int, int]:
    """Lazy greedy facility location over pairs; `stamps` (n,) are 2 t for a bound before pick t, 2 t + 1 for a gain.

    Returns:
        The picks made so far, and the size of the heap (keys, ids).
    """
    while done < limit:
        j = ids[0]
        stop = starts[j] + counts[j]
        near, by = rows[starts[j] : stop], similarities[starts[j] : stop]
        if stamps[j] == 2 * done + 1:  # exact, and no bound reaches it
            picks[done], gains[done] = j, keys[0]
            gain_by_pairs(vectors, scales, j, near, by, cover, True)
            done += 1
            size -= 1
            keys[0], ids[0] = keys[size], ids[size]
        elif stamps[j] == 2 * done:
            keys[0], counts[j] = gain_by_pairs(vectors, scales, j, near, by, cover, False)
            stamps[j] = 2 * done + 1
        else:
            bound, counts[j] = bound_by_pairs(near, by, cover, slack)
            keys[0] = min(keys[0], bound)
            stamps[j] = 2 * done
        sink(keys, ids, size)
    return done, size
