"""The loss curve of a fine-tune while it grows, and its progress in lines every few seconds."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.errors import TrainingError
from smart_assets.training.program import Log

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step."""

    step: int  # from 1
    loss: float  # nats a response token, over the step's batch, before the update
    learning_rate: float
    tokens: int  # context and response tokens of the step, padding left out


class Progress:
    """Keeps the loss curve, stops a run that has diverged, and tells where it stands."""

    def __init__(self, total_steps: int, log: Log) -> None:
        self.curve: list[StepRecord] = []
        self._total = total_steps
        self._log = log
        self._started = self._told = time.monotonic()

    def add(self, record: StepRecord, gradient_norm: float) -> None:
        """Add the next step.

        Raises:
            TrainingError: its loss or its gradient is not finite; nothing after it would be worth anything.
        """
        if not math.isfinite(record.loss) or not math.isfinite(gradient_norm):
            raise TrainingError(
                f"the fine-tune diverged at step {record.step} of {self._total}: loss {record.loss}, gradient norm "
                f"{gradient_norm}; lower finetune.learning_rate ({record.learning_rate:.3g} at this step) "
                'or set finetune.precision to "float32"'
            )
        self.curve.append(record)
        now = time.monotonic()
        if record.step in (1, self._total) or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            self._log(self._line(record, now - self._started))

    def write(self, path: Path) -> None:
        """Write the curve as Parquet: step, loss, learning_rate, tokens."""
        pq.write_table(pa.Table.from_pylist([asdict(record) for record in self.curve]), path)

    def _line(self, record: StepRecord, seconds: float) -> str:
        speed = sum(step.tokens for step in self.curve) / seconds
        left = (self._total - record.step) * seconds / record.step
        return (
            f"step {record.step}/{self._total}  loss {record.loss:.4f}  learning rate {record.learning_rate:.2e}  "
            f"{speed:.0f} tokens/s  {left:.0f} s left"
        )
