"""The sentence encoder: sentence-transformers behind a small face, loaded at the first prompt it has to read.

Most runs find every prompt embedded already, and then never pay for loading a model.

A prompt is cut into tokens once. Batches are made of prompts of about one number of tokens, and by tokens, not by
prompts: so next to nothing is spent on padding, and every forward pass takes about the same memory. The modules that
compute are the encoder's own. A prompt's vector depends on its batch only by rounding: in float32 some 1e-7 in cosine,
in bfloat16 some 3e-5, since kernels differ by shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.identity import encoder_version
from smart_assets.embedding.model import load_model
from smart_assets.embedding.settings import Embedding
from smart_assets.embedding.vectors import normalized
from smart_assets.embedding.work_sharing import deal_out

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_MOST_SPECIAL_TOKENS = 8  # that a tokenizer adds to a prompt
_READ_AT_ONCE = 512  # prompts, alike in length: their tokens lie in one padded array until they are cut into batches
# A forward pass takes `batch_size` prompts of this many tokens, or fewer longer ones. A CPU is fastest while the
# activations stay in its caches.
_TOKENS_A_PROMPT_CPU = 32
_TOKENS_A_PROMPT_GPU = 256
# Passes of one core each side by side wait for nothing, where all cores in one pass wait for the slowest at every
# layer: as fast on an idle machine, and some four times as fast on a busy one. Python's lock bounds their number.
_MOST_CPU_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts for one forward pass."""

    rows: NDArray[np.int64]  # (b,) where they stand among the prompts read
    tokens: int  # with padding
    features: Mapping[str, Any]  # what the encoder's first module takes


class PromptEncoder(Protocol):
    """What embedding needs of an encoder."""

    @property
    def version(self) -> str:
        """Identity of the vectors; those of different versions are never mixed."""
        ...

    def load(self) -> None:
        """Load what was not loaded yet."""
        ...

    def batches(self, prompts: Sequence[str]) -> list[Batch]:
        """Cut prompts into tokens, and these into batches, the longest prompts first."""
        ...

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Yield every batch with its vectors (b, d), not scaled, in any order."""
        ...


@dataclass(frozen=True)
class Encoder:
    """A sentence encoder on one or more devices; the model is loaded when it is first needed, and kept."""

    settings: Embedding
    devices: tuple[str, ...]
    version: str

    def load(self) -> None:
        """Load the model onto every device.

        Raises:
            EmbeddingError: the encoder cannot be loaded.
        """
        _ = self._models

    @property
    def max_length(self) -> int | None:
        """Tokens of a prompt that are read, where the encoder names a limit; loads the model."""
        return self._models[0].max_seq_length

    def cuts(self, prompts: Sequence[str]) -> NDArray[np.bool_]:
        """Return which prompts (n,) have more tokens than are read, as their vectors tell nothing of the rest.

        The model is loaded for it.

        A token is a byte at least and, of words between white space, at most one: most prompts need not be tokenized.
        """
        from transformers import PreTrainedTokenizerBase

        limit, model = self.max_length, cast(Any, self._models[0])
        cut = np.zeros(len(prompts), np.bool_)
        if limit is None or not isinstance(model.tokenizer, PreTrainedTokenizerBase):  # one that reads all there is
            return cut
        prefix = model.prompts.get(model.default_prompt_name, "") if model.default_prompt_name else ""
        maybe: list[int] = []
        for row, prompt in enumerate(prompts):
            cut[row] = prompt.count(" ") >= limit and len(prompt.split()) > limit
            if not cut[row] and len(prompt.encode("utf-8", "replace")) + _MOST_SPECIAL_TOKENS + len(prefix) > limit:
                maybe.append(row)
        if maybe:
            texts = [prefix + prompts[row] for row in maybe]
            tokens: Any = model.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
            cut[maybe] = [len(row_tokens) > limit for row_tokens in tokens]
        return cut

    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, d) of `prompts`, in their order; n > 0.

        A prompt the encoder gives a zero or non-finite vector for comes back with NaN in its row.

        Raises:
            EmbeddingError: the encoder cannot be loaded, or a batch does not fit into memory.
        """
        encoded = list(self.encode_batches(self.batches(prompts)))
        order = np.argsort(np.concatenate([batch.rows for batch, _ in encoded]))
        return normalized(np.concatenate([vectors for _, vectors in encoded])[order]).astype(np.float32)

    def batches(self, prompts: Sequence[str]) -> list[Batch]:
        """Cut prompts into tokens, and these into batches, the longest prompts first.

        Raises:
            EmbeddingError: the encoder cannot be loaded.
        """
        by_length = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
        batches: list[Batch] = []
        for first in range(0, len(prompts), _READ_AT_ONCE):
            rows = by_length[first : first + _READ_AT_ONCE]
            features = self._read(prompts, rows)
            mask = features.get("attention_mask")
            if mask is not None and mask.dim() == 2 and len(mask) == len(rows):
                batches += _cut(rows, features, self._sizes)
            else:  # an encoder of another kind: as it comes, in its own padding
                pieces = [
                    rows[start : start + self._sizes.prompts] for start in range(0, len(rows), self._sizes.prompts)
                ]
                batches += [Batch(piece, len(piece), self._read(prompts, piece)) for piece in pieces]
        return batches

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Yield every batch with its vectors (b, d), not scaled, as the devices are done with them.

        Raises:
            EmbeddingError: a batch does not fit into memory.
        """
        import torch

        if self.devices != ("cpu",) or self.settings.trust_remote_code:  # code that may not be made for threads
            yield from deal_out(batches, [partial(self._forward, model) for model in self._models])
            return
        cores = torch.get_num_threads()
        threads = -(-cores // _MOST_CPU_WORKERS)
        try:
            yield from deal_out(batches, [partial(self._forward_on, threads)] * (cores // threads))
        finally:
            torch.set_num_threads(cores)  # of threads that start later: torch keeps the last number set

    def _read(self, prompts: Sequence[str], rows: NDArray[np.int64]) -> dict[str, Any]:
        model: Any = self._models[0]
        prefix = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None
        return model.preprocess([prompts[row] for row in rows.tolist()], prompt=prefix)

    def _forward_on(self, threads: int, batch: Batch) -> NDArray[np.float32]:
        import torch

        torch.set_num_threads(threads)  # of this thread
        return self._forward(self._models[0], batch)

    def _forward(self, model: "SentenceTransformer", batch: Batch) -> NDArray[np.float32]:
        import torch

        try:
            with torch.inference_mode():
                moved = {
                    name: value.to(model.device) if isinstance(value, torch.Tensor) else value
                    for name, value in batch.features.items()
                }
                return model(moved)["sentence_embedding"].float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise EmbeddingError(
                f"{len(batch.rows)} prompts of {batch.tokens} tokens together do not fit into the memory of "
                f"{model.device}; lower embedding.batch_size ({self.settings.batch_size}) or embedding.max_length "
                f"({self.max_length})"
            ) from error

    @cached_property
    def _models(self) -> "list[SentenceTransformer]":
        return [load_model(self.settings, device) for device in self.devices]

    @property
    def _sizes(self) -> "_Sizes":
        prompts = self.settings.batch_size
        each = _TOKENS_A_PROMPT_CPU if self.devices[0] == "cpu" else _TOKENS_A_PROMPT_GPU
        return _Sizes(prompts, prompts * each)


def load_encoder(settings: Embedding, *devices: str) -> Encoder:
    """Return the encoder that `settings` names, to run on `devices` (as torch names them, such as `cpu` or `cuda:0`).

    Raises:
        EmbeddingError: `settings.model` names a package or folder that is not there. What only loading can show is
            raised at the first use.
    """
    return Encoder(settings, devices, encoder_version(settings))


def devices_of(device: str, setting: str) -> tuple[str, ...]:
    """Return the devices to embed on: all visible GPUs where the run has one and `setting` names no certain one.

    Args:
        device: what the run computes on, `cpu` or `cuda:N`.
        setting: the project's `device`: `auto`, `cpu`, `cuda` or `cuda:N`.
    """
    if not device.startswith("cuda") or setting not in ("auto", "cuda"):
        return (device,)
    import torch

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or (device,)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What a forward pass takes at most; a single prompt may have more tokens."""

    prompts: int
    tokens: int


def _cut(rows: NDArray[np.int64], features: Mapping[str, Any], sizes: _Sizes) -> list[Batch]:
    """Cut what was read for `rows` (n,) into batches, the prompts with the most tokens first, padding cut off."""
    import torch

    mask = features["attention_mask"]
    lengths = mask.sum(dim=1).clamp(min=1)
    order = torch.argsort(lengths, descending=True, stable=True)
    sorted_lengths: list[int] = lengths[order].tolist()
    left = not bool(mask[:, 0].all())  # a decoder's padding stands before the tokens
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        longest = sorted_lengths[start]
        some = order[start : start + max(1, min(sizes.prompts, sizes.tokens // longest))]
        start += len(some)
        batches.append(
            Batch(
                rows[some.numpy()],
                len(some) * longest,
                {
                    name: (value[some, -longest:] if left else value[some, :longest])
                    if isinstance(value, torch.Tensor) and value.shape[:2] == mask.shape
                    else value
                    for name, value in features.items()
                },
            )
        )
    return batches
