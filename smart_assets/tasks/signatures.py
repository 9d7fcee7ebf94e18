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

_BATCH_ROWS = 8192
_BATCH_BYTES = 1 << 24


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


def signatures_of(result: ReadResult, known: KnownSignatures | None, log: Log) -> Signatures:
    """Return the signature of each row's prompt, (rows, WIDTH); each distinct prompt is sketched once."""
    prompts = digests.from_hex(result.rows["prompt_hash"])
    signatures = np.empty((len(prompts), WIDTH), dtype=np.uint32)
    done = known.fill(prompts, signatures) if known else np.zeros(len(prompts), dtype=np.bool_)
    left = np.flatnonzero(~done)
    order = left[digests.order_of(prompts[left])]
    first = digests.first_of_equal(prompts[order])
    rows = np.sort(order[first])
    sketcher, progress = Sketcher(), Progress("comparing prompts", log)
    for start in range(0, len(rows), _BATCH_ROWS):
        batch = rows[start : start + _BATCH_ROWS]
        for part, few in _in_parts(batch, result.prompts(batch)):
            signatures[part] = sketcher.signatures(few)
        progress.at(start + len(batch), (start + len(batch)) / len(rows))
    # `order` has equal prompts side by side. The running count of firsts numbers the prompts from 1, so that minus 1 it
    # tells each repeated row which first one has its signature.
    again = order[~first]
    signatures[again] = signatures[order[first][np.cumsum(first)[~first] - 1]]
    return signatures


def _in_parts(rows: NDArray[np.int64], texts: pa.Array) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    """Split rows and their texts so that few long ones are in memory as Python objects at a time."""
    # Texts are in one part while their running length is in one multiple of _BATCH_BYTES.
    parts = np.cumsum(pc.binary_length(texts).to_numpy()) // _BATCH_BYTES
    starts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(rows)]
    for start, stop in pairwise(starts):
        yield rows[start:stop], texts.slice(start, stop - start).to_pylist()
