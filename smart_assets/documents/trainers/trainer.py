"""What a trainer is to an export: its form of a row, the files that configure it, and what it cannot hold."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from smart_assets.documents.exported_rows import ExportedRow, write_jsonl


class CannotHoldError(Exception):
    """A row that a trainer would refuse, or read as something else; its text is the reason, the same for equal rows."""


class Trainer(ABC):
    """A program that trains, and how it is given the rows of a mixture."""

    name: ClassVar[str]
    """As `--for` takes it."""
    title: ClassVar[str]
    """As people know it."""
    checked: ClassVar[str]
    """The version whose own code was seen to read the files, and which part of it."""
    rows_file: ClassVar[str] = "data/train.jsonl"
    learns: ClassVar[str]
    """In a sentence, how it is made to learn the responses alone, as this project does."""
    command: ClassVar[str]
    """What to run in the folder; words in capitals are the user's."""

    @abstractmethod
    def row(self, row: ExportedRow) -> Mapping[str, Any]:
        """Return a row in the trainer's form.

        Raises:
            CannotHoldError: the trainer would refuse it, or stop at it.
        """

    @abstractmethod
    def configuration(self, name: str, /) -> Mapping[str, str]:
        """Return the files that configure it, by name.

        Args:
            name: of the mixture, of letters, digits, `-` and `_`.
        """

    def lost(self, _row: ExportedRow, /) -> Iterator[str]:
        """Yield what of a row that it takes is not in the trainer's form."""
        yield from ()

    def write(self, rows: Iterable[Mapping[str, Any]], path: Path) -> None:
        """Write rows in the trainer's form.

        Raises:
            OSError: it cannot be written.
        """
        write_jsonl(path, rows)


def yaml_text(values: Mapping[str, Any]) -> str:
    """Return settings as YAML, in their order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
