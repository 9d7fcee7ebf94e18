"""Tokenizer and model of a folder, loaded the same way for training and for evaluation."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import TrainingError
from smart_assets.training.devices import ComputePrecision
from smart_assets.training.failures import memory_is_full

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PROBE = 8  # tokens
_SLACK_FLOAT32, _SLACK_BFLOAT16 = 1e-4, 5e-2  # of the largest logit


def load_tokenizer(
    folder: Path | str, trust_remote_code: bool, revision: str | None = None
) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model folder, or of a hub name at a revision.

    Raises:
        TrainingError: the folder holds none that can be loaded.
    """
    from transformers import AutoTokenizer

    with _loading("tokenizer", folder):
        return AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust_remote_code, **({"revision": revision} if isinstance(folder, str) else {})
        )


def load_causal_lm(
    folder: Path, weights: ComputePrecision, trust_remote_code: bool, **placement: Any
) -> "PreTrainedModel":
    """Return the causal language model of a folder, from safetensors alone, in the given precision, on the CPU.

    `placement` is transformers' `quantization_config` and `device_map`, for weights that are quantized when read.

    Raises:
        TrainingError: the folder holds none that can be loaded, its code would have to be trusted first, or it is none.
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
        _require_causal(model, folder)
        return model


def _require_causal(model: Any, folder: Path) -> None:
    """Refuse a model in which a later token changes what comes before it: what it is to write, it would have read."""
    import torch

    known = model.get_input_embeddings().num_embeddings
    tokens = torch.arange(2 * _PROBE, device=model.device).reshape(2, _PROBE) % known
    tokens[:, 0] = 0
    with torch.inference_mode():
        first, other = (model(row[None]).logits[0, 0].float() for row in tokens)
    # Experts sum up in another order where another token goes to them, so that last digits may differ.
    slack = _SLACK_FLOAT32 if model.dtype == torch.float32 else _SLACK_BFLOAT16
    if (first - other).abs().max() > slack * first.abs().max():
        raise TrainingError(
            f"{folder}: {type(model).__name__} reads the tokens that it is to write: it is no causal language model, "
            "which writes text from left to right; name one of those (such as LlamaForCausalLM)"
        )


def quiet_transformers() -> None:
    """Switch off progress bars and chatter: programs report in lines of their own."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")


@contextmanager
def _loading(what: str, folder: Path | str) -> Generator[None]:
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
