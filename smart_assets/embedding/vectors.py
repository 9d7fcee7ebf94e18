"""Unit vectors; lengths are taken in float64, because cosines are compared to many digits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError


def normalized(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale each row of `vectors` (n, d) to length 1; a row that is zero or not finite comes back with NaN in it."""
    wide = np.asarray(vectors, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def unit_rows(vectors: NDArray[np.floating], prompt_hashes: Sequence[str]) -> NDArray[np.float32]:
    """Return `vectors` (n, d) as float32 rows of length 1.

    Raises:
        EmbeddingError: a row is zero or not finite; the message names its prompt's hash.
    """
    unit = normalized(vectors)
    bad = np.flatnonzero(~np.isfinite(unit).all(axis=1))
    if bad.size:
        raise EmbeddingError(
            f"the encoder gave no direction (zero, or not finite) for {bad.size} prompts, the first with hash "
            f"{prompt_hashes[int(bad[0])]!r}; try embedding.precision float32, or remove these prompts"
        )
    return unit.astype(np.float32)
