"""The sentence encoder: sentence-transformers behind a small face, loaded at the first prompt it has to read.

Most runs find every prompt embedded already, and then never pay for loading a model.

A prompt is cut into tokens once. Batches are made of prompts of about one number of tokens, and by tokens, not by
prompts: so next to nothing is spent on padding, and every forward pass takes about the same memory. The modules that
compute are the encoder's own. A prompt's vector depends on its batch only by rounding: in float32 some 1e-7 in cosine,
in bfloat16 some 3e-5, since kernels differ by shape. So the further windows of long prompts have batches of their own:
the vectors of all others are what they would be without them, to the bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.identity import encoder_version
from smart_assets.embedding.model import load_model
from smart_assets.embedding.settings import Embedding
from smart_assets.embedding.vectors import normalized
from smart_assets.embedding.window_tokens import WindowTokens
from smart_assets.embedding.windows import LongPrompts, WindowMeans, windows_read
from smart_assets.embedding.work_sharing import deal_out

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
    """Windows of prompts for one forward pass."""

    places: NDArray[np.int64]  # (b,) below n the first windows of n prompts, by prompt; then as `WindowMeans` counts
    tokens: int  # with padding
    features: Mapping[str, Any]  # what the encoder's first module takes


@dataclass(frozen=True, slots=True)
class ReadPrompts:
    """Prompts in tokens."""

    batches: Sequence[Batch]
    long: LongPrompts


class PromptEncoder(Protocol):
    """What embedding needs of an encoder."""

    @property
    def version(self) -> str:
        """Identity of the vectors; those of different versions are never mixed."""
        ...

    @property
    def windows(self) -> int:
        """Windows of a prompt that are read at most."""
        ...

    def load(self) -> None:
        """Load what was not loaded yet."""
        ...

    def read(self, prompts: Sequence[str]) -> ReadPrompts:
        """Cut prompts into tokens and windows, and these into batches, the longest first."""
        ...

    def long_prompts(self, prompts: Sequence[str]) -> LongPrompts:
        """Return those of some prompts that have more than one window."""
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
    def windows(self) -> int:
        """Windows of a prompt that are read at most."""
        return self.settings.windows

    @property
    def max_length(self) -> int | None:
        """Tokens of a prompt that are read, where the encoder names a limit; loads the model."""
        return self._models[0].max_seq_length

    def long_prompts(self, prompts: Sequence[str]) -> LongPrompts:
        """Return those of some prompts that have more than one window; loads the model."""
        return self._long(prompts, self._window_tokens.maybe_long(prompts)).prompts

    def encode(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, d) of `prompts`, in their order; n > 0.

        A prompt the encoder gives a zero or non-finite vector for comes back with NaN in its row.

        Raises:
            EmbeddingError: the encoder cannot be loaded, or a batch does not fit into memory.
        """
        read = self.read(prompts)
        parts = list(self.encode_batches(read.batches))
        order = np.argsort(np.concatenate([batch.places for batch, _ in parts]))
        windows = np.concatenate([vectors for _, vectors in parts])[order]
        vectors = windows[: len(prompts)].astype(np.float64)
        means = WindowMeans(len(prompts), read.long)
        _, whole = means.take(np.arange(len(windows)), normalized(windows).astype(np.float32))
        for position in whole.tolist():
            vectors[read.long.rows[position]] = means.mean(position)
        return normalized(vectors).astype(np.float32)

    def read(self, prompts: Sequence[str]) -> ReadPrompts:
        """Cut prompts into tokens and windows, and these into batches, the longest first.

        Raises:
            EmbeddingError: the encoder cannot be loaded.
        """
        by_length = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
        batches: list[Batch] = []
        full: list[int] = []  # prompts that fill the first window, and may have more
        for first in range(0, len(prompts), _READ_AT_ONCE):
            rows = by_length[first : first + _READ_AT_ONCE]
            features = self._read(prompts, rows)
            mask = features.get("attention_mask")
            if mask is not None and mask.dim() == 2 and len(mask) == len(rows):
                batches += _cut(rows, features, self._sizes)
                if self.max_length is not None:
                    full += rows[(mask.sum(dim=1) >= self.max_length).numpy()].tolist()
            else:  # an encoder of another kind: as it comes, in its own padding
                pieces = [
                    rows[start : start + self._sizes.prompts] for start in range(0, len(rows), self._sizes.prompts)
                ]
                batches += [Batch(piece, len(piece), self._read(prompts, piece)) for piece in pieces]
        long = self._long(prompts, sorted(full))
        # A prompt of two windows is halved, where it stands: batches of the others are what they would be without it.
        for batch in batches if long.halves else ():
            for row, place in enumerate(batch.places.tolist()):
                if place in long.halves:
                    self._window_tokens.put(batch.features, row, long.halves[place])
        by_tokens = np.argsort([-len(tokens) for tokens in long.further], kind="stable")
        for first in range(0, len(by_tokens), _READ_AT_ONCE):
            chosen = by_tokens[first : first + _READ_AT_ONCE]
            features = self._window_tokens.features([long.further[place] for place in chosen.tolist()])
            batches += _cut(chosen + len(prompts), features, self._sizes)
        return ReadPrompts(batches, long.prompts)

    def _long(self, prompts: Sequence[str], rows: Sequence[int]) -> "_LongTokens":
        """Cut those of some rows into windows that are of several."""
        tokens = self._window_tokens
        room, most = tokens.room, self.settings.windows if tokens.divides else 1
        bodies = dict(zip(rows, tokens.bodies([prompts[row] for row in rows]), strict=True))
        bodies = {row: body for row, body in bodies.items() if len(body) > room}
        bounds = {row: windows_read(len(body), room, most).tolist() for row, body in bodies.items()}
        return _LongTokens(
            LongPrompts.of(list(bodies), list(map(len, bodies.values())), room, most),
            {row: bodies[row][:stop] for row, ((_, stop), *_) in bounds.items() if stop < room},
            [bodies[row][start:stop] for row, (_, *others) in bounds.items() for start, stop in others],
        )

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
                f"{len(batch.places)} prompts of {batch.tokens} tokens together do not fit into the memory of "
                f"{model.device}; lower embedding.batch_size ({self.settings.batch_size}) or embedding.max_length "
                f"({self.max_length})"
            ) from error

    @cached_property
    def _models(self) -> "list[SentenceTransformer]":
        return [load_model(self.settings, device) for device in self.devices]

    @cached_property
    def _window_tokens(self) -> WindowTokens:
        return WindowTokens(self._models[0])

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
class _LongTokens:
    """Long prompts, and the tokens of their windows without special ones."""

    prompts: LongPrompts
    halves: Mapping[int, Sequence[int]]  # by prompt, the first window where it is not full
    further: Sequence[Sequence[int]]  # of all prompts, the windows after the first


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
