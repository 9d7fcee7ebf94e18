"""What the orderings are measured on: real embeddings or clustered synthetic ones, in any number.

A size within what is there takes that many rows at random; beyond it, jittered copies follow. So every size is made
from the same rows, and a copy lies about as near its row as a reworded prompt does.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_assets.selection.rates import clustered_vectors

SEED = 23
JITTER = 0.02
"""Standard deviation of the noise that each coordinate of a copied unit vector gets."""
SYNTHETIC_SIZE, SYNTHETIC_WIDTH = 40_000, 384
_BLOCK_ROWS = 16_384
Vectors = NDArray[np.float32]


def read_or_make(path: Path | None) -> Vectors:
    """Return the rows (n, d) of an .npy file as unit vectors; without a file, clustered synthetic ones."""
    return _unit(clustered_vectors(SYNTHETIC_SIZE, SYNTHETIC_WIDTH) if path is None else np.load(path))


def variant(vectors: Vectors, size: int, nonnegative: bool, positions: NDArray[np.int64]) -> Vectors:
    """Return rows at ascending positions (m,) of `size` rows made from `vectors`, absolute where `nonnegative`."""
    order = np.random.default_rng(SEED).permutation(len(vectors))
    rows = vectors[order[positions % len(vectors)]]
    copied = positions >= len(vectors)
    noise = np.random.default_rng((SEED, size, int(positions[0])))
    rows[copied] += JITTER * noise.standard_normal((int(copied.sum()), rows.shape[1]), dtype=np.float32)
    return _unit(np.abs(rows) if nonnegative else rows)


def write_variant(path: Path, vectors: Vectors, size: int, nonnegative: bool) -> None:
    """Write all `size` rows as an .npy file, block by block."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(size, vectors.shape[1]))
    for start in range(0, size, _BLOCK_ROWS):
        positions = np.arange(start, min(start + _BLOCK_ROWS, size))
        out[positions] = variant(vectors, size, nonnegative, positions)
    out.flush()


def _unit(rows: NDArray[np.floating]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
