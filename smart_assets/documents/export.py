"""A selected subset with its texts, as files for any program that trains, and for this one to read again."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from smart_assets.core.errors import SmartError
from smart_assets.core.files import write_beside
from smart_assets.documents.dataset_folder import write_dataset
from smart_assets.documents.exported_rows import exported_rows, exported_table, without_messages, write_jsonl
from smart_assets.documents.subsets import SubsetRecord


def write_subset(subset: SubsetRecord, out: Path) -> None:
    """Write a subset as JSONL or Parquet by the name's ending, else as a folder that `datasets.load_dataset` reads.

    Raises:
        SmartError: the ending is none of these, `out` is a folder with something in it, or it cannot be written.
    """
    writers: dict[str, Callable[[SubsetRecord, Path], None]] = {
        ".jsonl": _write_jsonl,
        ".parquet": lambda subset, path: pq.write_table(exported_table(subset.rows), path),
        "": write_dataset,
    }
    write = writers.get(out.suffix)
    if write is None:
        raise SmartError(f"{out}: the ending must be .jsonl or .parquet, or none for a Hugging Face dataset folder")
    write_beside(out, lambda draft: write(subset, draft))


def _write_jsonl(subset: SubsetRecord, path: Path) -> None:
    """Write a JSON object a line: the columns of the rows, `messages`, and `tools` where a row has any."""
    columns = without_messages(subset.rows)
    values = (row for batch in columns.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
    chats = exported_rows(subset.rows)
    write_jsonl(
        path,
        (
            {**row, "messages": chat.messages, **({} if chat.tools is None else {"tools": chat.tools})}
            for row, chat in zip(values, chats, strict=True)
        ),
    )
