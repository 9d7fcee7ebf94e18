"""How numbers, counts and lists of names are written on the page, in pictures and in documents."""

import math

from smart_assets.core.metrics import HELD_OUT
from smart_assets.core.safe_text import shorten


def number(value: float) -> str:
    """Return a measured value with four decimals, fewer where it is large."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def signed(value: float) -> str:
    """Return a difference as `number` writes values, with its sign."""
    sign = "" if value < 0 or not math.isfinite(value) else "+"
    return sign + number(value)


def count(rows: int, noun: str = "") -> str:
    """Return a count with thousands separated, and its noun: `1 row`, `1,200 rows`."""
    if not noun:
        return f"{rows:,}"
    return f"{rows:,} {noun if rows == 1 else noun + 's'}"


def mean_count(rows: float) -> str:
    """Return a mean of counts with as many digits as tell it from none: `1,200`, `12.5`, `0.27`."""
    whole = abs(rows - round(rows)) < 1e-6  # sums of means are whole but for rounding
    return f"{rows:,.0f}" if whole else f"{rows:,.{1 if rows >= 1 else 2}f}"


def listing(names: list[str], shown: int = 10) -> str:
    """Names as `a, b and c`, with the number of those beyond the first few."""
    short = [shorten(name, 60) for name in names[:shown]]
    if len(names) > shown:
        short.append(f"{len(names) - shown:,} more")
    return " and ".join(filter(None, [", ".join(short[:-1]), *short[-1:]]))


def benchmark_title(benchmark: str, unseen: bool | None = None) -> str:
    """Return a benchmark in words; `unseen` tells tasks that no mixture holds from those that may be in one."""
    if benchmark != HELD_OUT:
        return benchmark
    return "Held-out rows" if unseen is None else f"Held-out rows of {'unseen' if unseen else 'seen'} tasks"
