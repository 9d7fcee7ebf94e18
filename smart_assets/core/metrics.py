"""What metrics are called, their units, and which way is better: ours in one registry, lm-eval's as it declares them.

A metric of ours is known here alone. Tables, the report's comparisons, the rule of promotion and the documentation of
settings derive from its entry. What an entry cannot say is how a row's value is computed: that is `evaluation/scoring`
(or `evaluation/generation` for answers in the model's own words), which gives the row the entry's columns.

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
        """Return that of `higher_is_better` as lm-eval and `metrics.parquet` have it; None where nobody declared it."""
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
    """Return the direction of all of them; unknown where they differ, one is unknown, or there are none."""
    distinct = set(directions)
    return distinct.pop() if len(distinct) == 1 else Direction.UNKNOWN


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its recorded name."""

    name: str
    unit: str  # "" for none or a share of 1
    direction: Direction

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
        """Return the values turned so that lower is better.

        Raises:
            ValueError: the direction is unknown; who ranks asks for it first.
        """
        if self.direction is Direction.UNKNOWN:
            raise ValueError(f"{self.name}: nobody declared which way is better, so its values cannot be ranked")
        return -values if self.direction is Direction.HIGHER else values

    def improves(self, change: float) -> bool | None:
        """Return whether a change is for the better; None for no change, and where the direction is unknown."""
        if self.direction is Direction.UNKNOWN or not change:
            return None
        return (change > 0) == (self.direction is Direction.HIGHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMetric(Metric):
    """A metric of ours: the sum of a column of `rows.parquet` over the sum of another, or over the number of rows."""

    numerator: str  # a column of `rows.parquet`; null in rows that do not have the metric
    denominator: str | None = None  # a column of counts; None: each row counts one
    # All rows, those of tasks whose few responses were ranked, or those that the model wrote an answer to.
    measured_on: Literal["rows", "choices", "answers"] = "rows"
    right_or_wrong: bool = False  # a row is true or false: figures of n rows move in steps of 1 / n
    compared: bool = True  # whether the report compares recipes by it

    @property
    def is_fraction(self) -> bool:
        """Whether its figures lie in [0, 1]."""
        return not self.unit


RESPONSE_LOSS = RowMetric(
    name="response_loss",
    unit="nats per token",
    direction=Direction.LOWER,
    numerator="loss_sum",
    denominator="tokens",
)
"""Mean negative log-likelihood of the response and its end token: the metric of the summary."""

_REGISTRY = (
    RESPONSE_LOSS,
    # A UTF-8 byte of the response counts the same under every tokenizer. Row by row it says what the loss says: as one
    # more comparison it would only make every claim of the page harder to hold.
    RowMetric(
        name="response_loss_per_byte",
        unit="nats per byte",
        direction=Direction.LOWER,
        numerator="loss_sum",
        denominator="bytes",
        compared=False,
    ),
    # Whether the response is the most likely one, token by token.
    RowMetric(name="exact_match", unit="", direction=Direction.HIGHER, numerator="exact_match", right_or_wrong=True),
    # Whether the response, with its end token, ranked first among the responses of its task.
    RowMetric(
        name="accuracy",
        unit="",
        direction=Direction.HIGHER,
        numerator="choice_correct",
        measured_on="choices",
        right_or_wrong=True,
    ),
    # As lm-eval's `multiple_choice` ranks: by the log-likelihood of the text, without an end token.
    RowMetric(
        name="acc",
        unit="",
        direction=Direction.HIGHER,
        numerator="acc",
        measured_on="choices",
        right_or_wrong=True,
    ),
    # The same, by the log-likelihood divided by the text's length in characters.
    RowMetric(
        name="acc_norm",
        unit="",
        direction=Direction.HIGHER,
        numerator="acc_norm",
        measured_on="choices",
        right_or_wrong=True,
    ),
    # ROUGE-L F of what the model writes.
    RowMetric(name="rouge_l", unit="", direction=Direction.HIGHER, numerator="rouge_l", measured_on="answers"),
)

OWN_METRICS = {metric.name: metric for metric in _REGISTRY}
"""All that is measured on rows, held-out ones and those of collections, by name."""

HELD_OUT_METRICS = tuple(name for name, metric in OWN_METRICS.items() if metric.measured_on != "choices")
"""Names of those that held-out rows have: choices are ranked on collections alone."""


def row_columns(measured_on: Literal["rows", "choices", "answers"]) -> dict[str, type[float] | type[int] | type[bool]]:
    """Return the columns of `rows.parquet` that metrics of these rows are made of, and their types."""
    columns: dict[str, type[float] | type[int] | type[bool]] = {}
    for metric in OWN_METRICS.values():
        if metric.measured_on == measured_on:
            columns.setdefault(metric.numerator, bool if metric.right_or_wrong else float)
            if metric.denominator is not None:
                columns.setdefault(metric.denominator, int)
    return columns


def recorded_metric(name: str, direction: Direction) -> Metric:
    """Return a metric as an evaluation recorded it; the unit of lm-eval's is in their names, if anywhere."""
    own = OWN_METRICS.get(name)
    return own if own is not None and own.direction is direction else Metric(name, "", direction)


def undeclared(metric: str, benchmark: str) -> str:
    """Return one sentence for a metric without a direction: what is not known, and what would tell."""
    return (
        f"it is not known whether a lower or a higher {metric} of {benchmark} is better: declare it in smart.yaml, "
        f"such as `{DIRECTIONS_SETTING}: {{{benchmark}: {{{metric.partition(',')[0]}: lower}}}}`, and evaluate again"
    )
