"""Approximate orderings, each named as such: for ground sets too large for the exact ones.

An approximation is a small frozen value like an objective, so that settings can spell it and an artifact can be keyed
by its `label`. Its ordering says `exact=False`, and what made it.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.selection.greedy import GreedyOrdering
from smart_assets.selection.objective import Gains, Indices, OnProgress, SubmodularObjective
from smart_assets.selection.objectives import FacilityLocation, spell_out

APPROXIMATION_VERSION = "approximate-1"
"""Keys stored approximate orderings: change it with anything that can change a pick or a gain."""

SAMPLED_ROWS = 2000
"""Rows by which `sampled_values` estimates: the standard error of a value is then at most 1.1% of n."""

_SEED = 23


@dataclass(frozen=True, slots=True)
class NearestNeighbours:
    """Facility location on a sparse kernel: of each row's similarities only the largest are kept.

    A row none of whose neighbours is picked counts 0. So the gains, those of this sparse objective, sum to a lower
    bound of the true value; `sampled_values` estimates the true one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    neighbours: Annotated[
        int,
        Field(ge=1, strict=True, description="Similarities kept of each row, the one with itself included."),
    ] = 64
    name: Literal["nearest_neighbours"] = "nearest_neighbours"

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise SelectionError(f"neighbours of nearest_neighbours must be at least 1; got {self.neighbours}")

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this approximation."""
        return f"{self.name}(neighbours={self.neighbours})"


@dataclass(frozen=True, slots=True)
class StochasticGreedy:
    """Pick t is the best of ceil(n / t ln(1 / epsilon)) random ones of those left, by its true gain.

    Mirzasoleiman et al. 2015, "Lazier than lazy greedy": with samples of at least n / k ln(1 / epsilon) for k picks, a
    monotone objective reaches at least 1 - 1/e - epsilon of its best value in expectation. They fix k; samples that
    shrink as n / t give every prefix at least what it asks for, for ln(k) times the work.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    epsilon: Annotated[
        float, Field(gt=0, lt=1, description="What a smaller sample may cost of the best value, in expectation.")
    ] = 0.1
    seed: Annotated[int, Field(ge=0, strict=True, description="Seed of the samples.")] = _SEED
    name: Literal["stochastic_greedy"] = "stochastic_greedy"

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1:
            raise SelectionError(f"epsilon of stochastic_greedy must lie in (0, 1); got {self.epsilon}")
        if self.seed < 0:
            raise SelectionError(f"seed of stochastic_greedy must be at least 0; got {self.seed}")

    @property
    def label(self) -> str:
        """Stable text that keys artifacts made with this approximation."""
        return f"{self.name}(epsilon={float(self.epsilon)}, seed={self.seed})"


def approximate_ordering(
    vectors: NDArray[np.floating],
    objective: SubmodularObjective,
    approximation: "Approximation",
    budget: int | None = None,
    neighbours: NDArray[np.integer] | None = None,
    on_progress: OnProgress | None = None,
) -> GreedyOrdering:
    """Order the rows of `vectors` (n, d) by `objective` approximately: k = min(budget, n), n where it is None.

    Args:
        vectors: rows of any length but zero; renormalized in float64.
        objective: what is maximized; nearest neighbours know facility location only.
        approximation: how.
        budget: how many to pick.
        neighbours: (n, m) for nearest neighbours, the rows nearest to each, nearest first, -1 where there are fewer.
            The row itself may be among them. Without it every row is compared with every other, by FAISS.
        on_progress: see `greedy.OnProgress`.

    Returns:
        The picks with `exact=False` and the approximation's label as their engine. The gains are true ones for
        stochastic greedy, those of the sparse objective for nearest neighbours.

    Raises:
        SelectionError: The vectors or the neighbours cannot be used, or go with no such approximation.
        BudgetError: The budget is below 1.
    """
    from smart_assets.selection.engines.ground_set import GroundSet

    ground = GroundSet.of(vectors)
    count = len(ground) if budget is None else min(budget, len(ground))
    if count < 1:
        raise BudgetError(f"the budget of an ordering must be at least 1; got {budget}")
    report = on_progress or (lambda *_: None)
    match approximation:
        case NearestNeighbours(kept):
            _require_facility_location(objective)
            from smart_assets.selection.sparse_facility_location import sparse_facility_location_picks

            picks = sparse_facility_location_picks(ground, kept, neighbours, count, report)
        case StochasticGreedy(epsilon, seed):
            if neighbours is not None:
                raise SelectionError("stochastic_greedy uses no neighbours: pass None, or use nearest_neighbours")
            from smart_assets.selection.stochastic_greedy import stochastic_picks

            picks = stochastic_picks(ground, objective, epsilon, seed, count, report)
    report(count, 1.0)
    return GreedyOrdering(*picks, approximation.label, exact=False)


def approximation_for(objective: SubmodularObjective, approximation: "Approximation") -> "Approximation | None":
    """Return the approximation, where it knows the objective; None where only an exact ordering will do."""
    fits = isinstance(objective, FacilityLocation) or not isinstance(approximation, NearestNeighbours)
    return approximation if fits else None


def sampled_values(vectors: NDArray[np.floating], order: Indices, rows: int = SAMPLED_ROWS) -> Gains:
    """Return the facility location value of each prefix of `order` (k,), estimated from `rows` of the n rows: (k,).

    The sample is uniform without replacement and the same for the same n, the estimate unbiased over samples, and
    exact where `rows` is n or more. O(rows k d).

    Raises:
        SelectionError: The vectors have no directions, or `rows` is below 1.
    """
    from smart_assets.selection.engines.ground_set import GroundSet
    from smart_assets.selection.stochastic_greedy import covered

    if rows < 1:
        raise SelectionError(f"a value needs at least 1 row to be estimated from; got {rows}")
    ground = GroundSet.of(vectors)
    size = min(rows, len(ground))
    sample = np.sort(np.random.default_rng(_SEED).choice(len(ground), size, replace=False))
    return covered(ground, sample, order) * (len(ground) / size)


def _require_facility_location(objective: SubmodularObjective) -> None:
    if not isinstance(objective, FacilityLocation):
        raise SelectionError(
            f"nearest_neighbours approximates facility_location only; got {objective.label}: use stochastic_greedy, or "
            "an exact ordering"
        )


Approximation = Annotated[NearestNeighbours | StochasticGreedy, Field(discriminator="name"), BeforeValidator(spell_out)]
"""Either of the two; in `smart.yaml` a mapping with `name`, or the bare name for its defaults."""
