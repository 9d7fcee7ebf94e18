"""A selected subset with its texts, as files for any trainer."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from smart_assets.core.errors import SmartError
from smart_assets.core.files import write_beside
from smart_assets.documents.dataset_folder import write_dataset
from smart_assets.documents.subsets import SubsetRecord


def write_subset(subset: SubsetRecord, out: Path) -> None:
    """Write a subset as JSONL or Parquet by the name's ending, else as a folder that `datasets.load_dataset` reads.

    Raises:
        SmartError: the ending is none of these, `out` is a folder with something in it, or it cannot be written.
    """
    writers: dict[str, Callable[[SubsetRecord, Path], None]] = {
        ".jsonl": _write_jsonl,
        ".parquet": lambda subset, path: pq.write_table(subset.rows, path),
        "": write_dataset,
    }
    write = writers.get(out.suffix)
    if write is None:
        raise SmartError(f"{out}: the ending must be .jsonl or .parquet, or none for a Hugging Face dataset folder")
    write_beside(out, lambda draft: write(subset, draft))


def _write_jsonl(subset: SubsetRecord, path: Path) -> None:
    import json

    with path.open("w", encoding="utf-8") as stream:
        for batch in subset.rows.to_batches(max_chunksize=10_000):
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
