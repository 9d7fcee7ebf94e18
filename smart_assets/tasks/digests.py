"""128-bit hashes of many rows, as numpy holds them: 16 bytes each, ordered as their hex is."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Digests = NDArray[np.bytes_]  # (rows,), of 16 bytes; numpy drops zero bytes at the end of one taken out alone

KIND = np.dtype("S16")
_ARROW = pa.binary(16)


def from_hex(column: pa.ChunkedArray) -> Digests:
    """Return the digests that a column of 32 hex digits a row holds.

    Raises:
        ValueError: A row holds something else (pyarrow's and binascii's errors are such).
    """
    if column.null_count:
        raise ValueError("a hash is missing")
    return np.frombuffer(binascii.unhexlify(_raw(pc.cast(column.cast(pa.binary()), pa.binary(32)))), KIND)


def to_hex(digests: Digests) -> pa.Array:
    """Return digests as a column of 32 hex digits a row."""
    offsets = np.arange(0, 32 * len(digests) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(digests), pa.py_buffer(offsets), pa.py_buffer(binascii.hexlify(digests.tobytes()))
    )


def from_arrow(column: pa.ChunkedArray) -> Digests:
    """Return the digests of a column of 16 bytes a row."""
    return np.frombuffer(_raw(column), KIND)


def to_arrow(digests: Digests | Sequence[bytes]) -> pa.Array:
    """Return digests as a column of 16 bytes a row."""
    content = digests.tobytes() if isinstance(digests, np.ndarray) else b"".join(digests)
    return pa.FixedSizeBinaryArray.from_buffers(_ARROW, len(digests), [None, pa.py_buffer(content)])


def order_of(digests: Digests, *then: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the positions of the digests in their order; equal ones go by further keys, then as they stand."""
    halves = np.ascontiguousarray(digests).view(">u8").reshape(-1, 2).astype(np.uint64)
    return np.lexsort((*reversed(then), halves[:, 1], halves[:, 0]))


def first_of_equal(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where, among digests or other keys in order, another one begins."""
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return first


def positions_in(ordered: Digests, wanted: Digests) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each wanted digest stands among distinct ones in order, and whether it is there at all."""
    if not len(ordered):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
    positions = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return positions, ordered[positions] == wanted


def _raw(column: pa.ChunkedArray) -> bytes:
    width = column.type.byte_width
    return b"".join(
        memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
        if len(chunk)
    )
