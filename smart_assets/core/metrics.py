"""What metrics are called, their units, and which way is better: ours in one registry, lm-eval's as it declares them.

A direction is recorded where a metric is measured, and never guessed from a name. What nobody declared is shown, but
nothing is ranked, marked or promoted by it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELD_OUT = "held_out"
"""The benchmark made of the validation split; every other one goes by the name that `smart.yaml` gives it."""

DIRECTIONS_SETTING = "evaluate.metric_directions"
"""What declares the direction of an lm-eval metric that lm-eval does not declare."""


class Direction(StrEnum):
    """Which values of a metric are better."""

    LOWER = "lower"
    HIGHER = "higher"
    UNKNOWN = "unknown"

    @classmethod
    def recorded(cls, higher_is_better: bool | None) -> "Direction":
        """Of `higher_is_better` as lm-eval and `metrics.parquet` have it; None where nobody declared it."""
        if higher_is_better is None:
            return cls.UNKNOWN
        return cls.HIGHER if higher_is_better else cls.LOWER

    @property
    def higher_is_better(self) -> bool | None:
        """The inverse of `recorded`."""
        return None if self is Direction.UNKNOWN else self is Direction.HIGHER

    @property
    def is_known(self) -> bool:
        """Whether anybody declared it."""
        return self is not Direction.UNKNOWN


def agreed(directions: Iterable[Direction]) -> Direction:
    """The direction that all of them are; unknown where they differ, one of them is unknown, or there are none."""
    distinct = set(directions)
    return distinct.pop() if len(distinct) == 1 else Direction.UNKNOWN


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its recorded name."""

    name: str
    unit: str  # "" for none or a share of 1
    direction: Direction
    # Ours: all rows, those whose choices were ranked, those that an answer was written to. lm-eval's: tasks.
    measured_on: Literal["rows", "choices", "answers", "tasks"] = "tasks"

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ").replace(",none", "")

    @property
    def unit_and_direction(self) -> str:
        """Such as `nats per token, lower is better`."""
        direction = f"{self.direction} is better" if self.direction.is_known else "which way is better is not declared"
        return f"{self.unit}, {direction}" if self.unit else direction

    def as_loss(self, values: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """The values turned so that lower is better.

        Raises:
            ValueError: the direction is unknown; who ranks asks for it first.
        """
        if self.direction is Direction.UNKNOWN:
            raise ValueError(f"{self.name}: nobody declared which way is better, so its values cannot be ranked")
        return -values if self.direction is Direction.HIGHER else values

    def improves(self, change: float) -> bool | None:
        """Whether a change is for the better; None for no change, and where the direction is unknown."""
        if self.direction is Direction.UNKNOWN or not change:
            return None
        return (change > 0) == (self.direction is Direction.HIGHER)


RESPONSE_LOSS = Metric("response_loss", "nats per token", Direction.LOWER, "rows")
"""Mean negative log-likelihood of the response and its end token: the metric of the summary."""

RESPONSE_LOSS_PER_BYTE = Metric("response_loss_per_byte", "nats per byte", Direction.LOWER, "rows")
"""The same a UTF-8 byte of the response, which compares models of different tokenizers."""

EXACT_MATCH = Metric("exact_match", "", Direction.HIGHER, "rows")
"""The share of rows whose response is the most likely one, token by token."""

ACCURACY = Metric("accuracy", "", Direction.HIGHER, "choices")
"""The share of rows whose response, with its end token, ranked first among the responses of its task."""

ACC = Metric("acc", "", Direction.HIGHER, "choices")
"""As lm-eval's `multiple_choice` has it: the response ranked first by the log-likelihood of its text, no end token."""

ACC_NORM = Metric("acc_norm", "", Direction.HIGHER, "choices")
"""As lm-eval has it: the same by the log-likelihood divided by the text's length in characters."""

ROUGE_L = Metric("rouge_l", "", Direction.HIGHER, "answers")
"""Mean ROUGE-L F of what the model writes."""

OWN_METRICS = {
    metric.name: metric
    for metric in (RESPONSE_LOSS, RESPONSE_LOSS_PER_BYTE, EXACT_MATCH, ACCURACY, ACC, ACC_NORM, ROUGE_L)
}
"""All that is measured on rows, held-out ones and those of collections, by name."""

HELD_OUT_METRICS = tuple(name for name, metric in OWN_METRICS.items() if metric.measured_on != "choices")
"""Names of those that held-out rows have: choices are ranked on collections alone."""


def recorded_metric(name: str, direction: Direction) -> Metric:
    """A metric as an evaluation recorded it; the unit of lm-eval's is in their names, if anywhere."""
    own = OWN_METRICS.get(name)
    return own if own is not None and own.direction is direction else Metric(name, "", direction)


def undeclared(metric: str, benchmark: str) -> str:
    """One sentence for a metric without a direction: what is not known, and what would tell."""
    return (
        f"it is not known whether a lower or a higher {metric} of {benchmark} is better: declare it in smart.yaml, "
        f"such as `{DIRECTIONS_SETTING}: {{{benchmark}: {{{metric.partition(',')[0]}: lower}}}}`, and evaluate again"
    )
