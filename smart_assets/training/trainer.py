"""The optimizer loop: transformers' `Trainer`, given rows in their final order and the completion-only loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.errors import TrainingError
from smart_assets.training.devices import ComputePrecision
from smart_assets.training.loss import batch_rows, response_loss, takes_logits_to_keep
from smart_assets.training.program import Log
from smart_assets.training.progress import Progress, StepRecord
from smart_assets.training.rows import TokenRow
from smart_assets.training.settings import Finetune

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainingArguments

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """What the loop needs beside the model and the rows."""

    settings: Finetune
    seed: int
    device: str  # "cpu" or "cuda:0", the only GPU that this process sees
    precision: ComputePrecision
    pad_id: int


def train(model: Any, rows: Sequence[TokenRow], run: Run, scratch: Path, log: Log) -> Progress:
    """Train a model in place on rows in their order, and return its loss curve.

    The loss of an optimizer step is the mean over the response tokens of all its rows, so it does not depend on
    `micro_batch`. On a CPU, equal inputs, seed and thread count give equal weights.

    Args:
        model: a causal language model, or one with adapters; those of its weights that take gradients are trained.
        rows: every epoch's rows, one after the other.
        run: settings, seed and device.
        scratch: an existing folder; nothing is left in it.
        log: told every few seconds where the run stands.

    Raises:
        TrainingError: the loss is not finite, or the GPU's memory is full.
    """
    import torch
    from transformers import PrinterCallback, Trainer

    steps = -(-len(rows) // run.settings.effective_batch)
    progress = Progress(steps, log)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    caches = getattr(base.config, "use_cache", True)
    trainer = Trainer(
        model=model,
        args=_arguments(run, steps, scratch),
        data_collator=batch_rows(run.pad_id, takes_logits_to_keep(base)),
        train_dataset=rows,  # pyright: ignore[reportArgumentType]  # anything with a length and an index will do
        compute_loss_func=response_loss,
        callbacks=[_reporting_to(progress)],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train()
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the memory of {run.device} is full with micro_batch {run.settings.micro_batch}; lower "
            'finetune.micro_batch or finetune.max_length, or set finetune.method to "lora"'
        ) from error
    finally:
        base.config.use_cache = caches  # Trainer turns it off for good; the saved model should generate with it
    return progress


def _arguments(run: Run, steps: int, scratch: Path) -> "TrainingArguments":
    from transformers import TrainingArguments

    settings = run.settings
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=1,  # the rows of all epochs stand one after the other already
        train_sampling_strategy="sequential",
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.effective_batch // settings.micro_batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup_ratio * steps),  # rounded down: the first warm-up step learns nothing
        max_grad_norm=MAX_GRADIENT_NORM,
        seed=run.seed,
        bf16=run.precision == "bfloat16",
        use_cpu=run.device == "cpu",
        dataloader_pin_memory=run.device != "cpu",
        remove_unused_columns=False,
        include_num_input_tokens_seen="non_padding",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not finite is to be seen
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _reporting_to(progress: Progress) -> "TrainerCallback":
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Reporting(TrainerCallback):
        seen = 0

        def on_log(  # the library's signature
            self,
            args: TrainingArguments,  # noqa: ARG002
            state: TrainerState,
            control: TrainerControl,  # noqa: ARG002
            logs: dict[str, float] | None = None,
            **kwargs: Any,  # noqa: ARG002
        ) -> None:
            if logs is None or "loss" not in logs:  # the summary at the end
                return
            tokens = int(state.num_input_tokens_seen) - self.seen
            self.seen += tokens
            record = StepRecord(state.global_step, logs["loss"], logs["learning_rate"], tokens)
            progress.add(record, logs["grad_norm"])

    return Reporting()
