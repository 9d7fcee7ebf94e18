"""`smart` with an encoder that imports nothing: a random vector for each prompt, always the same one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.reading import prompt_windows
from smart_assets.cli import main
from smart_assets.embedding.encoder import Batch
from smart_assets.embedding.identity import encoder_version
from smart_assets.embedding.settings import Embedding

DIMENSIONS = 384
BATCH = 256


@dataclass(frozen=True)
class StubEncoder:
    """Vectors by the prompt's checksum."""

    version: str

    def cuts(self, prompts: Sequence[str]) -> NDArray[np.bool_]:
        """Say that no prompt is cut."""
        return np.zeros(len(prompts), np.bool_)

    def load(self) -> None:
        """Load nothing."""

    def batches(self, prompts: Sequence[str]) -> list[Batch]:
        """Return the prompts as they stand."""
        starts = range(0, len(prompts), BATCH)
        rows = [np.arange(start, min(start + BATCH, len(prompts))) for start in starts]
        return [Batch(part, len(part), {"prompts": [prompts[row] for row in part]}) for part in rows]

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Draw."""
        for batch in batches:
            seeds = (crc32(prompt.encode()) for prompt in batch.features["prompts"])
            drawn = [np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32) for seed in seeds]
            yield batch, np.array(drawn)


def load_encoder(settings: Embedding, *_: str) -> StubEncoder:
    """Return the stub in place of the real encoder."""
    return StubEncoder(encoder_version(settings))


def run() -> None:
    """Run the command line."""
    prompt_embeddings.load_encoder = prompt_windows.load_encoder = load_encoder
    main.run()
