"""The parts a page is built from: chapters with sentences, pictures and tables; the template knows nothing else.

Text in them is raw: it is cut to one clean line here and escaped by the template.
"""

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from smart_assets.core.formatting import mean_count, number, signed
from smart_assets.core.safe_text import shorten

TABLE_ROWS = 200
"""Rows of a table on the page; the caption says how many there are in all."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell; sort_key is what a click on the column's head sorts by, None for words."""

    text: str
    sort_key: float | None = None

    @property
    def sort_text(self) -> str:
        """The sort key as the page's script reads it."""
        return "-Infinity" if self.sort_key == -math.inf else str(self.sort_key)


def words(text: str, width: int = 60) -> Cell:
    """Return a cell of words on one line, cut to the width."""
    return Cell(shorten(text, width))


def rows_cell(rows: float) -> Cell:
    """Return a count of rows, or a mean of counts."""
    return Cell(mean_count(rows), rows)


def share_cell(share: float) -> Cell:
    """Return a share in [0, 1], as a percentage."""
    return Cell(f"{share:.2%}", share)


def value_cell(value: float | None) -> Cell:
    """Return a measured value; None is a dash, and sorts lowest like a value that is not finite."""
    if value is None:
        return Cell("–", -math.inf)
    return Cell(number(value), value if math.isfinite(value) else -math.inf)


def signed_cell(difference: float) -> Cell:
    """Return a measured difference, with its sign."""
    return Cell(signed(difference), difference if math.isfinite(difference) else -math.inf)


@dataclass(frozen=True, slots=True)
class CaptionedTable:
    """A captioned table; a folded one opens on a click."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], folded: bool = False) -> CaptionedTable:
    """Return a table of the first `TABLE_ROWS` rows, its caption saying so where there are more."""
    capped = f" Showing {TABLE_ROWS:,} of {len(rows):,}." if len(rows) > TABLE_ROWS else ""
    shown = tuple(tuple(row) for row in rows[:TABLE_ROWS])
    return CaptionedTable(caption + capped, tuple(shorten(column, 60) for column in columns), shown, folded)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG and the words for those who cannot see it."""

    png: bytes
    alt: str

    @property
    def address(self) -> str:
        """The picture as a data URL, so that the page needs no other file."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences one below the other; folded ones open on a click."""

    heading: str
    sentences: tuple[str, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Chapter:
    """One question the page answers."""

    anchor: str
    title: str
    sentences: tuple[str, ...]
    pictures: tuple[Picture, ...] = ()
    tables: tuple[CaptionedTable, ...] = ()
    bullets: tuple[Bullets, ...] = ()
