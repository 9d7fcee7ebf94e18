"""Lookups in sorted arrays."""

import numpy as np
from numpy.typing import NDArray


def among(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which keys (n,) are among some rising ones."""
    places = np.searchsorted(ordered, keys)
    is_among = places < len(ordered)
    is_among[is_among] = ordered[places[is_among]] == keys[is_among]
    return is_among


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of many ranges, one after the other: `lengths` (n,) from each of `starts` (n,) on."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
