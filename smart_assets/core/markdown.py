"""Markdown around hostile text: names of tasks and files are shown as they are, and never obeyed."""

import re
from collections.abc import Iterable, Sequence

from smart_assets.core.formatting import plain

# All that CommonMark or GitHub's tables, links and mentions could take as more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~:@$\"^=])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST = 300  # characters of a name


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Text on one line, cut after so many characters, that Markdown shows literally wherever in a line it stands."""
    line = plain(text)
    short = line if len(line) <= longest else f"{line[:longest]}…"
    safe = "".join(_HTML.get(letter, letter) for letter in _SPECIAL.sub(r"\\\1", short))
    return re.sub(r"(?i)(www)\.", r"\1\\.", safe)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of escaped values; an empty line's worth of text where there are no rows."""
    lines = [list(columns), ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else escaped(str(value))
