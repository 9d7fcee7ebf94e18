"""Figures of evaluated models, written as a table."""

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.measurement import Measurement
from smart_assets.core.metrics import Direction

Losses = dict[tuple[int | None, str | None, int | None], dict[str, float]]


def measured(
    losses: Losses,
    metric: str = "response_loss",
    benchmark: str = "held_out",
    direction: Direction = Direction.LOWER,
) -> list[Measurement]:
    return [
        Measurement(budget, recipe, seed, benchmark, task, metric, value, task != "unseen", direction)
        for (budget, recipe, seed), by_task in losses.items()
        for task, value in by_task.items()
    ]


def row_columns(
    loss_sums: NDArray[np.float64], tokens: NDArray[np.float64], exact_matches: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return rows (n,) as the columns that metrics are made of."""
    return {"loss_sum": loss_sums, "tokens": tokens, "exact_match": exact_matches}
