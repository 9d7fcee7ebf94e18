"""Tokenizer and model of a folder, loaded the same way for training and for evaluation."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.errors import TrainingError
from smart_assets.training.devices import ComputePrecision
from smart_assets.training.failures import memory_is_full

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(folder: Path, trust_remote_code: bool) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder.

    Raises:
        TrainingError: the folder holds none that can be loaded.
    """
    from transformers import AutoTokenizer

    with _loading("tokenizer", folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


def load_causal_lm(
    folder: Path, weights: ComputePrecision, trust_remote_code: bool, **placement: Any
) -> "PreTrainedModel":
    """The causal language model of a folder, from safetensors alone, its weights in the given precision, on the CPU.

    `placement` is transformers' `quantization_config` and `device_map`, for weights that are quantized when read.

    Raises:
        TrainingError: the folder holds none that can be loaded, or its code would have to be trusted first.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with _loading("model", folder):
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, weights),
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            **placement,
        )
        return model


def quiet_transformers() -> None:
    """No progress bars and no chatter: programs report in lines of their own."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")


@contextmanager
def _loading(what: str, folder: Path) -> Generator[None]:
    from safetensors import SafetensorError

    quiet_transformers()
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, MemoryError, SafetensorError) as error:
        if memory_is_full(error):
            raise TrainingError(
                f"{folder}: the memory is full while its {what} is loaded: end other programs, or take a smaller model"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise TrainingError(f"{folder}: its {what} cannot be loaded: {reason}") from error
