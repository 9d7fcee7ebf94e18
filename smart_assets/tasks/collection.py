"""What reading a source gives: accepted instances, where they stood, and every rejected row with its reason."""

from dataclasses import dataclass

import pyarrow as pa

# Texts have 64-bit offsets: a source may hold more than the 2 GB that 32-bit ones can address when it is sorted.
INSTANCES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("template", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string(), nullable=False),
        pa.field("messages", pa.large_string()),
        pa.field("prompt_hash", pa.string(), nullable=False),
    ]
)
ORIGINS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
    ]
)
REJECTED = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("task", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("excerpt", pa.string()),
    ]
)
TASKS = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("accepted", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when reading it began."""

    path: str  # relative to the source, "/" between its parts
    sha256: str  # "" where it cannot be read
    bytes: int


@dataclass(frozen=True, slots=True)
class Collection:
    """All that one source gave. Task names carry the source's prefix."""

    instances: pa.Table  # INSTANCES, sorted by id, ids unique
    origins: pa.Table  # ORIGINS, row by row those of `instances`; line from 1, on the hub the row's index from 0
    rejected: pa.Table  # REJECTED, in reading order; no line: the file as a whole; excerpt: the row, or the error
    tasks: pa.Table  # TASKS, sorted; every task name seen
    files: tuple[SourceFile, ...]  # sorted by path; none for the hub
    revision: str | None  # commit of a dataset on the hub
