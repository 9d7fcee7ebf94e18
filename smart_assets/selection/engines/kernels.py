"""The compiled loops over rows and windows; see `compiled`."""

import numpy as np
from numba import types
from numpy.typing import NDArray

from smart_assets.selection.engines.compiled import (
    IDS,
    KINDS,
    MATRIX,
    NUMBERS,
    ROWS,
    SUMS,
    Ids,
    Numbers,
    Rows,
    compiled,
)


@compiled(ROWS, fast=SUMS)
def lengths(rows: Rows) -> Numbers:
    """Return the length of every row (n,)."""
    norms = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        square = 0.0
        for k in range(rows.shape[1]):
            square += np.float64(rows[i, k]) * rows[i, k]
        norms[i] = np.sqrt(square)
    return norms


@compiled(ROWS, NUMBERS, fast=("contract",))
def weighted_sum(rows: Rows, weights: Numbers) -> Numbers:
    """weights @ rows (d,), in the order of the rows."""
    total = np.zeros(rows.shape[1])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            total[k] += weights[i] * rows[i, k]
    return total


@compiled(ROWS, NUMBERS, IDS, MATRIX)
def read(rows: Rows, scales: Numbers, ids: Ids, out: Numbers) -> None:
    """Write rows[ids] times their scales into `out` (m, d)."""
    for i in range(ids.shape[0]):
        scale = scales[ids[i]]
        for k in range(rows.shape[1]):
            out[i, k] = rows[ids[i], k] * scale


@compiled(ROWS, IDS, NUMBERS, NUMBERS, fast=SUMS)
def dots(rows: Rows, ids: Ids, direction: Numbers, out: Numbers) -> None:
    """Write rows[ids] @ direction (m,) into `out`, four rows at a time."""
    whole = ids.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = rows[ids[i]], rows[ids[i + 1]], rows[ids[i + 2]], rows[ids[i + 3]]
        first = second = third = fourth = 0.0
        for k in range(direction.shape[0]):
            component = direction[k]
            first += a[k] * component
            second += b[k] * component
            third += c[k] * component
            fourth += d[k] * component
        out[i], out[i + 1], out[i + 2], out[i + 3] = first, second, third, fourth
    for i in range(whole, ids.shape[0]):
        row, total = rows[ids[i]], 0.0
        for k in range(direction.shape[0]):
            total += row[k] * direction[k]
        out[i] = total


@compiled(NUMBERS, KINDS, IDS, types.float64, types.int64, types.int64)
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
    for i in range(values.shape[0]):
        value = values[i]
        if value > least or (value == least and spare > 0):
            spare -= value == least
            best[taken] = i
            taken += 1
        else:
            kind = kinds[ids[i]]
            bounds[kind] = max(bounds[kind], value)
    return best, bounds


@compiled(NUMBERS, NUMBERS, NUMBERS, fast=SUMS)
def moved(direction: Numbers, then: Numbers, centre: Numbers) -> tuple[float, float]:
    """How far w fell along the centre, and moved across it."""
    along = square = 0.0
    for k in range(direction.shape[0]):
        step = then[k] - direction[k]
        along += step * centre[k]
        square += step * step
    return along, np.sqrt(max(square - along * along, 0.0))


@compiled(types.float64, types.float64, types.float64)
def growth(along: float, across: float, least: float) -> float:
    """Return the most that -x.step can be for a unit x whose cosine with the centre is at least `least`."""
    length = np.sqrt(along * along + across * across)
    if -along >= least * length:
        return length
    return across * np.sqrt(max(1 - least * least, 0.0)) - along * least


@compiled(
    *(IDS, NUMBERS, ROWS, NUMBERS),
    *(NUMBERS, types.float64),
    *(MATRIX, IDS, MATRIX, NUMBERS, NUMBERS),
    *(IDS, NUMBERS, types.int64, types.int64),
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
        for i in range(ids.shape[0]):
            values[i] -= scales[i] * steps[i]
    return done, bounds.shape[0]


@compiled(
    *(IDS, NUMBERS, MATRIX),
    *(MATRIX, MATRIX, types.int64, types.float64),
    *(NUMBERS, IDS),
    *(IDS, NUMBERS, types.int64, types.int64),
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
        for i in range(size):
            values[i] -= parts[i] * parts[i]
    return done, bounds.shape[0]
