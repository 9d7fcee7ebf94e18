"""transformers' `Trainer`, saving its steps as safetensors and going on from them to the same weights, bit for bit.

Its own checkpoints are pickles. What is replaced is how a step is saved and loaded, and where randomness comes from:
every step seeds torch by itself, so that a run that goes on draws what the undisturbed one would have drawn. And what a
step's loss is a mean over: `Trainer` knows tokens alone.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from smart_assets.training.distributed import is_main, rank
from smart_assets.training.loss import ResponseLoss
from smart_assets.training.saved_steps import (
    CURVE,
    STATE,
    SavedSteps,
    optimizer_tensors,
    read_step,
    restore_optimizer,
    write_tensors,
)

if TYPE_CHECKING:
    from torch import Tensor, device

_WEIGHTS, _OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


def resumable_trainer(steps: SavedSteps, write_curve: Callable[[Path], None], loss: ResponseLoss) -> Any:
    """Return a subclass of `Trainer` that saves into `steps`; made here because the library is imported late."""
    import torch
    from safetensors.torch import load_file
    from transformers import Trainer

    class ResumableTrainer(Trainer):
        def get_batch_samples(
            self, epoch_iterator: Iterator[Any], num_batches: int, device: "device"
        ) -> tuple[list[Any], Any]:
            """Return a step's micro-batches, and how many items of the loss all processes together hold."""
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
            if not batches:
                return batches, None
            items = torch.stack([loss.items(batch["labels"]) for batch in batches]).sum().to(device)
            everywhere = cast("Tensor", self.accelerator.gather(items))
            return batches, everywhere.sum()

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            if not is_main():
                return
            with steps.adding(self.state.global_step) as folder:
                write_tensors(folder / _WEIGHTS, self._trained())
                write_tensors(folder / _OPTIMIZER, optimizer_tensors(self.optimizer, self._trained()))
                write_curve(folder / CURVE)
                self.state.save_to_json(str(folder / STATE))

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            saved = load_file(Path(resume_from_checkpoint) / _WEIGHTS)
            with torch.no_grad():
                for name, weight in self._trained().items():
                    weight.copy_(saved[name])

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is None:
                return
            restore_optimizer(self.optimizer, self._trained(), load_file(Path(checkpoint) / _OPTIMIZER))
            scheduler: Any = self.lr_scheduler
            scheduler.last_epoch = read_step(Path(checkpoint)) - 1  # the rate is a function of the step alone
            with warnings.catch_warnings():  # of a step that no optimizer made before it
                warnings.simplefilter("ignore", UserWarning)
                scheduler.step()

        def _load_rng_state(self, checkpoint: str | None) -> None:
            """Nothing: every step seeds its own."""

        def _trained(self) -> "dict[str, Tensor]":
            model: Any = self.model
            return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

    return ResumableTrainer


def seed_step(seed: int, step: int) -> None:
    """Seed torch for one step of one process."""
    import torch

    torch.manual_seed(random.Random(f"{seed} {step} {rank()}").getrandbits(63))  # noqa: S311  (not for secrets)
