"""The `selection` section of `smart.yaml`: what makes orderings, and what it may take."""

from typing import Literal

from pydantic import Field

from smart_assets.core.section import Section
from smart_assets.selection.approximate import (
    APPROXIMATION_VERSION,
    Approximation,
    NearestNeighbours,
    approximation_for,
)
from smart_assets.selection.greedy import ENGINE_VERSION, SUBMODLIB_VERSION
from smart_assets.selection.objectives import Objective


class Selection(Section):
    """How instances are ordered. Exact on CPU and GPU alike, unless `approximate_above` says otherwise."""

    engine: Literal["cpu", "cuda", "submodlib"] = Field(
        default="cpu",
        description="`cuda` puts the orderings on the GPU and into its pool; `submodlib` is the paper's library, for "
        "groups of up to 8,192 rows.",
    )
    memory_gib: float = Field(
        default=3.0,
        ge=0.02,
        le=4096,
        description="Memory in GiB that an ordering may take beside the vectors; more of it makes facility location "
        "over large groups faster.",
    )
    approximate_above: int | None = Field(
        default=None, ge=1, description="Rows of a group above which its ordering is approximate; never if unset."
    )
    approximation: Approximation = Field(
        default_factory=NearestNeighbours,
        description="How those are ordered; nearest neighbours are for facility location only, other objectives stay "
        "exact under it.",
    )

    def approximation_of(self, objective: Objective, rows: int) -> Approximation | None:
        """How a group of so many rows is approximated under an objective; None where it is ordered exactly."""
        if self.approximate_above is None or rows <= self.approximate_above:
            return None
        return approximation_for(objective, self.approximation)

    def version_of(self, objective: Objective, rows: int) -> str:
        """Return what of these settings can change the ordering of a group: it keys stored orderings."""
        approximation = self.approximation_of(objective, rows)
        if approximation is not None:
            return f"{APPROXIMATION_VERSION} {approximation.label}"
        return SUBMODLIB_VERSION if self.engine == "submodlib" else ENGINE_VERSION

    @property
    def searches_index(self) -> bool:
        """Whether some ordering may need a source's similarity index."""
        return self.approximate_above is not None and isinstance(self.approximation, NearestNeighbours)
