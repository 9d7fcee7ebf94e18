"""Stage 1: how much each task adds to the collection (paper, stage 1).

A task's vector is the mean of its prompts' vectors; a greedy ordering of the tasks gives the gains that become task
budgets.
"""

import numpy as np
from numpy.typing import NDArray

from smart_assets.selection.greedy import GreedyOrdering, greedy_ordering, unit_rows
from smart_assets.selection.objectives import Objective


def task_kernel(task_vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosines (m, m) in [-1, 1] between the task vectors (m, d), with an exact diagonal of 1.

    Raises:
        SelectionError: A vector is zero or not finite.
    """
    unit = unit_rows(task_vectors)
    kernel = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def score_tasks(task_vectors: NDArray[np.floating], objective: Objective) -> GreedyOrdering:
    """All tasks in greedy order with their gains, from their mean vectors (m, d), which are renormalized.

    Raises:
        SelectionError: A vector is zero or not finite, or the engine cannot hold the tasks.
    """
    return greedy_ordering(task_vectors, objective)


def effective_tasks(weights: NDArray[np.float64]) -> float:
    """How many equally weighted tasks are as concentrated as `weights` (m,), which sum to 1: 1 / sum w^2, in [1, m]."""
    return float(1 / np.square(weights).sum())
