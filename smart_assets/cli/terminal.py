"""What the commands share: the console, tables of hostile text, and the progress of a run."""

import json
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from smart_assets.lineage.plan import PlanStep
from smart_assets.printable import printable
from smart_assets.progress import Log

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=240)  # files and pipes have no edge to fold at


def plain(value: object, style: str = "") -> Text:
    """Any value as text that rich takes literally: no markup, no control characters."""
    return Text(printable(str(value)), style=style)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns whose values are all numbers stand on the right."""
    content = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numbers = all(isinstance(row[index], int | float | None) for row in content)
        table.add_column(plain(name), justify="right" if numbers and content else "left", overflow="fold")
    for row in content:
        table.add_row(*(plain(_shown(value)) for value in row))
    console.print(table)


def _shown(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else value


@contextmanager
def spinner(doing: str) -> Generator[Log]:
    """Where long work tells its progress: the last line beside a spinner in a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield lambda line: console.print(plain(line))
        return
    with console.status(plain(doing)) as status:
        yield lambda line: status.update(plain(line, "dim"))


def print_json(value: object) -> None:
    """Print JSON of plain letters only: no control character in it, and no markup where a page takes it in."""
    text = json.dumps(value, indent=1)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    print(text)


class TerminalDisplay:
    """The steps of a run: a spinner with the last log line in a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._spinner: Status | None = None
        self._started = time.monotonic()

    def begin(self, step: PlanStep) -> None:
        """Say that a step begins, and why."""
        why = f" ({'; '.join(step.reasons)})" if step.reasons and step.status != "missing" else ""
        console.print(plain(f"· {step.key}{why}", "dim"))
        self._started = time.monotonic()

    def log(self, line: str) -> None:
        """Show a line of a step's log."""
        if not console.is_terminal:
            console.print(plain(f"    {line}"))
            return
        if self._spinner is None:
            self._spinner = console.status("")
            self._spinner.start()
        self._spinner.update(plain(line.splitlines()[0] if line else "", "dim"))

    def end(self, step: PlanStep, error: str | None) -> None:
        """Say how a step ended."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        if error is None:
            console.print(Text("✓ ", "green") + plain(step.key))
        else:
            console.print(Text("✗ ", "red") + plain(f"{step.key}: {error}"))
