"""The bootstrap interval of a mean of plain differences, by which models are promoted."""

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 9999
_BATCH_VALUES = 4_000_000  # drawn at once: 32 MB


def mean_interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of (n,) differences, n >= 2; the same for the same differences.

    The percentile method, because it is defined where all differences are equal.
    """
    from scipy.stats import bootstrap

    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(differences)),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
