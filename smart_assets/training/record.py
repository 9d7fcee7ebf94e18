"""What a fine-tune tells of itself: what was done (no clock in it), and how long it took."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from smart_assets.training.base_model import BaseModel
from smart_assets.training.devices import hardware_name, peak_memory_bytes
from smart_assets.training.distributed import world_size
from smart_assets.training.progress import StepRecord, TrainingProgress
from smart_assets.training.rows import DroppedRow, TokenRow
from smart_assets.training.settings import NOT_CONTENT
from smart_assets.training.trainer import MAX_GRADIENT_NORM, TrainingSetup

_LAST_LOSSES = 10
_REASONS = 5  # that are told in words


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The rows of a job as they are trained on, once each."""

    rows: list[TokenRow]
    dropped: list[DroppedRow]
    max_length: int  # tokens
    notes: tuple[str, ...] = ()  # what a person should know of the chat template

    def tokens_sha256(self) -> str:
        """Return the sha256 of the tokens of all rows, and of which of them are learnt."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(np.array([len(row.tokens), row.response_start], np.int64).tobytes() + row.tokens.tobytes())
        return digest.hexdigest()


def left_out(mixture: TrainingRows) -> list[str]:
    """Return how many rows were left out for each reason, the most frequent first, and the first row of each."""
    rows: dict[str, list[str]] = {}
    for row in mixture.dropped:
        rows.setdefault(row.reason, []).append(row.id)
    most_first = sorted(rows.items(), key=lambda ids_of_reason: -len(ids_of_reason[1]))
    reasons = [f"{len(ids)} left out (first, {ids[0]!r}): {reason}" for reason, ids in most_first[:_REASONS]]
    return reasons + ([f"{len(most_first) - _REASONS} more reasons"] if len(most_first) > _REASONS else [])


def not_written(mixture: TrainingRows) -> list[str]:
    """Return how many rows lose the text of a turn to the chat template, and the first of them."""
    ids = [row.instance.id for row in mixture.rows if row.turn_not_written]
    if not ids:
        return []
    return [
        f"{len(ids)} rows have a turn whose text the chat template leaves out or rewrites (first, {ids[0]!r}); where "
        "it is a system turn, finetune.system_turns: fold keeps it"
    ]


def result_record(
    run: TrainingSetup, base: BaseModel, mixture: TrainingRows, curve: Sequence[StepRecord]
) -> dict[str, Any]:
    """Return what was trained on what, and to which loss (nats a response token); equal runs give equal records."""
    rows = mixture.rows
    left_out = {"base_model", "revision", "seeds", "precision", *NOT_CONTENT}
    settings = run.settings.model_dump(mode="json", exclude=left_out)
    return {
        "base_model": {
            "reference": base.reference,
            "revision": base.revision,
            "weights_sha256": base.weights_sha256,
        },
        "hyperparameters": settings
        | {"max_length": mixture.max_length, "optimizer": "adamw", "max_gradient_norm": MAX_GRADIENT_NORM},
        "seed": run.seed,
        "processes": world_size(),
        "precision": run.precision,
        "device": run.device.partition(":")[0],
        "rows": len(rows),
        "tasks": dict(Counter(row.instance.task for row in rows)),
        "dropped": [asdict(row) for row in mixture.dropped],
        "truncated": [row.instance.id for row in rows if row.truncated],
        "special_tokens_as_text": [row.instance.id for row in rows if row.special_text],
        "turns_not_written": [row.instance.id for row in rows if row.turn_not_written],
        "notes": list(mixture.notes),
        "response_tokens": sum(len(row.tokens) - row.response_start for row in rows),
        "steps": len(curve),
        "final_loss": curve[-1].loss,
        "mean_last_losses": fmean(step.loss for step in curve[-_LAST_LOSSES:]),
    }


def timing_record(run: TrainingSetup, seconds: dict[str, float], progress: TrainingProgress) -> dict[str, Any]:
    """Return how long each part took, how fast training was, how much memory it held, and on what.

    Of a run that went on from a saved step, only what it did itself.
    """
    import torch

    return {
        "seconds": {part: round(spent, 3) for part, spent in seconds.items()},
        "tokens": sum(step.tokens for step in progress.curve),
        "tokens_trained": progress.tokens_here,
        "tokens_per_second": round(progress.tokens_here / seconds["train"], 1),
        "peak_memory_bytes": peak_memory_bytes(run.device),
        "hardware": hardware_name(run.device),
        "threads": torch.get_num_threads(),
    }
