"""The texts of a source by id, in bounded memory.

Ids are hashes, so rows arrive in no order and are wanted in the order of ids. What is read is sorted in runs; all but
the last go to a scratch folder as Arrow files, which the system maps into memory as they are read. A batch of rows with
neighbouring ids is a narrow slice of each run. Texts that an earlier artifact holds are taken from there.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.tasks.digests import Digests, first_of_equal, order_of, positions_in

# Texts have 64-bit offsets: a source may hold more than the 2 GB that 32-bit ones can address when it is sorted.
TEXTS = pa.schema(
    [
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string(), nullable=False),
        pa.field("messages", pa.large_string()),
    ]
)
RUN_BYTES = 128_000_000


class EarlierTexts:
    """The texts of an artifact's `instances.parquet`, read row group by row group."""

    def __init__(self, path: Path, ids: Digests) -> None:
        self.ids = ids  # in order
        self._file = pq.ParquetFile(path)
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._last: tuple[int, pa.Table] | None = None

    def take(self, positions: NDArray[np.int64]) -> pa.Table:
        """Return TEXTS at ascending positions."""
        parts: list[pa.Table] = []
        groups = np.searchsorted(self._starts, positions, side="right") - 1
        for group in np.unique(groups).tolist():
            inside = positions[groups == group] - self._starts[group]
            parts.append(self._group(group).take(pa.array(inside)))
        return pa.concat_tables(parts)

    def _group(self, group: int) -> pa.Table:
        """Return a row group, kept until another is asked for: the next batch begins where the last one ended."""
        if self._last is None or self._last[0] != group:
            self._last = group, self._file.read_row_group(group, columns=TEXTS.names).cast(TEXTS)
        return self._last[1]


@dataclass(frozen=True, slots=True)
class _Run:
    ids: Digests  # in order, distinct
    texts: pa.Table  # TEXTS; in memory, or mapped from a file


class Texts:
    """Takes texts in any order and gives them back by id."""

    def __init__(self, scratch: Path | None = None, earlier: EarlierTexts | None = None) -> None:
        self._scratch = scratch  # without one everything stays in memory
        self._earlier = earlier
        self._runs: list[_Run] = []
        self._pending: list[tuple[Digests, pa.Table]] = []
        self._pending_bytes = 0

    def add(self, ids: Digests, texts: pa.Table) -> None:
        """Take the TEXTS of some rows; an id that comes again has the same ones."""
        if self._earlier is not None:
            new = ~positions_in(self._earlier.ids, ids)[1]
            ids, texts = ids[new], texts.filter(pa.array(new))
        if not len(ids):
            return
        self._pending.append((ids, texts))
        self._pending_bytes += texts.nbytes
        if self._scratch is not None and self._pending_bytes >= RUN_BYTES:
            self._sort_pending(self._scratch)

    def of(self, ids: Digests) -> pa.Table:
        """Return the TEXTS of ids that are there, given in order."""
        self._sort_pending(None)
        if not len(ids):
            return TEXTS.empty_table()
        parts: list[tuple[Digests, pa.Table]] = []
        if self._earlier is not None:
            positions, is_earlier = positions_in(self._earlier.ids, ids)
            if is_earlier.any():
                parts.append((ids[is_earlier], self._earlier.take(positions[is_earlier])))
        for run in self._runs:
            start, stop = int(np.searchsorted(run.ids, ids[0])), int(np.searchsorted(run.ids, ids[-1], "right"))
            if stop > start:
                parts.append((run.ids[start:stop], run.texts.slice(start, stop - start)))
        every = np.concatenate([part for part, _ in parts])
        order = order_of(every)
        positions = order[np.searchsorted(every[order], ids)]
        return pa.concat_tables([texts for _, texts in parts]).take(pa.array(positions))

    def _sort_pending(self, scratch: Path | None) -> None:
        """Make a run of what came since the last one, in the scratch folder or in memory."""
        if not self._pending:
            return
        ids = np.concatenate([part for part, _ in self._pending])
        order = order_of(ids)
        order = order[first_of_equal(ids[order])]
        texts = pa.concat_tables([part for _, part in self._pending]).take(pa.array(order)).combine_chunks()
        self._pending, self._pending_bytes = [], 0
        self._runs.append(_Run(ids[order], texts if scratch is None else _on_disk(texts, scratch)))


def _on_disk(table: pa.Table, scratch: Path) -> pa.Table:
    path = scratch / f"{uuid.uuid4().hex}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
