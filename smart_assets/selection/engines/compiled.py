"""How the engines' loops are compiled: ahead of their first call, for rows in 32 and 64 bits, and kept on disk.

Two rules come from numba's cache. It knows only whether a function's own file changed, so loops that call each other
stand in one file. And it numbers compiled signatures in the order they come without checking them when it loads, so
that processes which met them in different orders could load each other's code: signatures are given, none is inferred.

In these files rows (n, d) are float32 or float64, and sums are in float64 unless said otherwise.
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

ROWS = "rows"
"""Stands for rows of either precision, which may be read-only."""
MATRIX = types.Array(types.float64, 2, "C")
NUMBERS = types.Array(types.float64, 1, "C")
IDS, ID_ROWS = types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C")
SMALL = types.Array(types.int32, 1, "C")
SINGLES, SINGLE_ROWS = types.Array(types.float32, 1, "C"), types.Array(types.float32, 2, "C")
KINDS = types.Array(types.uint8, 1, "C")
SUMS = ("reassoc", "contract")
"""Sums may be taken in any order; it is fixed when they are compiled."""
MAXIMA = (*SUMS, "nnan", "nsz")


def compiled(*arguments: Any, fast: tuple[str, ...] = ()) -> Callable[[_Function], _Function]:
    """Compile for these arguments, rows in 32 and 64 bits, or take it from the disk."""
    widths = [types.Array(kind, 2, "C", readonly=True) for kind in (types.float32, types.float64)]
    each = [tuple(width if argument is ROWS else argument for argument in arguments) for width in widths]
    signatures = each if ROWS in arguments else each[:1]

    def decorate(function: _Function) -> _Function:
        try:
            return njit(signatures, cache=True, nogil=True, fastmath=set(fast))(function)
        except RuntimeError:  # no folder to keep it in: a read-only installation without a home
            return njit(signatures, cache=False, nogil=True, fastmath=set(fast))(function)

    return decorate
