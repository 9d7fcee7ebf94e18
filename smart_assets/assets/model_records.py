"""What checkpoints and evaluations keep in their manifests, by seed, and in their `result.json`."""

from collections.abc import Mapping
from typing import Any

from smart_assets.assets.step import seed_folder, seed_of_folder
from smart_assets.core.metrics import Direction
from smart_assets.evaluation.directions import recorded_direction
from smart_assets.store import Manifest
from smart_assets.store.records import ManifestRecord, RecordModel

_BASE = "base"


class CheckpointParameters(ManifestRecord):
    """What decides the weights beside the rows."""

    PART = "parameters"

    finetune: dict[str, Any]
    base_model: str  # the version of its content


class RecordedBaseModel(RecordModel):
    """What a fine-tune started from."""

    reference: str
    revision: str | None
    weights_sha256: str


class RecordedDrop(RecordModel):
    """A row that no token was learnt of."""

    id: str
    reason: str


class TrainingRecord(RecordModel):
    """What a fine-tune says of itself: its `result.json`."""

    base_model: RecordedBaseModel
    hyperparameters: dict[str, Any]
    seed: int
    processes: int
    precision: str
    device: str
    rows: int
    dropped: list[RecordedDrop]
    truncated: list[str]  # ids
    response_tokens: int
    steps: int
    final_loss: float | None  # nats a response token; None where it was not finite, which JSON cannot say
    mean_last_losses: float | None
    tasks: dict[str, int] | None = None  # rows of each
    special_tokens_as_text: list[str] | None = None  # ids
    turns_not_written: list[str] | None = None  # ids


class CheckpointSummary(ManifestRecord):
    """The fine-tunes of a checkpoint, by seed."""

    rows: int
    seeds: dict[int, TrainingRecord]

    def as_kept(self) -> dict[str, Any]:
        """Return what a manifest keeps, where JSON has no numbers as keys."""
        return {**super().as_kept(), "seeds": {str(seed): result.as_kept() for seed, result in self.seeds.items()}}


class TrainingCost(RecordModel):
    """What one fine-tune took."""

    tokens: int
    tokens_per_second: float
    peak_memory_bytes: int
    seconds: dict[str, float]
    tokens_trained: int | None = None  # by this run; fewer than `tokens` where it went on from a saved step
    hardware: str | None = None
    threads: int | None = None
    job: str | None = None  # the version of all that decides the weights
    reused: bool = False  # taken over from the checkpoint before


def seeds_of(checkpoint: Manifest) -> tuple[int, ...]:
    """Return the seeds that a checkpoint was trained with, in their order."""
    return tuple(CheckpointSummary.read(checkpoint).seeds)


def training_costs(checkpoint: Manifest) -> dict[int, TrainingCost]:
    """Return what each seed's fine-tune took; earlier versions kept it under `seed N`."""
    kept = {seed_of_folder(key.replace(" ", "-", 1)): key for key in checkpoint.made}
    return {
        seed: TrainingCost.parse(checkpoint.made[key], checkpoint, f"made.{key}")
        for seed, key in kept.items()
        if seed is not None
    }


class EvaluationParameters(ManifestRecord):
    """What decides the figures of an evaluation beside the model and the rows. Settings that are new may be missing."""

    PART = "parameters"

    evaluate: dict[str, Any]
    collections: dict[str, Any] | None = None
    base_model: str | None = None  # None for checkpoints, whose manifests name it

    def others(self) -> dict[str, Any]:
        """Return the settings that have no field here, as they are kept."""
        return dict(self.model_extra or {})


class EvaluationRecord(RecordModel):
    """What an evaluation says of one model: its `result.json`."""

    macro_means: dict[str, dict[str, dict[str, float]]]  # benchmark -> all, seen, unseen -> metric -> mean over tasks
    benchmarks: dict[str, dict[str, Any]] | None = None  # of lm-eval: what its tasks declare
    refused: dict[str, list[dict[str, str]]] | None = None  # benchmark -> id, task and reason

    def direction(self, benchmark: str, metric: str) -> Direction:
        """Return which way of a metric is better, as far as the evaluation recorded it."""
        return recorded_direction({"benchmarks": self.benchmarks or {}}, benchmark, metric)


class EvaluationCost(RecordModel):
    """What the evaluation of one model took."""

    peak_memory_bytes: int


def evaluation_records(evaluation: Manifest) -> dict[int | None, EvaluationRecord]:
    """Return what was measured, by seed; None is the base model."""
    return {
        _model(key): EvaluationRecord.parse(value, evaluation, f"summary.{key}")
        for key, value in evaluation.summary.items()
    }


def evaluation_costs(evaluation: Manifest) -> dict[int | None, EvaluationCost]:
    """Return what each model's evaluation took, by seed; None is the base model."""
    return {
        _model(key): EvaluationCost.parse(value, evaluation, f"made.{key}")
        for key, value in evaluation.made.items()
        if key == _BASE or seed_of_folder(key) is not None
    }


def by_seed(values: Mapping[int, TrainingCost]) -> dict[str, Any]:
    """Return the costs of a checkpoint as its manifest keeps them."""
    return {seed_folder(seed): value.as_kept() for seed, value in values.items()}


def _model(key: str) -> int | None:
    return None if key == _BASE else seed_of_folder(key)
