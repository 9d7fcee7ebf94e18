"""What reading a source gives: accepted instances, where they stood, and every rejected row with its reason."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smart_assets.core.errors import SourceError
from smart_assets.tasks import digests
from smart_assets.tasks.kept import KEPT
from smart_assets.tasks.source_kind import NotRead, SourceFile, outside_of
from smart_assets.tasks.texts import TEXTS, Texts

ROWS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("template", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string(), nullable=False),
    ]
)
INSTANCES_FILE = "instances.parquet"
INSTANCES = pa.schema([*(ROWS.field(name) for name in ("id", "task", "template")), *TEXTS, ROWS.field("prompt_hash")])
ORIGINS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("unread", pa.int64(), nullable=False),  # a digest of what of the row is not read; 0 for nothing
    ]
)
REJECTED = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("task", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("excerpt", pa.string()),
        # Of an exact duplicate, whose text stands under this id among the instances; its template may be another. Of a
        # forgotten row, whose text stands nowhere, and of a refused one whose excerpt is forgotten.
        pa.field("id", pa.string()),
        pa.field("template", pa.string()),
        pa.field("unread", pa.int64(), nullable=False),  # as in ORIGINS, of a row that repeats another one; else 0
    ]
)
TASKS = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("accepted", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),
    ]
)


class NoRowsError(SourceError):
    """A source of which no row can be used; it holds what was read, so that people can see why.

    Args:
        message: For people.
        result: Of the reading, without rows.
    """

    def __init__(self, message: str, result: "ReadResult") -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class ReadResult:
    """All that one source gave. Task names carry the source's prefix."""

    rows: pa.Table  # ROWS, sorted by id, ids unique: all of an instance but its texts
    texts: Texts  # those of `rows`
    origins: pa.Table  # ORIGINS, row by row those of `rows`; line from 1, on the hub the row's index from 0
    rejected: pa.Table  # REJECTED, in reading order; no line: the file as a whole; excerpt: the row, or the error
    tasks: pa.Table  # TASKS, sorted; every task name seen
    columns: pa.Table  # unread.COLUMNS: as what rows were read, and what of them was not
    files: tuple[SourceFile, ...]  # sorted by path; none for the hub
    revision: str | None  # commit of a dataset on the hub
    files_reused: int  # files whose rows come from an earlier result
    rows_read: int  # rows of the other files, accepted or not
    kept: pa.Table = field(default_factory=KEPT.empty_table)  # KEPT
    not_read: tuple[NotRead, ...] = ()  # files of the source of which nothing was read, sorted by name

    @property
    def outside(self) -> dict[str, str]:
        """The state of the source that was read, as manifests record it."""
        return outside_of(self.files, self.revision)

    def prompts(self, positions: NDArray[np.int64]) -> pa.Array:
        """Return the prompts of the rows at some ascending positions."""
        ids = digests.from_hex(self.rows["id"].take(pa.array(positions)))
        return self.texts.of(ids)["prompt"].combine_chunks()

    def instances(self, batch_rows: int) -> Iterator[pa.Table]:
        """Yield INSTANCES in the order of `rows`, so many at a time; texts are in memory for one batch only."""
        for start in range(0, self.rows.num_rows, batch_rows):
            rows = self.rows.slice(start, batch_rows)
            texts = self.texts.of(digests.from_hex(rows["id"]))
            columns = [(texts if name in TEXTS.names else rows)[name].combine_chunks() for name in INSTANCES.names]
            yield pa.Table.from_arrays(columns, schema=INSTANCES)
