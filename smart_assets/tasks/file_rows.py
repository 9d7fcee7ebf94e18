"""The way to the rows of a file, for this process and others, whole or in pieces.

Where a piece begins and ends depends on the file alone, so the rows are the same however many processes read them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.tasks.file_names import FileName

if TYPE_CHECKING:
    from smart_assets.tasks.raw_rows import BadRow, RawRow
    from smart_assets.tasks.row_shape import FieldNames

PIECE_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How much a file may hold."""

    max_line_bytes: int = 20_000_000
    max_unpacked_times: int = 250


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file that can be read by itself: bytes of JSON lines, or row groups of Parquet."""

    first: int
    stop: int
    before: int  # lines or rows before it
    share: float  # of the file that is read when it is, in [0, 1]


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file, or of a piece of it."""

    path: str
    name: FileName
    columns: Mapping[str, str] = field(default_factory=dict[str, str])  # of rows that have none of these keys
    limits: FileLimits = FileLimits()
    piece: Piece | None = None  # None: the whole file

    def __call__(self, names: "FieldNames") -> "Iterator[RawRow | BadRow]":
        """Yield the rows."""
        from smart_assets.tasks.formats import read_file

        return read_file(Path(self.path), self.name, names, self.limits, self.columns, self.piece)

    def pieces(self) -> "Sequence[FileRows]":
        """Return the file in pieces that come one after the other; a file that cannot be read is one."""
        from smart_assets.tasks.formats import pieces_of

        pieces = pieces_of(Path(self.path), self.name, PIECE_BYTES, self.limits)
        return [replace(self, piece=piece) for piece in pieces]

    def as_json(self) -> dict[str, Any]:
        """Return it for another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FileRows":
        """Return what another process wrote."""
        named: dict[str, Any] = {**value["name"], "folders": tuple(value["name"]["folders"])}
        piece = None if value["piece"] is None else Piece(**value["piece"])
        return cls(value["path"], FileName(**named), value["columns"], FileLimits(**value["limits"]), piece)
