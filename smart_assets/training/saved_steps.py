"""Steps that a fine-tune saves on its way, from which the same fine-tune goes on after it was killed.

A saved step holds the weights that are trained, the optimizer's state and the loss curve: safetensors, Parquet and
JSON, written beside and renamed in, the one before removed last. It belongs to one job: another job's steps are never
taken up. Randomness needs no saving, because every step seeds its own.
"""

import json
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.files import written
from smart_assets.core.locks import try_lock
from smart_assets.core.progress import Log

if TYPE_CHECKING:
    import torch

STATE = "trainer_state.json"  # transformers' name for it
CURVE = "loss.parquet"
_JOB, _LOCK, _BOARD = "job.txt", "lock", "tensorboard"
_STEP = "step-"


@dataclass(frozen=True, slots=True)
class SavedSteps:
    """The folder of one job's saved steps."""

    folder: Path
    resume: Path | None = None  # the saved step that training goes on from

    @property
    def newest(self) -> Path | None:
        """The folder of the last saved step, or None."""
        return max(self.folder.glob(f"{_STEP}*"), default=None)

    @property
    def board(self) -> Path:
        """Where TensorBoard's files grow."""
        return self.folder / _BOARD

    @contextmanager
    def adding(self, step: int) -> Generator[Path]:
        """Yield a new folder that becomes the saved step when the block ends well; earlier ones then go."""
        target = self.folder / f"{_STEP}{step:09d}"
        with written(target) as draft:
            draft.mkdir()
            yield draft
        for path in self.folder.glob(f"{_STEP}*"):
            if path != target:
                shutil.rmtree(path)


@contextmanager
def saved_steps(folder: Path, job_version: str, log: Log) -> Generator[SavedSteps]:
    """Yield the saved steps of a job; removed when the block ends well, kept for the next try where a step was saved.

    Args:
        folder: made if need be; what another job left in it goes.
        job_version: of all that decides what the job makes.
        log: told where steps cannot be taken up.

    Where another process is at work on the same job, the steps lie in a folder of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder / _LOCK)
    if lock is None:
        log("another process is at work on the same fine-tune: this one starts at its first step")
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as own:
            yield SavedSteps(Path(own))
        return
    done = False
    steps = SavedSteps(folder)
    try:
        _clear(folder, job_version)
        yield SavedSteps(folder, steps.newest)
        done = True
    finally:
        if done or steps.newest is None:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _clear(folder: Path, job_version: str) -> None:
    """Remove what another job left, and half-written steps."""
    written = folder / _JOB
    same = written.exists() and written.read_text(encoding="utf-8") == job_version
    for path in folder.iterdir():
        if path.is_dir() and (path.name.startswith(".") or not same):
            shutil.rmtree(path)
    written.write_text(job_version, encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Write tensors as safetensors; no two of them may share memory."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def optimizer_tensors(optimizer: Any, names: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Return an optimizer's state of each named weight, as `NAME|KEY`; before its first step there is none."""
    return {f"{name}|{key}": value for name, weight in names.items() for key, value in optimizer.state[weight].items()}


def restore_optimizer(optimizer: Any, names: Mapping[str, "torch.Tensor"], tensors: Mapping[str, Any]) -> None:
    """Put what `optimizer_tensors` took back; tensors of a weight's shape go to its device."""
    for key, value in tensors.items():
        name, _, field = key.rpartition("|")
        weight = names[name]
        optimizer.state[weight][field] = value.to(weight.device) if value.shape == weight.shape else value


def read_step(folder: Path) -> int:
    """Return the number of a saved step."""
    return int(json.loads((folder / STATE).read_text(encoding="utf-8"))["global_step"])
