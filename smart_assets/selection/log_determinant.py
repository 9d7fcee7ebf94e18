"""The log-determinant, the paper's third choice: diverse rows. Its lambda stands in K_S + lambda I, as in submodlib."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smart_assets.core.errors import SelectionError
from smart_assets.core.threads import row_blocks
from smart_assets.selection.objective import (
    GAIN_STEP,
    MAX_PARAMETER,
    Gains,
    GpuUse,
    Indices,
    Limits,
    Marginal,
    OnProgress,
    Picks,
    SubmodularObjective,
    Vectors,
)

if TYPE_CHECKING:
    from smart_assets.core.threads import Threads
    from smart_assets.selection.engines.ground_set import GroundSet
    from smart_assets.selection.engines.products import Products


@dataclass(frozen=True, slots=True)
class LogDeterminant(SubmodularObjective):
    """Diversity: f(S) = log det(K_S + lambda I), the paper's third choice for f1 and f2.

    Worked in d x d: with A = I + X_S^T X_S / lambda, adding j gains log(lambda + x_j^T A^-1 x_j), which lies in
    [log lambda, log(1 + lambda)].
    """

    gpu: ClassVar[GpuUse] = "auto"
    compares_all_pairs: ClassVar[bool] = False

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
        for block in row_blocks(size, max(width, 256)):
            rows = vectors[order[block]]
            residuals = _whiten(inner, rows)
            # The Schur complement of everything before the block: its Cholesky diagonal holds the block's gains.
            complement = residuals @ residuals.T + self.regularization * np.eye(len(rows))
            gains[block] = 2 * np.log(np.diagonal(np.linalg.cholesky(complement)))
            inner = inner + rows.T @ rows / self.regularization
        return gains

    def picks(
        self,
        ground: "GroundSet",
        products: "Products",
        count: int,
        limits: Limits,  # noqa: ARG002  (its engine takes no memory that grows with the pairs)
        on_progress: OnProgress,
    ) -> Picks:
        """See `engines.log_determinant`."""
        from smart_assets.selection.engines.log_determinant import log_determinant_picks

        return log_determinant_picks(ground, products, self.regularization, count, on_progress)

    def marginal(self, ground: "GroundSet", shared: "Threads") -> Marginal:
        """See `LogDeterminantMarginal`."""
        return LogDeterminantMarginal(ground, shared, self.regularization)

    def submodlib_function(self, kernel: NDArray[np.float32]) -> Any:
        """Return submodlib's function of the same name."""
        from submodlib import LogDeterminantFunction

        rounding = len(kernel) * 2.0**-23
        if self.regularization < rounding:
            raise SelectionError(
                f"regularization of log_determinant must be at least {rounding:.2g} for {len(kernel)} vectors, the "
                f"rounding of submodlib's 32-bit kernel; got {self.regularization}"
            )
        return LogDeterminantFunction(n=len(kernel), mode="dense", lambdaVal=self.regularization, sijs=kernel)


def _whiten(inner: NDArray[np.float64], rows: Vectors) -> NDArray[np.float64]:
    """Rows (m, d) whose inner products are x_i^T inner^-1 x_j."""
    return np.linalg.solve(np.linalg.cholesky(inner), rows.T).T.astype(np.float64, copy=False)


class LogDeterminantMarginal:
    """O(d^2) a gain: log(lambda + x_j^T A^-1 x_j), and A^-1 by rank-one updates (Sherman & Morrison 1950)."""

    def __init__(self, ground: "GroundSet", shared: "Threads", regularization: float) -> None:
        self._ground, self._shared, self._regularization = ground, shared, regularization
        self._inverse = np.eye(ground.width)

    def gains(self, ids: Indices) -> Gains:
        """See `Marginal`."""
        gains = np.empty(len(ids))

        def work(block: slice) -> None:
            rows = self._ground.unit(ids[block])
            forms = np.einsum("ij,ij->i", rows @ self._inverse, rows)
            gains[block] = np.log(self._regularization + np.maximum(forms, 0))

        self._shared.over_blocks(work, len(ids), GAIN_STEP)
        return gains

    def take(self, index: int) -> None:
        """See `Marginal`."""
        vector = self._ground.unit(np.array([index]))[0]
        step = self._inverse @ vector
        self._inverse -= np.outer(step, step / (self._regularization + max(float(vector @ step), 0.0)))
