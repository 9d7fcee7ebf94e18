"""The signatures of a source's prompts; those of an earlier artifact are taken over by prompt hash."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.core.errors import SourceError
from smart_assets.core.progress import Log, Progress
from smart_assets.tasks import digests
from smart_assets.tasks.digests import Digests
from smart_assets.tasks.near_duplicates import WIDTH, Signatures, Sketcher
from smart_assets.tasks.read_result import INSTANCES_FILE, ReadResult
from smart_assets.tasks.work_pool import Job, WorkPool

_BATCH_ROWS = 8192
_BATCH_BYTES = 1 << 24
_WORTH_ROWS = 50_000  # fewer are sketched before processes have started


@dataclass(frozen=True, slots=True)
class SharedScratch:
    """Processes, and a folder for what goes to them and comes from them."""

    pool: WorkPool
    folder: Path


@dataclass(frozen=True, slots=True)
class KnownSignatures:
    """Signatures by prompt hash."""

    prompts: Digests  # in order, distinct
    rows: NDArray[np.int64]  # of each in `signatures`
    signatures: Signatures  # (any, WIDTH), mapped from the disk

    def fill(self, prompts: Digests, out: Signatures) -> NDArray[np.bool_]:
        """Write what is known of the prompts into their rows of `out`, and return which rows these are."""
        known = np.zeros(len(prompts), dtype=np.bool_)
        for start in range(0, len(prompts), _BATCH_ROWS):
            batch = slice(start, start + _BATCH_ROWS)
            positions, known[batch] = digests.positions_in(self.prompts, prompts[batch])
            out[batch][known[batch]] = self.signatures[self.rows[positions[known[batch]]]]
        return known


def read_signatures(content: Path) -> KnownSignatures:
    """Return the signatures in the folder of an earlier artifact.

    Raises:
        SourceError: They cannot be read, or are not those of its rows.
    """
    try:
        hashes = digests.from_hex(pq.read_table(content / INSTANCES_FILE, columns=["prompt_hash"])["prompt_hash"])
        signatures = np.load(content / "signatures.npy", mmap_mode="r", allow_pickle=False)
        if signatures.shape != (len(hashes), WIDTH) or signatures.dtype != np.uint32:
            raise ValueError("its signatures are not those of its rows")
        order = digests.order_of(hashes)
        order = order[digests.first_of_equal(hashes[order])]
        return KnownSignatures(hashes[order], order, signatures)
    except (OSError, KeyError, ValueError) as error:  # pyarrow's errors are such
        raise SourceError(f"the signatures of the earlier artifact {content} cannot be used: {error}") from error


def signatures_of(
    result: ReadResult, known: KnownSignatures | None, log: Log, shared: SharedScratch | None = None
) -> Signatures:
    """Return the signature of each row's prompt, (rows, WIDTH); each distinct prompt is sketched once.

    Args:
        result: Of reading a source.
        known: Signatures of before.
        log: Told of progress.
        shared: Processes that share the work, where it is much.
    """
    prompts = digests.from_hex(result.rows["prompt_hash"])
    signatures = np.empty((len(prompts), WIDTH), dtype=np.uint32)
    done = known.fill(prompts, signatures) if known else np.zeros(len(prompts), dtype=np.bool_)
    left = np.flatnonzero(~done)
    order = left[digests.order_of(prompts[left])]
    first = digests.first_of_equal(prompts[order])
    rows = np.sort(order[first])
    progress, done_rows = Progress("comparing prompts", log), 0
    batches = _batches(rows, result)
    sketched = _sketched(batches) if shared is None or len(rows) < _WORTH_ROWS else _sketched_shared(batches, shared)
    for part, of_part in sketched:
        signatures[part] = of_part
        done_rows += len(part)
        progress.at(done_rows, done_rows / len(rows))
    # `order` has equal prompts side by side. The running count of firsts numbers the prompts from 1, so that minus 1 it
    # tells each repeated row which first one has its signature.
    again = order[~first]
    signatures[again] = signatures[order[first][np.cumsum(first)[~first] - 1]]
    return signatures


_Batches = Iterator[tuple[NDArray[np.int64], pa.Array]]  # rows, and their prompts


def _batches(rows: NDArray[np.int64], result: ReadResult) -> _Batches:
    for start in range(0, len(rows), _BATCH_ROWS):
        batch = rows[start : start + _BATCH_ROWS]
        yield from _in_parts(batch, result.prompts(batch))


def _sketched(batches: _Batches) -> Iterator[tuple[NDArray[np.int64], Signatures]]:
    sketcher = Sketcher()
    for rows, prompts in batches:
        yield rows, sketcher.signatures(prompts.to_pylist())


def _sketched_shared(batches: _Batches, shared: SharedScratch) -> Iterator[tuple[NDArray[np.int64], Signatures]]:
    """Sketch in several processes; prompts and signatures go through files."""
    given: list[tuple[NDArray[np.int64], Path]] = []

    def jobs() -> Iterator[Job]:
        for rows, prompts in batches:
            path = shared.folder / f"prompts-{len(given)}.arrow"
            given.append((rows, path))
            table = pa.table([prompts], names=["prompt"])
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            yield {"work": "sketch", "prompts": str(path), "out": str(path.with_suffix(".npy"))}

    for number, _ in enumerate(shared.pool.answers(jobs())):
        rows, path = given[number]
        yield rows, np.load(path.with_suffix(".npy"), allow_pickle=False)
        path.unlink()
        path.with_suffix(".npy").unlink()


def _in_parts(rows: NDArray[np.int64], texts: pa.Array) -> _Batches:
    """Split rows and their texts so that few long ones are in memory as Python objects at a time."""
    # Texts are in one part while their running length is in one multiple of _BATCH_BYTES.
    parts = np.cumsum(pc.binary_length(texts).to_numpy()) // _BATCH_BYTES
    starts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(rows)]
    for start, stop in pairwise(starts):
        yield rows[start:stop], texts.slice(start, stop - start)
