"""Vectors already made, by prompt hash: those of earlier artifacts, and the segments of a run that is under way.

A segment is one `.npy` file of (prompt hash, vector) records, named by the SHA-256 of its bytes and renamed into place.
So a killed run loses only what it had not yet written, and a segment that is cut or damaged shows by its name. Who
reads a segment holds a link of its own to it: another run at work on the same source may drop it at any moment.

Hashes are held in memory (some 40 bytes each), vectors are not: they stay in their files until they are asked for.

The vector of a prompt of one window is what the encoder gives. That of a longer prompt depends on how many of its
windows are read, too, and counts only where these are as many as now.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
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
from smart_assets.embedding.windows import LONG_PROMPTS, LongVectors
from smart_assets.store.hashing import file_sha256

_SUFFIX = ".windows.npy"  # plain `.npy` are segments of a version that read no prompt beyond its first window
_LONG = ("tokens", "windows", "read")
_LINK = ".link"
_ROWS_AT_ONCE = 16_384

Hashes = Sequence[str] | pa.Array
"""Prompt hashes; as Arrow strings where there are many."""


@dataclass(frozen=True, slots=True)
class _Block:
    """One file of vectors: an artifact's, or a segment with hashes beside them."""

    path: Path
    field: str  # of a segment's records
    start: int  # its first row, counted through all blocks
    shape: tuple[int, int]

    def vectors(self) -> NDArray[np.float32]:
        """Return the vectors (n, d) as a memory map; one that is not kept, since each holds a file open."""
        content = _open(self.path)
        return content[self.field] if content.dtype.names else content


class _Vectors:
    """Vectors in files, by prompt hash."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._hashes: list[pa.Array] = []  # of the blocks, row by row

    @property
    def width(self) -> int:
        """Dimensions of the vectors; 0 while none is known."""
        return self._blocks[0].shape[1] if self._blocks else 0

    def rows_of(self, prompt_hashes: Hashes) -> NDArray[np.int64]:
        """Return the row (n,) at which each hash's vector is known here, -1 where it is not."""
        places = pc.index_in(
            _strings(prompt_hashes), value_set=pa.chunked_array(self._hashes, pa.string()), skip_nulls=True
        )
        return pc.fill_null(places, -1).to_numpy().astype(np.int64)

    def add(self, prompt_hashes: Hashes, path: Path, width: int, field: str = "vector") -> None:
        """Add a file; a row whose hash is null is never looked up."""
        if self._blocks and self.width != width:
            raise StoreError(
                f"vectors of one encoder version must have one width; got {width} after "
                f"{self.width}: the artifact or segment was made by another encoder"
            )
        start = self._blocks[-1].start + self._blocks[-1].shape[0] if self._blocks else 0
        self._blocks.append(_Block(path, field, start, (len(prompt_hashes), width)))
        self._hashes.append(_strings(prompt_hashes))

    def fill(self, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write the vectors at `rows` (n,) into `out` (n, d)."""
        if not len(rows):
            return
        if rows.min() < 0:
            raise ValueError("rows must be known ones; got -1")
        blocks = np.searchsorted([block.start for block in self._blocks], rows, side="right") - 1
        order = np.argsort(blocks, kind="stable")
        ends = np.cumsum(np.bincount(blocks, minlength=len(self._blocks)))
        for block, places in zip(self._blocks, np.split(order, ends[:-1]), strict=True):
            if not len(places):
                continue
            vectors = block.vectors()
            for first in range(0, len(places), _ROWS_AT_ONCE):
                part = places[first : first + _ROWS_AT_ONCE]
                out[part] = vectors[rows[part] - block.start]


class VectorCache:
    """Vectors by prompt hash, for one encoder version and number of windows that are read at most.

    Give each writer (a source) a `folder` of its own: `drop_segments` removes what lies there.
    """

    def __init__(self, folder: Path, encoder_version: str, log: Log, links: Path, windows: int) -> None:
        """Read the segments an earlier run left in `folder/encoder_version`.

        A damaged segment is skipped with a line to `log`: its prompts are simply not known. In `links`, a folder of
        this run alone on the same file system, segments keep a second name.
        """
        self.encoder_version = encoder_version
        self.windows = windows
        self._folder = folder / encoder_version
        self._whole, self._last = _Vectors(), _Vectors()
        self._counts = [LONG_PROMPTS.empty_table()]
        self._links = links
        self._files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        for path in self._files:
            self._read_segment(path, log)
        self._files += self._of_before(log)

    @property
    def width(self) -> int:
        """Dimensions of the vectors; 0 while none is known."""
        return self._whole.width

    def rows_of(self, prompt_hashes: Hashes) -> NDArray[np.int64]:
        """Return the row (n,) at which each hash's vector is known here, -1 where it is not.

        A row stays the same while vectors are added. Each call looks through all hashes: ask for many at a time.
        """
        return self._whole.rows_of(prompt_hashes)

    def add_artifact(
        self, prompt_hashes: Hashes, vectors_file: Path, long: pa.Table | None = None, last_file: Path | None = None
    ) -> None:
        """Make the vectors of an earlier artifact known, without reading them.

        Args:
            prompt_hashes: (n,) hash of each row's prompt; of repeated ones the first counts. Null: not to be used.
            vectors_file: `.npy` file of (n, d) float32 unit rows, made by the same encoder version.
            long: those of several windows, as LONG_PROMPTS; the others are of one.
            last_file: `.npy` file of the vectors of their last windows, row by row.

        Raises:
            StoreError: a file cannot be read, or does not hold one vector for each hash.
        """
        width = _checked_width(vectors_file, len(prompt_hashes))
        hashes = _strings(prompt_hashes)
        if long is not None and last_file is not None:
            same = self._as_now(long)
            other = long["prompt_hash"].filter(pa.array(~same)).combine_chunks()
            hashes = pc.if_else(pc.is_in(hashes, value_set=other), pa.scalar(None, pa.string()), hashes)
            self._add_long(long, same, last_file, _checked_width(last_file, long.num_rows), "vector")
        self._whole.add(hashes, vectors_file, width)

    def fill(self, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write the vectors at `rows` (n,), each as `rows_of` gave it, into `out` (n, d), which may be a memory map.

        Every file is opened once, and no more than some thousand vectors are in memory at a time.

        Raises:
            StoreError: a file cannot be read any more.
        """
        self._whole.fill(rows, out)

    def long_prompts(self, prompt_hashes: Hashes) -> pa.Table:
        """Return those of known prompts that are of several windows, in their order, each once, as LONG_PROMPTS."""
        counts = pa.concat_tables(self._counts).combine_chunks()
        places = pc.index_in(pc.unique(_strings(prompt_hashes)), value_set=counts["prompt_hash"].combine_chunks())
        return counts.take(places.drop_null())

    def last_windows(self, long: pa.Table) -> NDArray[np.float32]:
        """Return the vectors (k, d) of the last windows of long prompts, given as LONG_PROMPTS.

        Raises:
            StoreError: a file cannot be read any more.
        """
        out = np.empty((long.num_rows, self.width), np.float32)
        self._last.fill(self._last.rows_of(long["prompt_hash"].combine_chunks()), out)
        return out

    def put(self, prompt_hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write `vectors` (n, d) of prompts of one window as one segment.

        When this returns they survive a kill and a loss of power.

        Raises:
            StoreError: the segment cannot be written.
        """
        self._write(_records(prompt_hashes, {"vector": vectors}))

    def put_long(self, vectors: LongVectors) -> None:
        """Write the vectors of long prompts likewise.

        Raises:
            StoreError: the segment cannot be written.
        """
        counts = {name: vectors.counts[name].to_numpy() for name in _LONG}
        names = vectors.counts["prompt_hash"].to_pylist()
        self._write(_records(names, {"vector": vectors.whole, "last": vectors.last, **counts}))

    def _write(self, records: NDArray[np.void]) -> None:
        buffer = BytesIO()
        np.save(buffer, records, allow_pickle=False)
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
        self._add_segment(records, link)

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
            whole = file_sha256(link) == _digest_of(path)
        except OSError as error:
            log(f"the segment {str(path)!r} cannot be read ({error}); its prompts are embedded again")
            return
        if not whole:
            log(f"the segment {str(path)!r} is damaged; its prompts are embedded again")
            return
        self._add_segment(_open(link), link)

    def _add_segment(self, records: NDArray[Any], path: Path) -> None:
        hashes = pa.array(records["prompt_hash"].tolist(), pa.string())
        width = records["vector"].shape[1]
        if "last" in (records.dtype.names or ()):
            long = pa.table([hashes, *(np.ascontiguousarray(records[name]) for name in _LONG)], LONG_PROMPTS)
            same = self._as_now(long)
            hashes = pc.if_else(pa.array(same), hashes, pa.scalar(None, pa.string()))
            self._add_long(long, same, path, width, "last")
        self._whole.add(hashes, path, width)

    def _as_now(self, long: pa.Table) -> NDArray[np.bool_]:
        """Return of which long prompts (k,) as many windows were read as are read now."""
        return long["read"].to_numpy() == np.minimum(long["windows"].to_numpy(), self.windows)

    def _add_long(self, long: pa.Table, same: NDArray[np.bool_], path: Path, width: int, field: str) -> None:
        hashes = pc.if_else(pa.array(same), long["prompt_hash"].combine_chunks(), pa.scalar(None, pa.string()))
        self._last.add(hashes, path, width, field)
        self._counts.append(long.filter(pa.array(same)).cast(LONG_PROMPTS))

    def _of_before(self, log: Log) -> list[Path]:
        """Return the segments of a version that read no prompt beyond its first window."""
        files = sorted(path for path in self._folder.glob("*.npy") if not path.name.endswith(_SUFFIX))
        if files:
            log(f"{len(files):,} segments of an earlier version, which cut long prompts: they are embedded again")
        return files

    def _link_of(self, path: Path) -> Path:
        self._links.mkdir(parents=True, exist_ok=True)
        return self._links / f"{_digest_of(path)}{_LINK}"


def _digest_of(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)


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


def _checked_width(vectors_file: Path, rows: int) -> int:
    vectors = _open(vectors_file)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != rows:
        raise StoreError(
            f"{str(vectors_file)!r} must hold ({rows}, d) float32 vectors; it holds {vectors.shape} {vectors.dtype}"
        )
    return vectors.shape[1]


def _records(prompt_hashes: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> NDArray[np.void]:
    """Return hashes and what stands beside them, (n,) records."""
    hashes = np.array(prompt_hashes, dtype=np.str_)
    fields = [(name, values.dtype.newbyteorder("<"), values.shape[1:]) for name, values in columns.items()]
    records = np.empty(len(hashes), np.dtype([("prompt_hash", hashes.dtype), *fields]))
    records["prompt_hash"] = hashes
    for name, values in columns.items():
        records[name] = values
    return records
