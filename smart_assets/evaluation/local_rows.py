"""The rows of lm-eval's local sets as texts, whatever their fields are called."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smart_assets.core.errors import EvaluationError
from smart_assets.tasks.files import list_folder
from smart_assets.training.formatting import ChatInstance


def read_local_rows(name: str, folder: Path) -> list[ChatInstance]:
    """Read all JSONL files of a folder that `evaluate.local_data` names, those of worked examples too.

    Which field lm-eval asks is known to its own YAML and Python alone. So the longest text of a row stands for its
    prompt, and all its other texts, in their order, for its response. A row's id is its place, `FILE:LINE`.

    Raises:
        SourceError: the folder cannot be read.
        EvaluationError: a file cannot be read, or a line is no JSON object.
    """
    rows: list[ChatInstance] = []
    for file in list_folder(folder).files:
        if file.suffix == ".jsonl":
            rows += _read_file(name, Path(file.path), file.name)
    return rows


def _read_file(name: str, path: Path, shown: str) -> Iterator[ChatInstance]:
    number = 1
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    texts = list(_texts(_object(line)))
                    if texts:
                        prompt = texts.pop(max(range(len(texts)), key=lambda place: len(texts[place])))
                        yield ChatInstance(f"{shown}:{number}", Path(shown).stem, prompt, " ".join(texts), None)
    except (OSError, ValueError, RecursionError) as error:  # json's and the decoder's errors are ValueErrors
        raise EvaluationError(
            f"evaluate.local_data {name!r}: {path} must hold JSON objects, one a line; line {number}: {error}"
        ) from error


def _object(line: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"the line holds a {type(row).__name__}")
    return row


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts below a JSON value that hold more than white space, in their order."""
    if isinstance(value, str):
        if value.strip():
            yield value.encode("utf-8", "replace").decode()  # JSON may name half a character
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
