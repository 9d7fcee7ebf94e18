"""Text that is safe to show. Names, prompts and file names are hostile: they come from files that anybody may write.

Terminals and logs get `printable` or `in_line`, which keep what was there readable. The page, its pictures and
documents get `plain` or `shorten`, which drop what cannot be seen. Markdown gets `escaped`. HTML is escaped by the
template, and matplotlib's formulas by `canvas.label`.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_ANSI_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
# All that CommonMark or GitHub's tables, links and mentions could take as more than text.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~:@$\"^=])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST = 300  # characters of a name


def printable(text: str) -> str:
    """Return text without control characters: a terminal would obey them."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def in_line(text: str) -> str:
    """Return printable text in one line: breaks in it are written out, so that it cannot pass for other lines."""
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"))


def plain(text: str) -> str:
    """Return text on one line without ANSI sequences, control characters and invisible formatting."""
    spaced = "".join(" " if char.isspace() else char for char in _ANSI_SEQUENCE.sub("", text))
    kept = "".join(char for char in spaced if unicodedata.category(char) not in _DROPPED_CATEGORIES)
    return " ".join(kept.split())


def shorten(text: str, width: int) -> str:
    """Return plain text of at most `width` characters; the middle goes first, since names differ at their ends."""
    line = plain(text)
    if len(line) <= width:
        return line or "(no name)"
    tail = (width - 1) // 3
    return f"{line[: width - 1 - tail]}…{line[len(line) - tail :]}"


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Return plain text, cut after so many characters, that Markdown shows literally wherever in a line it stands."""
    line = plain(text)
    short = line if len(line) <= longest else f"{line[:longest]}…"
    safe = "".join(_HTML.get(letter, letter) for letter in _MARKDOWN.sub(r"\\\1", short))
    return re.sub(r"(?i)(www)\.", r"\1\\.", safe)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table of escaped values; its head alone where there are no rows."""
    lines = [list(columns), ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else escaped(str(value))
