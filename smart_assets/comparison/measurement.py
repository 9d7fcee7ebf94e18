"""One figure of one model, as it was recorded."""

from dataclasses import dataclass

from smart_assets.core.metrics import Direction


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one model on one task, named as it was recorded; budget and recipe are None for the base model."""

    budget: int | None
    recipe: str | None
    seed: int | None
    benchmark: str
    task: str
    metric: str
    value: float
    trained: bool  # the task had rows in the subset
    direction: Direction  # as it was recorded
