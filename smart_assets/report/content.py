"""What the mixture report shows, as plain values: no store, no model, nothing to look up while the page is written.

Everything is named by task, and a task name belongs to one source. Every part may be empty or None: the page then says
so. Rows are always counts of instances.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.compare_recipes import ComparisonResult
from smart_assets.comparison.left_out import LeftOut
from smart_assets.comparison.measurement import Measurement
from smart_assets.core.errors import SelectionError
from smart_assets.mixture.sweeps import Sweep
from smart_assets.mixture.task_scores import propose_max_tasks
from smart_assets.report.task_geometry import TaskPlane
from smart_assets.training.settings import LossMean


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One task: where it comes from, its rows, and its share of each recipe's mixture before caps (in [0, 1])."""

    source: str
    task: str
    train_rows: int
    validation_rows: int
    rejected_rows: int
    mixture_weights: Mapping[str, float]  # recipe -> weight; a recipe that leaves the task out may leave it out here
    long_rows: int | None = None  # with prompts longer than the encoder's window; None: not counted
    rows_read_in_part: int | None = None  # of these, with windows that are not read


@dataclass(frozen=True, slots=True)
class TaskKernel:
    """Cosine similarity of the task mean vectors, in [-1, 1].

    Raises:
        SelectionError: the matrix is not (T, T) for the T names, at least one.
    """

    tasks: tuple[str, ...]
    similarities: NDArray[np.float64]  # (T, T)

    def __post_init__(self) -> None:
        expected = (len(self.tasks), len(self.tasks))
        if not self.tasks or self.similarities.shape != expected:
            shape = self.similarities.shape
            raise SelectionError(f"a kernel of at least one task must have shape {expected}, a row a task; got {shape}")


@dataclass(frozen=True, slots=True)
class ObjectiveGains:
    """Stage 1 under one objective: tasks in greedy order with gains and Taylor-softmax weights (paper, section 3).

    Raises:
        SelectionError: the lengths differ.
    """

    objective: str
    tasks: tuple[str, ...]
    gains: NDArray[np.float64]  # (k,)
    weights: NDArray[np.float64]  # (k,), sum 1

    def __post_init__(self) -> None:
        if not len(self.tasks) == len(self.gains) == len(self.weights):
            raise SelectionError(
                f"{self.objective}: tasks, gains and weights must be equally long; "
                f"got {len(self.tasks)}, {len(self.gains)} and {len(self.weights)}"
            )

    @property
    def effective_tasks(self) -> float:
        """Effective number of tasks, 1 / sum(w^2): k for equal weights, 1 where one task takes all; 0 for no task."""
        concentration = float(np.square(self.weights).sum())
        return 1 / concentration if concentration else 0.0

    @property
    def proposed_max_tasks(self) -> int:
        """M' where the value of the first picks bends; 0 for no task."""
        return propose_max_tasks(self.gains) if self.tasks else 0


@dataclass(frozen=True, slots=True)
class MixtureBudgets:
    """The task budgets of one mixture: rows of each task, for a total budget and a recipe."""

    budget: int
    recipe: str
    rows: Mapping[str, float]  # task -> rows; the mean over seeds where each has rows of its own

    @property
    def effective_tasks(self) -> float:
        """Effective number of tasks, 1 / sum(share^2) over the task budgets; 0 for an empty mixture."""
        total = sum(self.rows.values())
        return total**2 / sum(rows**2 for rows in self.rows.values()) if total else 0.0


@dataclass(frozen=True, slots=True)
class LossCurve:
    """The training loss of one fine-tune, in nats a response token."""

    seed: int
    steps: NDArray[np.int64]  # (s,)
    losses: NDArray[np.float64]  # (s,)


@dataclass(frozen=True, slots=True)
class RejectionCount:
    """How many rows of a source were rejected for one reason."""

    source: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One rejected row; line is None where the file as a whole was refused."""

    source: str
    file: str
    line: int | None
    reason: str
    excerpt: str | None


@dataclass(frozen=True, slots=True)
class Rejections:
    """All rejected rows by source and reason, some of them as examples, and the tasks left with no accepted row."""

    counts: tuple[RejectionCount, ...] = ()
    examples: tuple[RejectedRow, ...] = ()
    tasks_left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NearDuplicatePair:
    """Two instances whose prompts are alike, with the cosine of their vectors."""

    cosine: float
    first_task: str
    first_prompt: str
    second_task: str
    second_prompt: str


@dataclass(frozen=True, slots=True)
class NearDuplicateSummary:
    """Pairs of prompts at or above the cosine threshold, the top ones as examples."""

    threshold: float
    pairs: int
    examples: tuple[NearDuplicatePair, ...]
    neighbour_cosines: NDArray[np.float32]  # (n,) cosine of each row's nearest other row


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """The content version that a partition of an asset had, and when it was made (ISO 8601, UTC)."""

    asset: str
    partition: str
    content_version: str
    made_at: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the page was made from."""

    settings_hash: str
    artifacts: tuple[ArtifactVersion, ...]
    packages: Mapping[str, str]  # name -> version
    training_losses: Mapping[LossMean, int] = field(default_factory=dict[LossMean, int])  # -> evaluated models


@dataclass(frozen=True, slots=True)
class NotShared:
    """What is left out of the comparison of a benchmark's seen or unseen tasks."""

    title: str
    tasks: int  # compared
    rows: int  # compared
    left_out: tuple[LeftOut, ...]
    models_left_out: str


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything on the page."""

    title: str
    tasks: tuple[TaskSummary, ...] = ()
    plane: TaskPlane | None = None
    kernel: TaskKernel | None = None
    objectives: tuple[ObjectiveGains, ...] = ()
    mixtures: tuple[MixtureBudgets, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    recipe_comparisons: tuple[ComparisonResult, ...] = ()
    evaluated: Mapping[tuple[int | None, str | None], str] = field(
        default_factory=dict[tuple[int | None, str | None], str]
    )  # when each budget and recipe was, ISO 8601; None and None: the base model
    not_shared: tuple[NotShared, ...] = ()
    unseen_tasks: frozenset[str] = frozenset()  # of the held-out rows: no mixture was selected from them
    sweeps: tuple[Sweep, ...] = ()
    rejections: Rejections = Rejections()
    near_duplicates: NearDuplicateSummary | None = None
    provenance: Provenance | None = None

    @property
    def recipes(self) -> tuple[str, ...]:
        """All recipes in the order they first appear: in mixtures, then measurements, evidence and weights."""
        mixed = [mixture.recipe for mixture in self.mixtures]
        measured = [row.recipe for row in self.measurements if row.recipe is not None]
        scored = [score.recipe for each in self.recipe_comparisons for score in each.scores if score.recipe is not None]
        weighed = [recipe for task in self.tasks for recipe in task.mixture_weights]
        return tuple(dict.fromkeys([*mixed, *measured, *scored, *weighed]))

    @property
    def budgets(self) -> tuple[int, ...]:
        """All budgets of mixtures and measurements, ascending."""
        measured = {row.budget for row in self.measurements if row.budget is not None}
        return tuple(sorted(measured | {mixture.budget for mixture in self.mixtures}))
