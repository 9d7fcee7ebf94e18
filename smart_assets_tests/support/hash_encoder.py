"""A sentence encoder that hashes, and the cache of its vectors."""

import hashlib
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.progress import Log
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts
from smart_assets.embedding.encoder import Batch, ReadPrompts
from smart_assets.embedding.windows import LongPrompts, windows_read

WIDTH = 8


@dataclass
class HashEncoder:
    """Stands for a sentence encoder: a vector from the text's hash, at no cost, with a count of what was read."""

    version: str = "v1"
    windows: int = 8
    window: int = 100_000  # words of a prompt that are read at once
    batch_size: int = 16
    dies_after: int | None = None
    seen: Counter[str] = field(default_factory=Counter)
    loaded: bool = False

    def load(self) -> None:
        self.loaded = True

    def long_prompts(self, prompts: Sequence[str]) -> LongPrompts:
        counts = {row: len(prompt.split()) for row, prompt in enumerate(prompts)}
        long = {row: count for row, count in counts.items() if count > self.window}
        return LongPrompts.of(list(long), list(long.values()), self.window, self.windows)

    def read(self, prompts: Sequence[str]) -> ReadPrompts:
        assert self.loaded
        long = self.long_prompts(prompts)
        texts: list[str] = list(prompts)
        further: list[str] = []
        for row in map(int, long.rows):
            first, *others = self.texts_of(prompts[row])
            texts[row] = first
            further += others
        texts += further
        order = np.argsort([-len(text) for text in texts], kind="stable")
        places = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        batches = [Batch(own, len(own), {"texts": [texts[place] for place in own]}) for own in places]
        return ReadPrompts(batches, long)

    def texts_of(self, prompt: str) -> list[str]:
        """The windows of a prompt that are read."""
        words = prompt.split()
        if len(words) <= self.window:
            return [prompt]
        return [" ".join(words[start:stop]) for start, stop in windows_read(len(words), self.window, self.windows)]

    def encode_batches(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        for batch in reversed(batches):  # in any order
            texts = batch.features["texts"]
            self.seen.update(texts)
            if self.dies_after is not None and self.seen.total() > self.dies_after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch, self.vectors(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return 3 * np.stack([vector_of(text) for text in texts])


def vector_of(text: str) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def by_hash(texts: Sequence[str]) -> dict[str, str]:
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}


def numbered(count: int) -> dict[str, str]:
    return by_hash([f"prompt {number}" for number in range(count)])


def silent(line: str) -> None:
    """Take a line of the log."""


def embedded(
    prompts: dict[str, str], encoder: HashEncoder, known: VectorCache, log: Callable[[str], None] = silent
) -> NDArray[np.float32]:
    """Embed what is not known, and return all vectors."""
    rows = known.rows_of(list(prompts))
    missing = [pair for pair, row in zip(prompts.items(), rows.tolist(), strict=True) if row < 0]
    embed_prompts(iter(missing), len(missing), encoder, known, log)
    return taken(known, list(prompts))


def taken(known: VectorCache, prompt_hashes: Sequence[str]) -> NDArray[np.float32]:
    vectors = np.empty((len(prompt_hashes), known.width), np.float32)
    known.fill(known.rows_of(prompt_hashes), vectors)
    return vectors


def opened(folder: Path, version: str = "v1", log: Log = silent, windows: int = 8) -> VectorCache:
    """A cache whose links lie beside its segments."""
    folder.mkdir(exist_ok=True)
    return VectorCache(folder, version, log, Path(tempfile.mkdtemp(prefix="links-", dir=folder)), windows)
