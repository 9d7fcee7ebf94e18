"""What a metric is called, its unit, and which way is better.

The direction decides which value the page marks as best, so it is declared, never guessed from a picture: the names
here are lower-is-better, every other name (accuracy, exact match, F1 and the rest of lm-eval) is higher-is-better.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HELD_OUT = "held_out"
"""The benchmark made of the validation split."""

_LOWER_IS_BETTER = {
    "response_loss": "nats per token",
    "response_loss_per_byte": "nats per byte",
    "perplexity": "",
    "word_perplexity": "",
    "byte_perplexity": "",
    "bits_per_byte": "bits per byte",
    "brier_score": "",
    "ter": "",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name as it was recorded, its unit ("" for none or a share of 1), and its direction."""

    name: str
    unit: str
    lower_is_better: bool

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ").replace(",none", "")

    @property
    def unit_and_direction(self) -> str:
        """Such as `nats per token, lower is better`."""
        direction = f"{'lower' if self.lower_is_better else 'higher'} is better"
        return f"{self.unit}, {direction}" if self.unit else direction

    def as_loss(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values turned so that lower is better, whatever the metric."""
        return values if self.lower_is_better else -values


def metric_named(name: str) -> Metric:
    """The metric of a recorded name; lm-eval's filter suffix (`acc,none`) does not change unit or direction."""
    plain_name = name.split(",", maxsplit=1)[0]
    return Metric(name, _LOWER_IS_BETTER.get(plain_name, ""), plain_name in _LOWER_IS_BETTER)


RESPONSE_LOSS = metric_named("response_loss")
"""The metric of the summary: mean negative log likelihood of the response and its end token."""

EXACT_MATCH = metric_named("exact_match")
"""The share of rows whose response is the most likely one, token by token."""

ACCURACY = metric_named("accuracy")
"""The share of rows whose response ranked first among the responses of its task."""


def benchmark_title(benchmark: str, unseen: bool | None = None) -> str:
    """A benchmark in words; `unseen` tells tasks that no mixture holds from those that may be in one."""
    if benchmark != HELD_OUT:
        return benchmark
    return "Held-out rows" if unseen is None else f"Held-out rows of {'unseen' if unseen else 'seen'} tasks"
