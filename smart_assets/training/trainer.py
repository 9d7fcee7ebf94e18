"""The optimizer loop: transformers' `Trainer`, given micro-batches in their order and the completion-only loss."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.training.adapters import without_adapters
from smart_assets.training.devices import ComputePrecision
from smart_assets.training.distributed import world_size
from smart_assets.training.failures import disk_advice, memory_advice
from smart_assets.training.loss import LOSSES, batch_rows, takes_logits_to_keep
from smart_assets.training.progress import StepRecord, TrainingProgress
from smart_assets.training.resumable_trainer import resumable_trainer, seed_step
from smart_assets.training.rows import TokenRow
from smart_assets.training.saved_steps import SavedSteps
from smart_assets.training.settings import Finetune

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainingArguments

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """What the loop needs beside the model and the rows."""

    settings: Finetune
    seed: int
    device: str  # "cpu", or this process's GPU
    precision: ComputePrecision
    pad_id: int


def train(
    model: Any, batches: Sequence[Sequence[TokenRow]], run: TrainingSetup, steps: SavedSteps, progress: TrainingProgress
) -> TrainingProgress:
    """Train a model in place, and return its loss curve.

    The loss of an optimizer step is a mean over all its rows, or over their response tokens (`finetune.loss`), so it
    does not depend on how they are cut into micro-batches or shared among processes. On a CPU, equal inputs, seed and
    thread count give equal weights, whether the run was interrupted or not.

    Args:
        model: a causal language model, or one with adapters; those of its weights that take gradients are trained.
        batches: the micro-batches of all steps, `progress.total_steps` times equally many.
        run: settings, seed and device.
        steps: where steps are saved, and the one to go on from.
        progress: is told of every step.

    Raises:
        TrainingError: the loss is not finite, or the memory or the disk is full.
    """
    from transformers import PrinterCallback

    base, loss = without_adapters(model), LOSSES[run.settings.loss]
    caches = getattr(base.config, "use_cache", True)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(steps.board)
    with memory_advice(run.settings, run.device), disk_advice(steps.folder):
        trainer = resumable_trainer(steps, progress.write, loss)(
            model=model,
            args=_arguments(run, len(batches) // progress.total_steps, progress.total_steps, steps.folder),
            data_collator=batch_rows(run.pad_id, takes_logits_to_keep(base)),
            train_dataset=batches,
            compute_loss_func=loss,
            callbacks=[_steering(run, progress, _tokens_of_steps(batches, progress.total_steps))],
        )
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train(resume_from_checkpoint=str(steps.resume) if steps.resume else None)
        finally:
            base.config.use_cache = caches  # Trainer turns it off for good; the saved model should generate with it
    return progress


def _arguments(run: TrainingSetup, micro_batches: int, steps: int, scratch: Path) -> "TrainingArguments":
    from transformers import TrainingArguments

    settings = run.settings
    cpu = run.device == "cpu"
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=1,  # the rows of all epochs stand one after the other already
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,  # a micro-batch
        gradient_accumulation_steps=micro_batches // world_size(),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup_ratio * steps),  # rounded down: the first warm-up step learns nothing
        max_grad_norm=MAX_GRADIENT_NORM,
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=run.seed,
        bf16=run.precision == "bfloat16",
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and world_size() > 1 else None,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not finite is to be seen
        save_strategy="no",  # `_steering` says when
        report_to=["tensorboard", *settings.report_to],
        disable_tqdm=True,
    )


def _tokens_of_steps(batches: Sequence[Sequence[TokenRow]], steps: int) -> list[int]:
    """Count the context and response tokens of each step, padding left out."""
    count = len(batches) // steps
    tokens = [sum(len(row.tokens) for row in batch) for batch in batches]
    return [sum(tokens[start : start + count]) for start in range(0, len(tokens), count)]


def _steering(run: TrainingSetup, progress: TrainingProgress, tokens: Sequence[int]) -> "TrainerCallback":
    """Return what seeds each step, records it, and says when one is to be saved."""
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Steering(TrainerCallback):
        saved = time.monotonic()

        def on_step_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            seed_step(run.seed, state.global_step)

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            due = time.monotonic() - self.saved >= 60 * run.settings.save_minutes
            if due and state.global_step < progress.total_steps:
                self.saved = time.monotonic()
                control.should_save = True

        def on_log(  # the library's signature
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            logs: dict[str, float] | None = None,
            **kwargs: Any,
        ) -> None:
            if logs is None or "loss" not in logs:  # the summary at the end
                return
            step = state.global_step
            progress.add(StepRecord(step, logs["loss"], logs["learning_rate"], tokens[step - 1]), logs["grad_norm"])

    return Steering()
