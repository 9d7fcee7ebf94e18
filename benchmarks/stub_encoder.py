"""`smart` with an encoder that imports nothing: a random vector for each prompt, always the same one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings
from smart_assets.cli import main
from smart_assets.embedding.encoder import Batch, ReadPrompts
from smart_assets.embedding.identity import encoder_version
from smart_assets.embedding.settings import Embedding
from smart_assets.embedding.windows import LongPrompts

DIMENSIONS = 384
BATCH = 256


@dataclass(frozen=True)
class StubEncoder:
    """Vectors by the prompt's checksum."""

    version: str
    windows: int

    def long_prompts(self, _: Sequence[str]) -> LongPrompts:
        """Return that none is longer than the window."""
        return LongPrompts.of([], [], 1, self.windows)

    def load(self) -> None:
        """Load nothing."""

    def read(self, prompts: Sequence[str]) -> ReadPrompts:
        """Return the prompts as they stand."""
        starts = range(0, len(prompts), BATCH)
        rows = [np.arange(start, min(start + BATCH, len(prompts))) for start in starts]
        batches = [Batch(part, len(part), {"prompts": [prompts[row] for row in part.tolist()]}) for part in rows]
        return ReadPrompts(batches, self.long_prompts(prompts))

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Draw."""
        for batch in batches:
            seeds = (crc32(prompt.encode()) for prompt in batch.features["prompts"])
            drawn = [np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32) for seed in seeds]
            yield batch, np.array(drawn)


def load_encoder(settings: Embedding, *_: str) -> StubEncoder:
    """Return the stub in place of the real encoder."""
    return StubEncoder(encoder_version(settings), settings.windows)


def run() -> None:
    """Run the command line."""
    prompt_embeddings.load_encoder = load_encoder
    main.run()
