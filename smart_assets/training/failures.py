"""What stops a fine-tune that is no fault of its code, in words that say what to change."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from smart_assets.core.errors import TrainingError
from smart_assets.training.settings import Finetune

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How torch and the system say that a CPU's memory is full.
_ALLOCATION = ("can't allocate memory", "Cannot allocate memory")


@contextmanager
def memory_advice(settings: Finetune, device: str) -> Generator[None]:
    """Turn a full memory into an error that names the settings to change.

    Raises:
        TrainingError: the memory of the device is full.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory_is_full(error):
            raise
        raise TrainingError(_memory(settings, device)) from error


def memory_is_full(error: BaseException) -> bool:
    """Return whether that is what an error says: a GPU's (`torch.OutOfMemoryError`) or a CPU's."""
    import torch

    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in _ALLOCATION)


def _memory(settings: Finetune, device: str) -> str:
    return (
        f"the memory of {device} is full with micro_batch {settings.micro_batch}: lower finetune.micro_batch or "
        'finetune.max_length, set finetune.gradient_checkpointing: true, or finetune.method to "lora"'
    )


@contextmanager
def disk_advice(folder: Path) -> Generator[None]:
    """Turn a full disk into an error that names the folder.

    Raises:
        TrainingError: the file system of the folder is full.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        numbers = _FULL if isinstance(error, OSError) else ()
        full = getattr(error, "errno", None) in numbers or any(f"os error {number}" in str(error) for number in _FULL)
        if not full:
            raise
        raise TrainingError(
            f"no space is left where {folder} is written: free some (`smart gc` removes what the store needs no "
            "more), or move `store:` to a larger disk; what was saved before is kept"
        ) from error
