"""Vectors already made, by prompt hash: those of earlier artifacts, and the segments of a run that is under way.

A segment is one `.npy` file of (prompt hash, vector) records, named by the SHA-256 of its bytes and renamed into place.
So a killed run loses only what it had not yet written, and a segment that is cut or damaged shows by its name. Who
reads a segment holds a link of its own to it: another run at work on the same source may drop it at any moment.

Hashes are held in memory (some 40 bytes each), vectors are not: they stay in their files until they are asked for.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smart_assets.core.errors import StoreError
from smart_assets.core.files import rename_in
from smart_assets.core.progress import Log
from smart_assets.store.hashing import file_sha256

_SUFFIX = ".npy"
_LINK = ".link"
_ROWS_AT_ONCE = 16_384

Hashes = Sequence[str] | pa.Array
"""Prompt hashes; as Arrow strings where there are many."""


@dataclass(frozen=True, slots=True)
class _Block:
    """One file of vectors: an artifact's, or a segment with hashes beside them."""

    path: Path
    start: int  # its first row, counted through all blocks
    shape: tuple[int, int]

    def vectors(self) -> NDArray[np.float32]:
        """Return the vectors (n, d) as a memory map; one that is not kept, since each holds a file open."""
        content = _open(self.path)
        return content["vector"] if content.dtype.names else content


class VectorCache:
    """Vectors by prompt hash, for one encoder version.

    Give each writer (a source) a `folder` of its own: `drop_segments` removes what lies there.
    """

    def __init__(self, folder: Path, encoder_version: str, log: Log, links: Path) -> None:
        """Read the segments an earlier run left in `folder/encoder_version`.

        A damaged segment is skipped with a line to `log`: its prompts are simply not known. In `links`, a folder of
        this run alone on the same file system, segments keep a second name.
        """
        self.encoder_version = encoder_version
        self._folder = folder / encoder_version
        self._blocks: list[_Block] = []
        self._hashes: list[pa.Array] = []  # of the blocks, row by row
        self._links = links
        self._files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        for path in self._files:
            self._read_segment(path, log)

    @property
    def width(self) -> int:
        """Dimensions of the vectors; 0 while none is known."""
        return self._blocks[0].shape[1] if self._blocks else 0

    def rows_of(self, prompt_hashes: Hashes) -> NDArray[np.int64]:
        """Return the row (n,) at which each hash's vector is known here, -1 where it is not.

        A row stays the same while vectors are added. Each call looks through all hashes: ask for many at a time.
        """
        positions = pc.index_in(_strings(prompt_hashes), value_set=pa.chunked_array(self._hashes, pa.string()))
        return pc.fill_null(positions, -1).to_numpy().astype(np.int64)

    def add_artifact(self, prompt_hashes: Hashes, vectors_file: Path) -> None:
        """Make the vectors of an earlier artifact known, without reading them.

        Args:
            prompt_hashes: (n,) hash of each row's prompt; of repeated ones the first counts.
            vectors_file: `.npy` file of (n, d) float32 unit rows, made by the same encoder version.

        Raises:
            StoreError: the file cannot be read, or does not hold one vector for each hash.
        """
        vectors = _open(vectors_file)
        if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(prompt_hashes):
            raise StoreError(
                f"{str(vectors_file)!r} must hold ({len(prompt_hashes)}, d) float32 vectors; "
                f"it holds {vectors.shape} {vectors.dtype}"
            )
        self._add(prompt_hashes, vectors_file, vectors.shape[1])

    def fill(self, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write the vectors at `rows` (n,), each as `rows_of` gave it, into `out` (n, d), which may be a memory map.

        Every file is opened once, and no more than some thousand vectors are in memory at a time.

        Raises:
            StoreError: a file cannot be read any more.
        """
        if len(rows) and rows.min() < 0:
            raise ValueError("rows must be known ones; got -1")
        blocks = np.searchsorted([block.start for block in self._blocks], rows, side="right") - 1
        order = np.argsort(blocks, kind="stable")
        ends = np.cumsum(np.bincount(blocks, minlength=len(self._blocks)))
        for block, places in zip(self._blocks, np.split(order, ends[:-1]), strict=True):
            if not len(places):
                continue
            vectors = block.vectors()
            for first in range(0, len(places), _ROWS_AT_ONCE):
                chunk = places[first : first + _ROWS_AT_ONCE]
                out[chunk] = vectors[rows[chunk] - block.start]

    def put(self, prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write `vectors` (n, d) as one segment; when this returns they survive a kill and a loss of power.

        Raises:
            StoreError: the segment cannot be written.
        """
        buffer = BytesIO()
        np.save(buffer, _records(prompt_hashes, vectors), allow_pickle=False)
        path = self._folder / (hashlib.sha256(buffer.getbuffer()).hexdigest() + _SUFFIX)
        try:
            link = self._link_of(path)
            link.write_bytes(buffer.getbuffer())
            partial = link.with_suffix(".partial")
            _link(link, partial)
            rename_in(partial, path)
        except OSError as error:
            raise StoreError(f"cannot write {str(path)!r}: {error}; check its disk, then run again") from error
        self._files.append(path)
        self._add(prompt_hashes, link, vectors.shape[1])

    def drop_segments(self) -> None:
        """Remove the segments found or written here; call it once their vectors are committed in an artifact."""
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()
        with suppress(OSError):  # another run's segments may lie there still
            self._folder.rmdir()

    def _read_segment(self, path: Path, log: Log) -> None:
        try:
            link = self._link_of(path)
            _link(path, link)
            whole = file_sha256(link) == path.stem
        except OSError as error:
            log(f"the segment {str(path)!r} cannot be read ({error}); its prompts are embedded again")
            return
        if not whole:
            log(f"the segment {str(path)!r} is damaged; its prompts are embedded again")
            return
        records = _open(link)
        self._add(records["prompt_hash"].tolist(), link, records["vector"].shape[1])

    def _link_of(self, path: Path) -> Path:
        self._links.mkdir(parents=True, exist_ok=True)
        return self._links / f"{path.stem}{_LINK}"

    def _add(self, prompt_hashes: Hashes, path: Path, width: int) -> None:
        if self._blocks and self.width != width:
            raise StoreError(
                f"vectors of one encoder version must have one width; got {width} after "
                f"{self.width}: the artifact or segment was made by another encoder"
            )
        start = self._blocks[-1].start + self._blocks[-1].shape[0] if self._blocks else 0
        self._blocks.append(_Block(path, start, (len(prompt_hashes), width)))
        self._hashes.append(_strings(prompt_hashes))


def _link(path: Path, link: Path) -> None:
    """Give a file a second name, or a copy where the file system has no links."""
    try:
        os.link(path, link)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, link)


def _strings(prompt_hashes: Hashes) -> pa.Array:
    return prompt_hashes if isinstance(prompt_hashes, pa.Array) else pa.array(prompt_hashes, pa.string())


def _open(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            f"the vectors in {str(path)!r} cannot be read: {error}; remove that artifact to embed again"
        ) from error


def _records(prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.void]:
    """Return hashes and vectors side by side, (n,) records."""
    hashes = np.array(prompt_hashes, dtype=np.str_)
    records = np.empty(len(hashes), np.dtype([("prompt_hash", hashes.dtype), ("vector", "<f4", (vectors.shape[1],))]))
    records["prompt_hash"], records["vector"] = hashes, vectors
    return records
