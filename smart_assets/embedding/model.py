"""Loading the sentence encoder, and what must hold of one before its vectors count."""

from typing import TYPE_CHECKING, Any

import numpy as np

from smart_assets.core.environment import quiet_bitsandbytes
from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.identity import cpu_has_matrix_unit, local_model, resolve_precision
from smart_assets.embedding.settings import Embedding

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Plain attention holds a score for every two tokens of a prompt. Up to this length they stay in the caches of a CPU,
# whose fused bfloat16 attention is slow without a matrix unit: twice as slow at 128 tokens on Zen 5.
_PLAIN_ATTENTION_TOKENS = 512


def load_model(settings: Embedding, device: str) -> "SentenceTransformer":
    """Load the encoder onto `device`, in its precision and with its prompt length.

    Raises:
        EmbeddingError: it cannot be loaded, `max_length` is beyond what it reads, or it tells no words apart.
    """
    model = _load(settings, device)
    _set_max_length(model, settings)
    longest = model.max_seq_length
    plain = device == "cpu" and resolve_precision(settings) == "bfloat16" and not cpu_has_matrix_unit()
    network: Any = model.transformers_model
    if plain and longest is not None and longest <= _PLAIN_ATTENTION_TOKENS and network is not None:
        network.set_attn_implementation("eager")
    _check_reads_words(model, settings)
    return model.eval()


def _load(settings: Embedding, device: str) -> "SentenceTransformer":
    """Load the model; weights in safetensors only, since a pickle can run code."""
    quiet_bitsandbytes()
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # of the loading of weights, which is no progress of the work
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EmbeddingError(f"device {device!r}: torch sees no GPU; set the device to cpu, or install a CUDA build")
    folder = local_model(settings)
    try:
        return SentenceTransformer(
            settings.model if folder is None else str(folder),
            device=device,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs={"dtype": getattr(torch, resolve_precision(settings)), "use_safetensors": True},
        )
    except (OSError, ValueError, TypeError, RuntimeError, LookupError, ImportError, SafetensorError) as error:
        advice = (
            "check the name and embedding.revision, and that this machine reaches the hub; without a network give a "
            "local folder or `package:NAME`"
            if folder is None
            else f"check the files in {str(folder)!r}"
        )
        raise EmbeddingError(
            f"the encoder {settings.model!r} cannot be loaded on {device!r}: {str(error)[:500]!r}; {advice}"
        ) from error


def _set_max_length(model: "SentenceTransformer", settings: Embedding) -> None:
    if settings.max_length is None:
        return
    config = getattr(model.transformers_model, "config", None)
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is not None and settings.max_length > limit:
        raise EmbeddingError(
            f"embedding.max_length must lie in [8, {limit}], the positions of {settings.model!r}; "
            f"got {settings.max_length}"
        )
    model.max_seq_length = settings.max_length


def _check_reads_words(model: "SentenceTransformer", settings: Embedding) -> None:
    """Refuse an encoder that tells no words apart: without its tokenizer's files it loads, and reads only unknowns."""
    first, second = model.encode(["red house", "old river"], show_progress_bar=False)
    if np.array_equal(first, second):
        raise EmbeddingError(
            f"the encoder {settings.model!r} gives unlike prompts the same vector; check that its tokenizer's files "
            "(tokenizer.json or vocab.txt) are there and whole"
        )
