"""The loss curve of a fine-tune while it grows, and its progress in lines every few seconds."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.core.errors import TrainingError
from smart_assets.training.program import Log

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step."""

    step: int  # from 1
    loss: float  # nats a response token, before the update: the mean that was learnt (`finetune.loss`)
    learning_rate: float
    tokens: int  # context and response tokens of the step, padding left out


class TrainingProgress:
    """Keeps the loss curve, stops a run that has diverged, and tells where it stands."""

    def __init__(self, total_steps: int, log: Log, curve: Sequence[StepRecord] = ()) -> None:
        self.total_steps = total_steps
        self.curve = list(curve)  # a run that goes on begins with the steps of the one before
        self._earlier = len(self.curve)
        self._log = log
        self._started = self._told = time.monotonic()

    @property
    def tokens_here(self) -> int:
        """Tokens of the steps that this process made itself."""
        return sum(step.tokens for step in self.curve[self._earlier :])

    def add(self, record: StepRecord, gradient_norm: float) -> None:
        """Add the next step.

        Raises:
            TrainingError: its loss or its gradient is not finite; nothing after it would be worth anything.
        """
        if not math.isfinite(record.loss) or not math.isfinite(gradient_norm):
            raise TrainingError(
                f"the fine-tune diverged at step {record.step} of {self.total_steps}: loss {record.loss}, gradient "
                f"norm {gradient_norm}; lower finetune.learning_rate ({record.learning_rate:.3g} at this step) "
                'or set finetune.precision to "float32"'
            )
        self.curve.append(record)
        now = time.monotonic()
        first = record.step == self._earlier + 1
        if first or record.step == self.total_steps or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            self._log(self._line(record, now - self._started))

    def write(self, path: Path) -> None:
        """Write the curve as Parquet: step, loss, learning_rate, tokens."""
        pq.write_table(pa.Table.from_pylist([asdict(record) for record in self.curve]), path)

    def _line(self, record: StepRecord, seconds: float) -> str:
        speed = self.tokens_here / seconds
        left = (self.total_steps - record.step) * seconds / (record.step - self._earlier)
        return (
            f"step {record.step}/{self.total_steps}  loss {record.loss:.4f}  learning rate {record.learning_rate:.2e}  "
            f"{speed:.0f} tokens/s  {left:.0f} s left"
        )


def read_curve(path: Path) -> list[StepRecord]:
    """Return what `Progress.write` wrote."""
    return [StepRecord(**row) for row in pq.read_table(path).to_pylist()]
