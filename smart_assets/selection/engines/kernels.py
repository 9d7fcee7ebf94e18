"""The compiled loops of the engines.

They stand in one file, with their signatures, for the sake of numba's cache on disk. It knows only whether a function's
own file changed, not those of the functions that it calls. And it numbers compiled signatures in the order they come,
so that processes which meet them in different orders could overwrite and then load each other's code.

Rows (n, d) are float32 or float64; sums are in float64 unless said otherwise.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Rows = NDArray[np.floating]
Numbers = NDArray[np.float64]
Ids = NDArray[np.int64]
Small = NDArray[np.int32]
Singles = NDArray[np.float32]
_Function = TypeVar("_Function", bound=Callable[..., object])

_ROWS = "rows"
_MATRIX = types.Array(types.float64, 2, "C")
_NUMBERS = types.Array(types.float64, 1, "C")
_IDS = types.Array(types.int64, 1, "C")
_SMALL, _SMALL_ROWS = types.Array(types.int32, 1, "C"), types.Array(types.int32, 2, "C")
_SINGLES, _SINGLE_ROWS = types.Array(types.float32, 1, "C"), types.Array(types.float32, 2, "C")
_KINDS = types.Array(types.uint8, 1, "C")
_SUMS = ("reassoc", "contract")  # sums may be taken in any order, which is fixed when they are compiled
_MAXIMA = (*_SUMS, "nnan", "nsz")


def _compiled(*arguments: Any, fast: tuple[str, ...] = ()) -> Callable[[_Function], _Function]:
    """Compile for these arguments, rows in 32 and 64 bits, or take it from the disk."""
    widths = [types.Array(kind, 2, "C", readonly=True) for kind in (types.float32, types.float64)]
    each = [tuple(width if argument is _ROWS else argument for argument in arguments) for width in widths]
    signatures = each if _ROWS in arguments else each[:1]

    def compiled(function: _Function) -> _Function:
        try:
            return njit(signatures, cache=True, nogil=True, fastmath=set(fast))(function)
        except RuntimeError:  # no folder to keep it in: a read-only installation without a home
            return njit(signatures, cache=False, nogil=True, fastmath=set(fast))(function)

    return compiled


@_compiled(_ROWS, fast=_SUMS)
def lengths(rows: Rows) -> Numbers:
    """The length of every row (n,)."""
    found = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        square = 0.0
        for k in range(rows.shape[1]):
            square += np.float64(rows[i, k]) * rows[i, k]
        found[i] = np.sqrt(square)
    return found


@_compiled(_ROWS, _NUMBERS, fast=("contract",))
def weighted_sum(rows: Rows, weights: Numbers) -> Numbers:
    """weights @ rows (d,), in the order of the rows."""
    total = np.zeros(rows.shape[1])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            total[k] += weights[i] * rows[i, k]
    return total


@_compiled(_ROWS, _NUMBERS, _IDS, _MATRIX)
def read(rows: Rows, scales: Numbers, ids: Ids, out: Numbers) -> None:
    """Write rows[ids] times their scales into `out` (m, d)."""
    for at in range(ids.shape[0]):
        scale = scales[ids[at]]
        for k in range(rows.shape[1]):
            out[at, k] = rows[ids[at], k] * scale


@_compiled(_ROWS, _IDS, _NUMBERS, _NUMBERS, fast=_SUMS)
def dots(rows: Rows, ids: Ids, direction: Numbers, out: Numbers) -> None:
    """Write rows[ids] @ direction (m,) into `out`, four rows at a time."""
    whole = ids.shape[0] // 4 * 4
    for at in range(0, whole, 4):
        a, b, c, d = rows[ids[at]], rows[ids[at + 1]], rows[ids[at + 2]], rows[ids[at + 3]]
        first = second = third = fourth = 0.0
        for k in range(direction.shape[0]):
            component = direction[k]
            first += a[k] * component
            second += b[k] * component
            third += c[k] * component
            fourth += d[k] * component
        out[at], out[at + 1], out[at + 2], out[at + 3] = first, second, third, fourth
    for at in range(whole, ids.shape[0]):
        row, total = rows[ids[at]], 0.0
        for k in range(direction.shape[0]):
            total += row[k] * direction[k]
        out[at] = total


@_compiled(_NUMBERS, _KINDS, _IDS, types.float64, types.int64, types.int64)
def split(
    values: Numbers, kinds: NDArray[np.uint8], ids: Ids, least: float, size: int, kind_count: int
) -> tuple[Ids, Numbers]:
    """Positions of the `size` best, ascending: those above `least`, the first that equal it; each kind's next best."""
    best = np.empty(size, dtype=np.int64)
    bounds = np.full(kind_count, -np.inf)
    spare = size
    for value in values:
        spare -= value > least
    taken = 0
    for at in range(values.shape[0]):
        value = values[at]
        if value > least or (value == least and spare > 0):
            spare -= value == least
            best[taken] = at
            taken += 1
        else:
            kind = kinds[ids[at]]
            bounds[kind] = max(bounds[kind], value)
    return best, bounds


@_compiled(_NUMBERS, _NUMBERS, _NUMBERS, fast=_SUMS)
def moved(direction: Numbers, then: Numbers, centre: Numbers) -> tuple[float, float]:
    """How far w fell along the centre, and moved across it."""
    along = square = 0.0
    for k in range(direction.shape[0]):
        step = then[k] - direction[k]
        along += step * centre[k]
        square += step * step
    return along, np.sqrt(max(square - along * along, 0.0))


@_compiled(types.float64, types.float64, types.float64)
def growth(along: float, across: float, least: float) -> float:
    """The most that -x.step can be for a unit x whose cosine with the centre is at least `least`."""
    length = np.sqrt(along * along + across * across)
    if -along >= least * length:
        return length
    return across * np.sqrt(max(1 - least * least, 0.0)) - along * least


@_compiled(
    *(_IDS, _NUMBERS, _ROWS, _NUMBERS),
    *(_NUMBERS, types.float64),
    *(_MATRIX, _IDS, _MATRIX, _NUMBERS, _NUMBERS),
    *(_IDS, _NUMBERS, types.int64, types.int64),
)
def pick_by_graph_cut(
    ids: Ids,
    values: Numbers,
    rows: Rows,
    scales: Numbers,
    direction: Numbers,
    weight: float,
    bounds: Numbers,
    since: Ids,
    then: Numbers,
    centre: Numbers,
    cosines: Numbers,
    picks: Ids,
    gains: Numbers,
    done: int,
    limit: int,
) -> tuple[int, int]:
    """Pick from the window (ids, gains now, rows, scales); see `graph_cut.GraphCutGains.pick`.

    Returns:
        The picks made so far, and the widest window that held no longer (their number if none).
    """
    last, steps = np.empty(direction.shape[0]), np.empty(ids.shape[0])
    everything = np.arange(ids.shape[0])
    while done < limit:
        best = np.argmax(values)
        for w in range(bounds.shape[0]):
            if done == since[w] or np.max(bounds[w]) == -np.inf:
                continue
            along, across = moved(direction, then[w], centre)
            for kind in range(cosines.shape[0]):
                if values[best] <= bounds[w, kind] + growth(along, across, cosines[kind]):
                    return done, w
        picks[done], gains[done] = ids[best], values[best]
        done += 1
        scale = 2 * weight * scales[best]
        for k in range(direction.shape[0]):
            last[k] = scale * rows[best, k]
            direction[k] -= last[k]
        values[best] = -np.inf
        dots(rows, everything, last, steps)
        for at in range(ids.shape[0]):
            values[at] -= scales[at] * steps[at]
    return done, bounds.shape[0]


@_compiled(
    *(_IDS, _NUMBERS, _MATRIX),
    *(_MATRIX, _MATRIX, types.int64, types.float64),
    *(_NUMBERS, _IDS),
    *(_IDS, _NUMBERS, types.int64, types.int64),
)
def pick_by_log_determinant(
    ids: Ids,
    values: Numbers,
    rows: Numbers,
    inverse: Numbers,
    recent: Numbers,
    applied: int,
    regularization: float,
    bounds: Numbers,
    since: Ids,
    picks: Ids,
    gains: Numbers,
    done: int,
    limit: int,
) -> tuple[int, int]:
    """Pick from the window (ids, forms now, unit rows); see `log_determinant.LogDeterminantGains.pick`.

    Returns:
        The picks made so far, and the widest window that held no longer (their number if none).
    """
    size, width = rows.shape
    step, parts, everything = np.empty(width), np.empty(size), np.arange(max(size, width))
    while done < limit:
        best = np.argmax(values)
        for w in range(bounds.shape[0]):
            if done != since[w] and values[best] <= bounds[w]:
                return done, w
        form = max(values[best], 0.0)
        picks[done], gains[done] = ids[best], np.log(regularization + form)
        row = rows[best]
        dots(inverse, everything[:width], row, step)
        for t in range(applied, done):
            earlier = recent[t % recent.shape[0]]
            part = 0.0
            for k in range(width):
                part += earlier[k] * row[k]
            for k in range(width):
                step[k] -= part * earlier[k]
        scale = 1 / np.sqrt(regularization + form)
        for k in range(width):
            step[k] *= scale
        recent[done % recent.shape[0]] = step
        done += 1
        values[best] = -np.inf
        dots(rows, everything[:size], step, parts)
        for at in range(size):
            values[at] -= parts[at] * parts[at]
    return done, bounds.shape[0]


@_compiled(_SINGLE_ROWS, _SINGLES, _SINGLES, _NUMBERS, _NUMBERS, types.int64, types.int64, fast=_MAXIMA)
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


@_compiled(_SINGLE_ROWS, _SINGLES, _NUMBERS, fast=_MAXIMA)
def add_columns(part: Singles, least: Singles, out: Numbers) -> None:
    """Add what every column gains from the rows; sums of one block are in 32 bits."""
    sums = np.zeros(part.shape[1], dtype=np.float32)
    nothing = np.float32(0)
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            sums[j] += max(part[i, j] - least[i], nothing)
    for j in range(part.shape[1]):
        out[j] += sums[j]


@_compiled(_SINGLE_ROWS, _SINGLES, types.int64, _SMALL_ROWS, _SINGLE_ROWS, _IDS)
def append_pairs(part: Singles, least: Singles, start: int, rows: Small, found: Singles, counts: Ids) -> None:
    """Append to each candidate's list the rows, counted from `start`, that it is similar enough to."""
    for j in range(part.shape[0]):
        at = counts[j]
        for i in range(part.shape[1]):
            rows[j, at] = start + i
            found[j, at] = part[j, i]
            at += part[j, i] > least[i]
        counts[j] = at


@_compiled(_SMALL_ROWS, _SINGLE_ROWS, _IDS, _IDS, _SMALL, _SINGLES)
def copy_pairs(rows: Small, found: Singles, starts: Ids, counts: Ids, all_rows: Small, all_found: Singles) -> None:
    """Put the candidates' lists where they start."""
    for j in range(starts.shape[0]):
        for at in range(counts[j]):
            all_rows[starts[j] + at] = rows[j, at]
            all_found[starts[j] + at] = found[j, at]


@_compiled(_NUMBERS, _IDS, types.int64)
def sink(keys: Numbers, ids: Ids, size: int) -> None:
    """Let the top of a heap, whose key fell, sink to its place among the first `size`.

    The largest key is on top, the lowest index of equal keys; a node has four children. Sorted arrays are a heap.
    """
    key, index, at = keys[0], ids[0], 0
    while 4 * at + 1 < size:
        best = 4 * at + 1
        for other in range(best + 1, min(best + 4, size)):
            if keys[other] > keys[best] or (keys[other] == keys[best] and ids[other] < ids[best]):
                best = other
        if keys[best] < key or (keys[best] == key and ids[best] > index):
            break
        keys[at], ids[at] = keys[best], ids[best]
        at = best
    keys[at], ids[at] = key, index


@_compiled(_SMALL, _SINGLES, _NUMBERS, types.float64)
def bound_by_pairs(rows: Small, similarities: Singles, cover: Numbers, slack: float) -> tuple[float, int]:
    """An upper bound of a candidate's gain by its pairs; those that matter no more are dropped; how many stay."""
    total, kept = 0.0, 0
    for at in range(rows.shape[0]):
        row, similarity = rows[at], similarities[at]
        most = similarity + slack - cover[row]
        rows[kept], similarities[kept] = row, similarity
        if most > 0:
            total += most
            kept += 1
    return total, kept


@_compiled(_IDS, _IDS, _SMALL, _SINGLES, _NUMBERS, types.float64, _NUMBERS)
def bound_all_by_pairs(
    starts: Ids, counts: Ids, rows: Small, similarities: Singles, cover: Numbers, slack: float, out: Numbers
) -> None:
    """The same for every candidate, into `out` (n,)."""
    for j in range(out.shape[0]):
        stop = starts[j] + counts[j]
        out[j], counts[j] = bound_by_pairs(rows[starts[j] : stop], similarities[starts[j] : stop], cover, slack)


@_compiled(_ROWS, types.int64, _NUMBERS, fast=_SUMS)
def inner(rows: Rows, row: int, other: Numbers) -> float:
    """rows[row] . other."""
    total = 0.0
    for k in range(other.shape[0]):
        total += rows[row, k] * other[k]
    return total


@_compiled(_ROWS, _NUMBERS, types.int64, _SMALL, _SINGLES, _NUMBERS, types.boolean)
def gain_by_pairs(
    vectors: Rows, scales: Numbers, j: int, rows: Small, similarities: Singles, cover: Numbers, take: bool
) -> tuple[float, int]:
    """The gain of j in float64 by its pairs, of which only rows that it covers better are kept; how many stay.

    With `take` they are covered by it.
    """
    unit = np.empty(vectors.shape[1])
    for k in range(unit.shape[0]):
        unit[k] = vectors[j, k] * scales[j]
    total, kept = 0.0, 0
    for at in range(rows.shape[0]):
        row = rows[at]
        similarity = scales[row] * inner(vectors, row, unit)
        if similarity > cover[row]:
            total += similarity - cover[row]
            rows[kept], similarities[kept] = row, similarities[at]
            kept += 1
            if take:
                cover[row] = similarity
    return float(total), kept


@_compiled(
    *(_ROWS, _NUMBERS),
    *(_IDS, _IDS, _SMALL, _SINGLES),
    *(_NUMBERS, types.float64, _IDS),
    *(_NUMBERS, _IDS, types.int64),
    *(_IDS, _NUMBERS, types.int64, types.int64),
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
