"""The files of a dataset's split, read by the readers of task files.

The `datasets` library guesses types: of a CSV file it reads "01" as 1 and "None" as nothing. So it only says which
files a configuration and a split have. What their rows are is decided as of any folder.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import SourceError
from smart_assets.tasks.file_names import FileName, parse_name
from smart_assets.tasks.file_rows import FileLimits
from smart_assets.tasks.raw_rows import BadRow, RawRow
from smart_assets.tasks.row_shape import FieldNames

if TYPE_CHECKING:
    from datasets import DatasetBuilder

GUESSED = ("csv", "json")  # whose types are guesses: of these alone, files on the hub are read here
_TABLES = ("parquet", "arrow")
_HEAD = 20_000_000  # bytes
_SEPARATORS = {",": ".csv", "\t": ".tsv"}

Rows = Callable[[FieldNames], Iterator[RawRow | BadRow]]


@dataclass(frozen=True, slots=True)
class _DataFile:
    name: str  # as the dataset calls it
    path: Path
    parsed: FileName


def rows_of_split(builder: "DatasetBuilder", split: str, is_local: bool) -> Rows | None:
    """Return the way to the rows of a split, by index from 0; None where its files are none that are read here.

    Args:
        builder: Of the dataset's configuration.
        split: A split, or a slice or sum of splits in the notation of `datasets`.
        is_local: Whether the files lie on this machine.

    Raises:
        SourceError: There is no such split, or the configuration sets what is not read.
        ValueError: The slice cannot be read.
    """
    module = type(builder).__module__.rpartition(".")[2]
    files: Mapping[str, Sequence[str]] = {str(name): names for name, names in (builder.config.data_files or {}).items()}
    if module not in (GUESSED + _TABLES if is_local else GUESSED) or not files:
        return None
    parsed = {name: parse_name(name.rpartition("/")[2]) for names in files.values() for name in names}
    if not all(name.format for name in parsed.values()):
        return None
    ending = _ending_by_configuration(builder, module)
    known = {name: replace(file, format=ending or file.format) for name, file in parsed.items()}
    if split in files:
        return lambda names: _numbered(_fetched(files[split], known), names)
    named = {name: _fetched(files[name], known) for name in files if re.search(rf"\b{re.escape(name)}\b", split)}
    if not named:
        raise SourceError(f"there is no split {split}; there are {', '.join(files)}")
    return lambda names: _sliced(named, split, names)


def _ending_by_configuration(builder: "DatasetBuilder", module: str) -> str | None:
    """Return the ending that the settings of a configuration come to; None where that of each file counts.

    Raises:
        SourceError: The configuration sets what is not read.
    """
    if module in _TABLES:
        return None
    config: Any = builder.config
    common = {"name", "version", "data_dir", "data_files", "description", "features"}
    changed = {
        each.name: getattr(config, each.name)
        for each in dataclasses.fields(config)
        if each.name not in common and getattr(config, each.name) != each.default
    }
    separator = changed.pop("delimiter", None) or changed.pop("sep", None)
    changed.pop("sep", None)
    if changed or (separator is not None and separator not in _SEPARATORS):
        what = ", ".join(sorted(changed)) or f"the separator {separator!r}"
        raise SourceError(
            f"its configuration sets {what}, which is not read. Save the rows as JSON lines or Parquet, and read these."
        )
    return None if separator is None else _SEPARATORS[separator]


def _fetched(names: Sequence[str], parsed: Mapping[str, FileName]) -> list[_DataFile]:
    """Return the files on this machine, from the cache of `datasets` where they were fetched before."""
    from datasets import DownloadManager

    paths: list[str] = DownloadManager().download(list(names))
    return [_DataFile(name, Path(path), parsed[name]) for name, path in zip(names, paths, strict=True)]


def _sliced(files: Mapping[str, Sequence[_DataFile]], split: str, names: FieldNames) -> Iterator[RawRow | BadRow]:
    from datasets import ReadInstruction

    sizes = {name: sum(row.line is not None for row in _numbered(of_split, names)) for name, of_split in files.items()}
    try:
        pieces = ReadInstruction.from_spec(split).to_absolute(sizes)
    except (ValueError, AssertionError) as error:
        raise SourceError(f"the split {split} cannot be read: {error}. There are {', '.join(sizes)}") from error
    index = 0
    for piece in pieces:
        for row in islice(_numbered(files[piece.splitname], names), piece.from_, piece.to):
            yield replace(row, line=None if row.line is None else index)
            index += 1


def _numbered(files: Sequence[_DataFile], names: FieldNames) -> Iterator[RawRow | BadRow]:
    """Yield the rows of files one after the other under their indexes in all of them."""
    from smart_assets.tasks.formats import read_file

    index = 0
    for place, file in enumerate(files):
        for row in read_file(file.path, _as_lines(file), names, FileLimits(), {}):
            if row.line is None:
                yield replace(row, excerpt=f"{file.name.rpartition('/')[2]}: {row.excerpt or ''}")
                continue
            if isinstance(row, RawRow):
                yield RawRow(index, row.value, (place + row.done) / len(files))
            else:
                yield replace(row, line=index)
            index += 1


def _as_lines(file: _DataFile) -> FileName:
    """Return the name of a file as JSON lines where it holds these: `datasets` reads them under `.json`, too."""
    from smart_assets.tasks.streams import opened

    if file.parsed.format != ".json":
        return file.parsed
    try:
        with opened(file.path, file.parsed.compression) as stream:
            line = stream.readline(_HEAD).strip()
            is_row = isinstance(json.loads(line), dict) and bool(stream.readline(_HEAD).strip())
    except (OSError, ValueError, RecursionError):
        return file.parsed
    return replace(file.parsed, format=".jsonl") if is_row else file.parsed
