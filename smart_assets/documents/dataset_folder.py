"""The folder of a subset: its rows as Parquet, `croissant.json`, and the card; `datasets.load_dataset` reads it."""

import json
from pathlib import Path
from typing import Any

from smart_assets.assets.parquet import write_table
from smart_assets.documents.croissant import RowsFile, croissant
from smart_assets.documents.dataset_card import dataset_card
from smart_assets.documents.exported_rows import exported_table
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.store.hashing import file_sha256

CROISSANT = "croissant.json"
CARD = "README.md"
ROWS = "data/train-00000-of-00001.parquet"


def write_dataset(subset: SubsetRecord, folder: Path) -> None:
    """Write the files into a new folder; equal subsets give equal files but for the times of the manifest.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / ROWS
    path.parent.mkdir(parents=True)
    table = exported_table(subset.rows)
    write_table(table, path)
    file = RowsFile(ROWS, file_sha256(path), path.stat().st_size, table.schema)
    write_json(folder / CROISSANT, croissant(subset, file))
    write_text(folder / CARD, dataset_card(subset, table.column_names))


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON in ASCII that may stand inside HTML, as JSON-LD does: `<`, `>` and `&` are escaped too."""
    text = json.dumps(document, indent=2, allow_nan=False)
    for letter in "<>&":  # they only ever stand inside strings
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    write_text(path, f"{text}\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with the line ends of Unix."""
    path.write_text(text, encoding="utf-8", newline="\n")
