"""What the commands share: the console, tables of hostile text, and the progress of a run."""

import json
import math
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from smart_assets.core.progress import Log
from smart_assets.core.safe_text import printable
from smart_assets.planning.plan import PlanStep

Row = TypeVar("Row")

IN_TERMINAL = sys.stdout.isatty()
"""Whether somebody looks on: files and pipes get whole values and all rows, exact, and have no edge to fold at."""

_NO_EDGE = 1_000_000
console = Console(highlight=False, width=None if IN_TERMINAL else _NO_EDGE)
errors = Console(highlight=False, stderr=True, width=None if sys.stderr.isatty() else _NO_EDGE)


def to_stderr(line: str) -> None:
    """Print a notice that is no part of what a command puts out."""
    print(printable(line), file=sys.stderr, flush=True)


def first(rows: Sequence[Row], count: int) -> Sequence[Row]:
    """Return the first rows in a terminal, all of them elsewhere."""
    return rows[: count if IN_TERMINAL else None]


def shortened(digits: str | None, count: int = 12) -> str:
    """Return the first digits of a hash in a terminal, all of them elsewhere; nothing where there is none."""
    return (digits or "")[: count if IN_TERMINAL else None]


def literal(value: object, style: str = "") -> Text:
    """Any value as text that rich takes literally: no markup, no control characters."""
    return Text(printable(str(value)), style=style)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[bool] | None = None) -> None:
    """Print a table; columns whose values are all numbers stand on the right, or those that `right` says."""
    content = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numbers = bool(content) and all(isinstance(row[index], int | float | None) for row in content)
        on_right = numbers if right is None else right[index]
        table.add_column(literal(name), justify="right" if on_right else "left", overflow="fold")
    for row in content:
        table.add_row(*(literal(_shown(value)) for value in row))
    console.print(table)


def _shown(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if IN_TERMINAL else str(float(value)).removesuffix(".0")
    return f"{value:,}" if IN_TERMINAL and isinstance(value, int) else value


@contextmanager
def spinner(doing: str) -> Generator[Log]:
    """Show the progress of long work: the last line beside a spinner in a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield lambda line: console.print(literal(line))
        return
    with console.status(literal(doing)) as status:
        yield lambda line: status.update(literal(line, "dim"))


def print_json(value: object) -> None:
    """Print JSON of plain letters only: no control character in it, and no markup where a page takes it in.

    Numbers that JSON does not have are texts: "NaN", "Infinity", "-Infinity".
    """
    text = json.dumps(_finite(value), indent=1, allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    print(text)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast("dict[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("Sequence[object]", value)]
    return not_finite(value) or value if isinstance(value, float) else value


def not_finite(value: float) -> str | None:
    """Return the text that stands for a number that JSON does not have; None for one that it has."""
    if math.isfinite(value):
        return None
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class TerminalDisplay:
    """The steps of a run: a spinner with the last log line in a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._spinner: Status | None = None
        self._started = time.monotonic()

    def begin(self, step: PlanStep) -> None:
        """Say that a step begins, and why."""
        why = f" ({'; '.join(step.reasons)})" if step.reasons and step.status != "missing" else ""
        console.print(literal(f"· {step.key}{why}", "dim"))
        self._started = time.monotonic()

    def log(self, line: str) -> None:
        """Show a line of a step's log."""
        if not console.is_terminal:
            console.print(literal(f"    {line}"))
            return
        if self._spinner is None:
            self._spinner = console.status("")
            self._spinner.start()
        self._spinner.update(literal(line.splitlines()[0] if line else "", "dim"))

    def warn(self, line: str) -> None:
        """Show a line that stays: what somebody should look at."""
        console.print(literal(f"    warning: {line}", "yellow"))

    def end(self, step: PlanStep, error: str | None) -> None:
        """Say how a step ended."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        if error is None:
            console.print(Text("✓ ", "green") + literal(step.key))
        else:
            errors.print(Text("✗ ", "red") + literal(f"{step.key}: {error}"))
