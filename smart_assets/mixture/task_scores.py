"""Stage 1: how much each task adds to the collection (paper, stage 1).

A task's vector is the mean of its prompts' vectors; a greedy ordering of the tasks gives the gains that become task
budgets. How uneven those are is the temperature's doing, and how many tasks share is M': both can be looked at here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smart_assets.core.errors import SelectionError
from smart_assets.mixture.task_budgets import taylor_softmax
from smart_assets.selection.greedy import unit_rows

TEMPERATURES = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
"""Temperatures to compare: gains of graph cut reach the number of tasks, and a few times that makes weights equal."""

_STRAIGHT = 1e-9
"""Distances from the chord up to this share of the value's peak are rounding."""


def task_kernel(task_vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosines (m, m) in [-1, 1] between the task vectors (m, d), with an exact diagonal of 1.

    Raises:
        SelectionError: A vector is zero or not finite.
    """
    unit = unit_rows(task_vectors)
    kernel = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def effective_tasks(weights: NDArray[np.float64]) -> float:
    """How many equally weighted tasks are as concentrated as `weights` (m,), which sum to 1: 1 / sum w^2, in [1, m]."""
    return float(1 / np.square(weights).sum())


@dataclass(frozen=True, slots=True)
class TemperedWeights:
    """How uneven the Taylor-softmax weights of all m tasks are at one temperature."""

    temperature: float
    effective_tasks: float  # in [1, m]
    largest_weight: float
    smallest_weight: float
    largest_over_equal: float  # the largest weight over 1 / m, in [1, m]


def weights_by_temperature(
    gains: ArrayLike, temperatures: Sequence[float] = TEMPERATURES
) -> tuple[TemperedWeights, ...]:
    """Return the weights of tasks with `gains` (m,) at each temperature: near their square, then near equal.

    Raises:
        SelectionError: There is no gain, one is not finite, or a temperature is not positive.
    """
    tempered: list[TemperedWeights] = []
    for temperature in temperatures:
        weights = taylor_softmax(gains, temperature)
        largest, smallest = float(weights.max()), float(weights.min())
        tempered.append(
            TemperedWeights(temperature, effective_tasks(weights), largest, smallest, largest * len(weights))
        )
    return tuple(tempered)


def value_peak(gains: ArrayLike) -> int:
    """After how many of the greedy picks with `gains` (m,) the objective's value is highest, the last of equals, >= 1.

    Raises:
        SelectionError: There is no gain, or one is not finite.
    """
    values = np.cumsum(np.asarray(gains, dtype=np.float64))
    if not values.size or not np.isfinite(values).all():
        raise SelectionError(f"task gains must be finite, and at least one; got {gains}")
    return int(np.flatnonzero(values >= values.max() - _STRAIGHT * abs(values.max()))[-1]) + 1


def propose_max_tasks(gains: ArrayLike) -> int:
    """M' in [1, m], where the value of the first k greedy picks with `gains` (m,) bends: a proposal, not an optimum.

    That is the k farthest above the chord from no task to the value's peak, the lowest of equals (Satopaa et al. 2011,
    "Kneedle"; a submodular objective's value is concave, so nothing needs smoothing). Where gains fall, it keeps the
    tasks that gain more than the mean task. Picks after the peak lower the value: they are neither proposed nor
    counted. A value that does not bend, as with equal gains or at most two tasks, proposes all tasks up to its peak.

    Gains of graph cut fall nearly evenly, which bends the value near the middle whatever the tasks are.

    Raises:
        SelectionError: There is no gain, or one is not finite.
    """
    peak = value_peak(gains)
    values = np.cumsum(np.asarray(gains, dtype=np.float64))[:peak]
    above = values - values[-1] * np.arange(1, peak + 1) / peak
    rounding = _STRAIGHT * abs(float(values[-1]))
    if peak < 3 or above.max() <= rounding:
        return peak
    return int(np.flatnonzero(above >= above.max() - rounding)[0]) + 1
