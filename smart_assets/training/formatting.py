"""The rows that are trained on or asked, as they are read from a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.core.errors import TrainingError

INSTANCE_COLUMNS = ("id", "task", "prompt", "response", "messages")


@dataclass(frozen=True, slots=True)
class ChatInstance:
    """One row of a task; `messages` is a JSON list of the chat turns before the response, where there are several."""

    id: str
    task: str
    prompt: str
    response: str
    messages: str | None


def load_instances(path: Path) -> list[ChatInstance]:
    """Read the instances of a Parquet file, in its row order.

    Raises:
        TrainingError: the file is missing, is not Parquet, lacks a column, holds no row, or holds a null or something
            other than text (only `messages` may be null).
    """
    try:
        table = pq.ParquetFile(path).read(columns=list(INSTANCE_COLUMNS))
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: there is no such file; name the Parquet file that holds the instances") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"{path}: cannot be read as Parquet ({error}); write the instances anew") from error
    missing = [name for name in INSTANCE_COLUMNS if name not in table.column_names]
    if missing:
        raise TrainingError(f"{path}: needs the columns {', '.join(INSTANCE_COLUMNS)}; lacks {', '.join(missing)}")
    if table.num_rows == 0:
        raise TrainingError(f"{path}: holds no instance; at least one is needed")
    for name in INSTANCE_COLUMNS:
        _check_text_column(table.column(name), name, path)
    columns = [table.column(name).to_pylist() for name in INSTANCE_COLUMNS]
    return [ChatInstance(*row) for row in zip(*columns, strict=True)]


def _check_text_column(column: Any, name: str, path: Path) -> None:
    nullable = name == "messages"
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not text and not (nullable and pa.types.is_null(column.type)):
        raise TrainingError(f"{path}: column {name} must hold text; it holds {column.type}")
    if column.null_count and not nullable:
        raise TrainingError(f"{path}: column {name} must not be null; {column.null_count} of {len(column)} rows are")
