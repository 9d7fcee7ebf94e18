"""What was measured as a Markdown table and as a picture."""

from collections.abc import Callable

import numpy as np

from benchmarks.cases import CASES, Failed, Measured, Outcome, Results, Row

HEIGHT = 9.0
"""Inches of the picture."""
_WHO = {"ours": "-", "submodlib": "--"}


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
