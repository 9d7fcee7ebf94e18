"""What was measured as a Markdown table, as a picture, and beside what was estimated."""

from collections.abc import Callable

import numpy as np

from benchmarks.cases import CASES, Failed, Measured, Outcome, Results, Row
from benchmarks.vectors import Vectors, variant
from smart_assets.selection.estimate import Estimate, estimate
from smart_assets.selection.rates import ROWS, Rates, measure_rates

HEIGHT = 9.0
"""Inches of the picture."""
_WHO = {"ours": "-", "submodlib": "--"}
_FACTOR = 2.0  # what estimates promise


def markdown_table(results: Results) -> str:
    """Return one row a case and size, ours beside submodlib's, under a line that names machine and vectors."""
    lines = [
        f"{results.machine}; {results.vectors}. Loading libraries and compiled code, once a process: "
        f"{_loading(results):.1f} s, not included.",
        "",
        "| objective | vectors | seconds | memory | submodlib: seconds | memory | times faster | times less memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in _ordered(results):
        ours, submodlib = _cells(row.ours), _cells(row.submodlib)
        cells = (CASES[row.case].title, f"{row.size:,}", *ours, *submodlib, _times(row.time_ratio))
        lines.append(f"| {' | '.join(cells)} | {_times(row.memory_ratio)} |")
    return "\n".join(lines)


def estimates_table(results: Results, vectors: Vectors) -> str:
    """Divide estimates by measured seconds and bytes for every row, rates measured now on some of its vectors."""
    sampled: dict[tuple[bool, int], Rates] = {}
    lines = ["| objective | vectors | seconds: estimated / measured | memory: estimated / measured | |"]
    lines.append("|---|---|---|---|---|")
    for row in _ordered(results):
        case = CASES[row.case]
        key = (case.nonnegative, row.size)
        if key not in sampled:
            sampled[key] = _rates_for(vectors, row.size, case.nonnegative)
        if isinstance(row.ours, Measured):
            found = estimate((row.size, row.width), case.objective, rates=sampled[key])
            lines.append(f"| {' | '.join((case.title, f'{row.size:,}', *_compared(found, row.ours)))} |")
    return "\n".join(lines)


def _rates_for(vectors: Vectors, size: int, nonnegative: bool) -> Rates:
    """Return those of a sample, as a user would take it; a small size is sampled from all that there is."""
    positions = np.linspace(0, max(size, min(ROWS, len(vectors))) - 1, ROWS).astype(np.int64)
    return measure_rates(variant(vectors, size, nonnegative, np.unique(positions)))


def _compared(found: Estimate, outcome: Measured) -> tuple[str, str, str]:
    seconds, taken = found.seconds / outcome.seconds, found.bytes / max(outcome.took_bytes, 1)
    wide = not (1 / _FACTOR <= seconds <= _FACTOR and 1 / _FACTOR <= taken <= _FACTOR)
    return (
        f"{found.seconds:.3g} / {outcome.seconds:.3g} = {seconds:.2f}",
        f"{found.bytes / 1e6:,.1f} / {outcome.took_bytes / 1e6:,.1f} MB = {taken:.2f}",
        "wide" if wide else "",
    )


def draw(results: Results) -> bytes:
    """Draw seconds and memory against the number of vectors, both axes logarithmic, as a PNG."""
    from smart_assets.report.canvas import colour, legend, marker, png, title
    from smart_assets.report.canvas import draw as panels

    figure, axes = panels(HEIGHT, 2)
    measures: tuple[Callable[[Measured], float], ...] = (lambda one: one.seconds, lambda one: one.took_bytes / 1e6)
    names = ("Seconds for ordering all vectors", "Memory at the peak beside the vectors, MB")
    for panel, name, measure in zip(axes, names, measures, strict=True):
        title(panel, name)
        panel.set_xscale("log")
        panel.set_yscale("log")
        for index, (key, case) in enumerate(CASES.items()):
            for who, line in _WHO.items():
                points = _points(results, key, who, measure)
                text = f"{case.title}, {who}" if panel is axes[0] and points else None
                sizes, values = [size for size, _ in points], [value for _, value in points]
                panel.plot(sizes, values, line, color=colour(index), marker=marker(index), markersize=5, label=text)
    axes[-1].set_xlabel("vectors")
    legend(figure)
    return png(figure)


def _points(results: Results, case: str, who: str, measure: Callable[[Measured], float]) -> list[tuple[int, float]]:
    found = ((row.size, row.ours if who == "ours" else row.submodlib) for row in _ordered(results) if row.case == case)
    return [(size, measure(outcome)) for size, outcome in found if isinstance(outcome, Measured)]


def _ordered(results: Results) -> list[Row]:
    return sorted(results.rows, key=lambda row: (list(CASES).index(row.case), row.size))


def _loading(results: Results) -> float:
    taken = [row.ours.loading_seconds for row in results.rows if isinstance(row.ours, Measured)]
    return float(np.median(taken)) if taken else float("nan")


def _cells(outcome: Outcome | None) -> tuple[str, str]:
    if outcome is None:
        return "", ""
    if isinstance(outcome, Failed):
        return outcome.failed, ""
    return f"{outcome.seconds:.3g}", f"{outcome.took_bytes / 1e6:,.0f} MB"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:,.1f}"
