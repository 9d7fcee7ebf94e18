"""The objectives that a selection can maximize, and what adding an instance to a subset gains.

Each is a small frozen value, so that a recipe can name it in `smart.yaml` and an artifact can be keyed by its `label`.
All work on unit vectors (n, d), whose inner products are the kernel s_ij (raw cosines, negative ones included), and
none builds the n x n kernel. The definitions are those of submodlib, on which the paper rests: facility location starts
from 0, so a negative similarity never covers; lambda of the log-determinant stands in K_S + lambda I.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field

from smart_assets.core.errors import SelectionError

Vectors = NDArray[np.float64]
"""(n, d) rows of length 1."""
Indices = NDArray[np.int64]
"""(k,) distinct positions of the ground set."""
Gains = NDArray[np.float64]
"""One marginal gain an element."""

OBJECTIVE_NAMES = ("facility_location", "graph_cut", "log_determinant")
"""What `smart.yaml` may call an objective."""

MAX_PARAMETER = 1e6
"""Upper bound of the objectives' parameters; far beyond use, and still exact enough in 32-bit kernels."""

_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class FacilityLocation:
    """Representation: f(S) = sum_i max(0, max_{j in S} s_ij) (the paper's f2, stage 2)."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Literal["facility_location"] = "facility_location"

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective."""
        return self.name

    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S) in [0, n] for unit `vectors` (n, d) and a subset (k,)."""
        return float(self._cover(vectors, subset).sum())

    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S) >= 0 for every j (n,); 0 for the elements of `subset` (k,)."""
        cover = self._cover(vectors, subset)
        gains = np.empty(len(vectors))
        for block in _blocks(len(vectors), _BLOCK_BYTES // (8 * len(vectors))):
            gains[block] = np.maximum(vectors[block] @ vectors.T - cover, 0).sum(axis=1)
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""
        cover = np.zeros(len(vectors))
        gains = np.empty(len(order))
        for block in _blocks(len(order), _BLOCK_BYTES // (8 * len(vectors))):
            similarities = vectors[order[block]] @ vectors.T
            covers = np.maximum.accumulate(np.vstack([cover, similarities]), axis=0)
            gains[block] = np.maximum(similarities - covers[:-1], 0).sum(axis=1)
            cover = covers[-1]
        return gains

    @staticmethod
    def _cover(vectors: Vectors, subset: Indices) -> NDArray[np.float64]:
        """max(0, max_{j in S} s_ij) for every row i (n,)."""
        cover = np.zeros(len(vectors))
        for block in _blocks(len(subset), _BLOCK_BYTES // (8 * len(vectors))):
            np.maximum(cover, (vectors[subset[block]] @ vectors.T).max(axis=0), out=cover)
        return cover


@dataclass(frozen=True, slots=True)
class GraphCut:
    """Representation less redundancy: f(S) = sum_{i in V, j in S} s_ij - lambda sum_{i, j in S} s_ij.

    The paper's f1 (stage 1). Gains may be negative, and with negative similarities they may grow as the subset grows.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    redundancy_weight: Annotated[
        float,
        Field(
            ge=0, le=MAX_PARAMETER, description="Lambda: what a similarity inside the subset costs. The paper's 0.4."
        ),
    ] = 0.4
    name: Literal["graph_cut"] = "graph_cut"

    def __post_init__(self) -> None:
        if not 0 <= self.redundancy_weight <= MAX_PARAMETER:
            raise SelectionError(
                f"redundancy_weight of graph_cut must lie in [0, {MAX_PARAMETER:g}]; got {self.redundancy_weight}"
            )

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective."""
        return f"{self.name}(redundancy_weight={float(self.redundancy_weight)})"

    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S), of any sign, for unit `vectors` (n, d) and a subset (k,)."""
        chosen = vectors[subset].sum(axis=0)
        return float(chosen @ (vectors.sum(axis=0) - self.redundancy_weight * chosen))

    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S), of any sign, for every j (n,); 0 for the elements of `subset` (k,)."""
        chosen = vectors[subset].sum(axis=0)
        gains = vectors @ (vectors.sum(axis=0) - 2 * self.redundancy_weight * chosen) - self.redundancy_weight
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""
        ordered = vectors[order]
        before = np.cumsum(ordered, axis=0) - ordered
        redundancy = 2 * np.einsum("ij,ij->i", ordered, before) + 1
        return ordered @ vectors.sum(axis=0) - self.redundancy_weight * redundancy


@dataclass(frozen=True, slots=True)
class LogDeterminant:
    """Diversity: f(S) = log det(K_S + lambda I), the paper's third choice for f1 and f2.

    Worked in d x d: with A = I + X_S^T X_S / lambda, adding j gains log(lambda + x_j^T A^-1 x_j), which lies in
    [log lambda, log(1 + lambda)].
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    regularization: Annotated[
        float,
        Field(
            gt=0, le=MAX_PARAMETER, description="Lambda: added to the kernel's diagonal; large values blur diversity."
        ),
    ] = 1.0
    name: Literal["log_determinant"] = "log_determinant"

    def __post_init__(self) -> None:
        if not 0 < self.regularization <= MAX_PARAMETER:
            raise SelectionError(
                f"regularization of log_determinant must lie in (0, {MAX_PARAMETER:g}]; got {self.regularization}"
            )

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective."""
        return f"{self.name}(regularization={float(self.regularization)})"

    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S), of any sign, 0 for the empty one, for unit `vectors` (n, d) and a subset (k,)."""
        return float(self.ordered_gains(vectors, subset).sum())

    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S), of any sign, for every j (n,); 0 for the elements of `subset` (k,)."""
        chosen = vectors[subset]
        residuals = _whiten(np.eye(vectors.shape[1]) + chosen.T @ chosen / self.regularization, vectors)
        gains = np.log(self.regularization + np.einsum("ij,ij->i", residuals, residuals))
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""
        size, width = len(order), vectors.shape[1]
        inner = np.eye(width)
        gains = np.empty(size)
        for block in _blocks(size, max(width, 256)):
            rows = vectors[order[block]]
            residuals = _whiten(inner, rows)
            # The Schur complement of everything before the block: its Cholesky diagonal holds the block's gains.
            complement = residuals @ residuals.T + self.regularization * np.eye(len(rows))
            gains[block] = 2 * np.log(np.diagonal(np.linalg.cholesky(complement)))
            inner = inner + rows.T @ rows / self.regularization
        return gains


def _whiten(inner: NDArray[np.float64], rows: Vectors) -> NDArray[np.float64]:
    """Rows (m, d) whose inner products are x_i^T inner^-1 x_j."""
    return np.linalg.solve(np.linalg.cholesky(inner), rows.T).T.astype(np.float64, copy=False)


def _blocks(size: int, step: int) -> Iterator[slice]:
    """Slices that cut `size` elements into blocks of `step`, at least one each."""
    step = max(1, step)
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def _spell_out(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Objective = Annotated[
    FacilityLocation | GraphCut | LogDeterminant, Field(discriminator="name"), BeforeValidator(_spell_out)
]
"""Any of the three; in `smart.yaml` a mapping with `name`, or the bare name for its defaults."""
