"""The sentence encoder: sentence-transformers behind a small face, loaded at the first prompt it has to read.

Most runs find every prompt embedded already, and then never pay for loading a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from smart_assets.embedding.identity import encoder_version, local_model, resolve_precision
from smart_assets.embedding.settings import Embedding
from smart_assets.embedding.vectors import normalized
from smart_assets.errors import EmbeddingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LONGEST = 8192  # tokens reckoned with for an encoder that names no limit of its own


class PromptEncoder(Protocol):
    """What embedding needs of an encoder."""

    @property
    def version(self) -> str:
        """Identity of the vectors; those of different versions are never mixed."""
        ...

    @property
    def batch_size(self) -> int:
        """Most prompts in one call of `encode` (at least 1)."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens of a prompt that are read."""
        ...

    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector a prompt, (n, d)."""
        ...


@dataclass(frozen=True)
class Encoder:
    """A sentence encoder on one device; the model is loaded when it is first needed, and kept."""

    settings: Embedding
    device: str
    version: str

    @property
    def batch_size(self) -> int:
        """Most prompts in one forward pass."""
        return self.settings.batch_size

    @property
    def max_length(self) -> int:
        """Tokens of a prompt that are read; loads the model."""
        return min(self._model.max_seq_length or _LONGEST, _LONGEST)

    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, d) of `prompts`, in their order.

        A prompt the encoder gives a zero or non-finite vector for comes back with NaN in its row.

        Raises:
            EmbeddingError: the encoder cannot be loaded, or the batch does not fit into memory.
        """
        import torch

        try:
            raw = self._model.encode(list(prompts), batch_size=self.batch_size, show_progress_bar=False)
        except torch.OutOfMemoryError as error:
            raise EmbeddingError(
                f"{len(prompts)} prompts do not fit into the memory of {self.device}; lower embedding.batch_size "
                f"({self.batch_size}) or embedding.max_length ({self.max_length})"
            ) from error
        return normalized(raw).astype(np.float32)

    @cached_property
    def _model(self) -> "SentenceTransformer":
        model = _load(self.settings, self.device)
        _set_max_length(model, self.settings)
        _check_reads_words(model, self.settings)
        return model


def load_encoder(settings: Embedding, device: str) -> Encoder:
    """Return the encoder that `settings` names, to run on `device` (as torch names it, such as `cpu` or `cuda:0`).

    Raises:
        EmbeddingError: `settings.model` names a package or folder that is not there. What only loading can show is
            raised at the first use.
    """
    return Encoder(settings, device, encoder_version(settings))


def _load(settings: Embedding, device: str) -> "SentenceTransformer":
    """Load the model; weights in safetensors only, since a pickle can run code."""
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
    one, other = model.encode(["red house", "old river"], show_progress_bar=False)
    if np.array_equal(one, other):
        raise EmbeddingError(
            f"the encoder {settings.model!r} gives unlike prompts the same vector; check that its tokenizer's files "
            "(tokenizer.json or vocab.txt) are there and whole"
        )
