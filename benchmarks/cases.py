"""What is measured, and what comes out: the objectives with their vectors, and the rows of `results.json`."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective


@dataclass(frozen=True)
class Case:
    """An objective on the embeddings as they are, or on their absolute values: no similarity is negative then."""

    title: str
    objective: Objective
    nonnegative: bool = False


CASES = {
    "facility_location": Case("facility location", FacilityLocation()),
    "graph_cut": Case("graph cut", GraphCut()),
    "graph_cut_nonnegative": Case("graph cut, no similarity negative", GraphCut(), nonnegative=True),
    "log_determinant": Case("log-determinant", LogDeterminant()),
}


@dataclass(frozen=True)
class Measured:
    """What one ordering took."""

    seconds: float  # the ordering alone
    took_bytes: int  # at its peak, beside the vectors and the loaded libraries
    peak_bytes: int  # of the whole process
    loading_seconds: float  # libraries, compiled code and a first tiny ordering


@dataclass(frozen=True)
class Failed:
    """Why there is no measurement."""

    failed: str


Outcome = Measured | Failed


@dataclass(frozen=True)
class Row:
    """One case at one size; the ratios are submodlib's by ours, so larger is better for us."""

    case: str
    size: int
    width: int
    ours: Outcome
    submodlib: Outcome | None = None
    time_ratio: float | None = None
    memory_ratio: float | None = None

    @classmethod
    def of(cls, case: str, shape: tuple[int, int], ours: Outcome, submodlib: Outcome | None) -> "Row":
        """Return it with the ratios, where both were measured."""
        if not (isinstance(ours, Measured) and isinstance(submodlib, Measured)):
            return cls(case, *shape, ours, submodlib)
        memory = submodlib.took_bytes / ours.took_bytes if ours.took_bytes else None
        return cls(case, *shape, ours, submodlib, submodlib.seconds / ours.seconds, memory)


@dataclass(frozen=True)
class Results:
    """A whole run of the benchmark."""

    machine: str
    vectors: str
    rows: list[Row]


_RESULTS = TypeAdapter(Results)


def read_results(path: Path) -> Results:
    """Return what `write_results` wrote."""
    return _RESULTS.validate_json(path.read_bytes())


def write_results(path: Path, results: Results) -> None:
    """Write JSON after every row, so that a run that is stopped leaves what it has."""
    path.write_bytes(_RESULTS.dump_json(results, indent=1) + b"\n")
