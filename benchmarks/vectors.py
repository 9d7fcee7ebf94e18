"""What the orderings are measured on: real embeddings or clustered synthetic ones, in any number.

A size within what is there takes that many rows at random; beyond it, jittered copies follow. So every size is made
from the same rows, and a copy lies about as near its row as a reworded prompt does.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 23
JITTER = 0.02
"""Standard deviation of the noise that each coordinate of a copied unit vector gets."""
SYNTHETIC_SIZE, SYNTHETIC_WIDTH = 40_000, 384
_BLOCK_ROWS = 16_384
_TASKS, _TEMPLATES = 28, 8
_SHARED, _TASK, _TEMPLATE, _OWN = 0.3, 0.5, 0.5, 0.8  # lengths of a vector's parts
Vectors = NDArray[np.float32]


def read_or_make(path: Path | None) -> Vectors:
    """Return the rows (n, d) of an .npy file as unit vectors; without a file, clustered synthetic ones."""
    return _unit(clustered_vectors(SYNTHETIC_SIZE, SYNTHETIC_WIDTH) if path is None else np.load(path))


def clustered_vectors(size: int, width: int, seed: int = SEED) -> Vectors:
    """Vectors (n, d), not of length 1, whose similarities lie much as those of prompts by task and template do."""
    generator = np.random.default_rng(seed)

    def directions(count: int) -> NDArray[np.float64]:
        return generator.standard_normal((count, width)) / np.sqrt(width)

    templates = np.repeat(_TASK * directions(_TASKS), _TEMPLATES, axis=0) + _TEMPLATE * directions(_TASKS * _TEMPLATES)
    members = generator.integers(len(templates), size=size)
    return (_SHARED * directions(1) + templates[members] + _OWN * directions(size)).astype(np.float32)


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
