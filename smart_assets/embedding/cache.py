"""Vectors already made, by prompt hash: those of earlier artifacts, and the segments of a run that is under way.

A segment is one `.npy` file of (prompt hash, vector) records, named by the SHA-256 of its bytes and renamed into place.
So a killed run loses only what it had not yet written, and a segment that is cut or damaged shows by its name.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_assets.errors import StoreError
from smart_assets.progress import Log

_SUFFIX = ".npy"
_PARTIAL = ".partial"


class VectorCache:
    """Vectors by prompt hash, for one encoder version.

    Give each writer (a source) a `folder` of its own: `drop_segments` removes what lies there.
    """

    def __init__(self, folder: Path, encoder_version: str, log: Log) -> None:
        """Read the segments an earlier run left in `folder/encoder_version`.

        A damaged segment is skipped with a line to `log`: its prompts are simply not known.
        """
        self.encoder_version = encoder_version
        self._folder = folder / encoder_version
        self._rows: dict[str, int] = {}  # prompt hash to row, rows counted through all blocks
        self._blocks: list[NDArray[np.float32]] = []
        self._starts: list[int] = []  # first row of each block
        self._files = sorted(path for path in self._folder.glob("*") if path.suffix in (_SUFFIX, _PARTIAL))
        for path in self._files:
            if path.suffix == _SUFFIX:
                self._read_segment(path, log)

    def __contains__(self, prompt_hash: object) -> bool:
        return prompt_hash in self._rows

    def count_unseen(self, prompt_hashes: Iterable[str]) -> int:
        """Return how many of `prompt_hashes` have no vector yet."""
        return sum(prompt_hash not in self._rows for prompt_hash in prompt_hashes)

    def add_artifact(self, prompt_hashes: Sequence[str], vectors_file: Path) -> None:
        """Make the vectors of an earlier artifact known, without reading them into memory.

        Args:
            prompt_hashes: (n,) hash of each row's prompt; of repeated ones the first counts.
            vectors_file: `.npy` file of (n, d) float32 unit rows, made by the same encoder version.

        Raises:
            StoreError: the file cannot be read, or does not hold one vector for each hash.
        """
        try:
            vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"the vectors in {str(vectors_file)!r} cannot be read: {error}; remove that artifact to embed again"
            ) from error
        if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(prompt_hashes):
            raise StoreError(
                f"{str(vectors_file)!r} must hold ({len(prompt_hashes)}, d) float32 vectors; "
                f"it holds {vectors.shape} {vectors.dtype}"
            )
        self._add(prompt_hashes, vectors)

    def take(self, prompt_hashes: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors (n, d) of `prompt_hashes`, in their order; all of them must be known, and n > 0."""
        rows = np.fromiter((self._rows[prompt_hash] for prompt_hash in prompt_hashes), np.int64, len(prompt_hashes))
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        vectors = np.empty((len(rows), self._blocks[0].shape[1]), np.float32)
        for block in np.unique(blocks):
            wanted = blocks == block
            vectors[wanted] = self._blocks[block][rows[wanted] - self._starts[block]]
        return vectors

    def put(self, prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write `vectors` (n, d) as one segment; when this returns they survive a kill.

        Raises:
            StoreError: the segment cannot be written.
        """
        buffer = BytesIO()
        np.save(buffer, _records(prompt_hashes, vectors), allow_pickle=False)
        path = self._folder / (hashlib.sha256(buffer.getbuffer()).hexdigest() + _SUFFIX)
        partial = path.with_suffix(f".{os.getpid()}{_PARTIAL}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(buffer.getbuffer())
            partial.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write {str(path)!r}: {error}; check its disk, then run again") from error
        self._files.append(path)
        self._add(prompt_hashes, vectors)

    def drop_segments(self) -> None:
        """Remove the segments found or written here; call it once their vectors are committed in an artifact."""
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()
        with suppress(OSError):  # another run's segments may lie there still
            self._folder.rmdir()

    def _read_segment(self, path: Path, log: Log) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            log(f"the segment {str(path)!r} cannot be read ({error}); its prompts are embedded again")
            return
        if hashlib.sha256(content).hexdigest() != path.stem:
            log(f"the segment {str(path)!r} is damaged; its prompts are embedded again")
            return
        records = np.load(BytesIO(content), allow_pickle=False)
        self._add(records["prompt_hash"].tolist(), records["vector"])

    def _add(self, prompt_hashes: Iterable[str], vectors: NDArray[np.float32]) -> None:
        if self._blocks and self._blocks[0].shape[1] != vectors.shape[1]:
            raise StoreError(
                f"vectors of one encoder version must have one width; got {vectors.shape[1]} after "
                f"{self._blocks[0].shape[1]}: the artifact or segment was made by another encoder"
            )
        start = self._starts[-1] + len(self._blocks[-1]) if self._blocks else 0
        self._blocks.append(vectors)
        self._starts.append(start)
        for row, prompt_hash in enumerate(prompt_hashes, start):
            self._rows.setdefault(prompt_hash, row)


def _records(prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.void]:
    """Return hashes and vectors side by side, (n,) records."""
    hashes = np.array(prompt_hashes, dtype=np.str_)
    records = np.empty(len(hashes), np.dtype([("prompt_hash", hashes.dtype), ("vector", "<f4", (vectors.shape[1],))]))
    records["prompt_hash"], records["vector"] = hashes, vectors
    return records
