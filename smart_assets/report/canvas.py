"""The paper that pictures are drawn on: size, colours, and PNG bytes that are equal for equal content.

Figures are objects of their own (no pyplot, so no global state and no display). The palette is Okabe and Ito's, told
apart by all common kinds of colour vision; lines differ by marker too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from smart_assets.core.safe_text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

WIDTH = 10.0
"""Inches; at `DPI` 160 a picture is 1,600 pixels wide, and made to be read at 1,000."""

DPI = 160
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#222222"
QUIET = "#767676"
PALE = "#D9D9D9"
SHOWN_TASKS = 40
"""Tasks named one by one in a picture; the rest are summed as others."""

_BOX = "□"
_PLACES: tuple[tuple[int, int, Literal["left", "center", "right"], Literal["bottom", "center", "top"]], ...] = (
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
)


def colour(index: int) -> str:
    """Return the palette's colour for the index, from the start again when it ends."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Return the marker for the index; seven markers beside seven colours, shifted each round so that pairs differ."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def draw(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a white figure of the common width with that many panels one below the other, sharing the x axis."""
    figure = _blank(height)
    grid: Any = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, _styled(list(np.ravel(grid)))


def draw_beside(height: float, widths: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a white figure of the common width with panels of those relative widths side by side, each with axes."""
    figure = _blank(height)
    grid: Any = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)
    return figure, _styled(list(np.ravel(grid)))


def _blank(height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)  # keeps one renderer; without it each text measured makes its own
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    return figure


def _styled(axes: list[Axes]) -> list[Axes]:
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=10, colors=INK)
        panel.set_axisbelow(True)
        panel.grid(color="#EEEEEE")
    return axes


def title(axes: Axes, text: str) -> None:
    """Write what is seen above the panel, on the left; text from outside must have passed `label`."""
    axes.set_title(text, loc="left", fontsize=12, color=INK, fontweight="bold", wrap=True)


def heading(figure: Figure, text: str) -> None:
    """Write what is seen above panels that stand side by side; text from outside must have passed `label`."""
    figure.suptitle(text, x=0.01, horizontalalignment="left", fontsize=12, color=INK, fontweight="bold")


def legend(figure: Figure, heading: str | None = None) -> None:
    """Put the legend below the panels, where it covers nothing."""
    figure.legend(title=heading, loc="outside lower center", ncols=4, fontsize=9, title_fontsize=9, frameon=False)


def png(figure: Figure) -> bytes:
    """Draw the figure as PNG; without the drawing program's name and time, so that equal content gives equal bytes."""
    buffer = BytesIO()
    # Packing harder costs as much time as the drawing, and saves a few per cent of the page.
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def label(text: str, width: int = 34) -> str:
    """Return a shortened name as pictures write it.

    `$` stands for itself, what the font cannot draw is a box, and a leading underscore, which legends take for hidden,
    is moved off the start.
    """
    drawable = _drawable()
    kept = "".join(char if ord(char) in drawable else _BOX for char in shorten(text, width))
    return (" " + kept if kept.startswith("_") else kept).replace("$", r"\$")


@cache
def _drawable() -> frozenset[int]:
    """Return the code points of the font that comes with matplotlib, and so is the same everywhere."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def bar_end(axes: Axes, end: float, height: float, text: str) -> None:
    """Write small text beyond the end of a horizontal bar; where the bar is cut at the picture's edge, inside it."""
    cut = end > axes.get_xlim()[1]
    axes.annotate(
        f"{text} (bar is cut)" if cut else text,
        (axes.get_xlim()[1] if cut else end, height),
        xytext=(-6 if cut else 3, 0), textcoords="offset points", ha="right" if cut else "left", va="center",
        fontsize=8, color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1} if cut else None,
    )  # fmt: skip


def intervals(axes: Axes, bars: Sequence[tuple[float, tuple[float, float] | None]], shade: str) -> None:
    """Draw vertical bars with caps, each at its place from low to high; bounds that are no number draw nothing."""
    for place, bounds in bars:
        if bounds is not None and np.isfinite(bounds).all():
            axes.plot([place, place], bounds, color=shade, linewidth=1.2, marker="_", markersize=8)


@dataclass(frozen=True, slots=True)
class NamedDisc:
    """A disc in a scatter plot and the name to be written beside it."""

    name: str
    position: tuple[float, float]  # in the units of the axes
    radius: float  # points


def name_discs(figure: Figure, axes: Axes, discs: Sequence[NamedDisc]) -> None:
    """Write names beside discs, the first ones first, clear of other discs where there is room for it.

    A name that would cover another on all four sides is left out.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    around: list[BboxBase] = []
    for disc in discs:
        (x, y), radius = axes.transData.transform(disc.position), disc.radius * DPI / 72
        around.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
    written: list[BboxBase] = []
    for disc in discs:
        tried = [(text, text.get_window_extent()) for text in _names_around(axes, disc)]
        free = [(text, box) for text, box in tried if _within(axes, box) and not box.count_overlaps(written)]
        best = min(free, key=lambda place: place[1].count_overlaps(around), default=None)
        written += [best[1]] if best else []
        for text, _ in tried:
            if best is None or text is not best[0]:
                text.remove()


def _within(axes: Axes, box: BboxBase) -> bool:
    return axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1


def _names_around(axes: Axes, disc: NamedDisc) -> list[Annotation]:
    from matplotlib.patheffects import withStroke

    halo, gap = [withStroke(linewidth=2.5, foreground="white")], disc.radius + 3
    return [
        axes.annotate(
            disc.name, disc.position, xytext=(right * gap, up * gap), textcoords="offset points",
            ha=horizontal, va=vertical, fontsize=8.5, color=INK, in_layout=False, path_effects=halo,
        )
        for right, up, horizontal, vertical in _PLACES
    ]  # fmt: skip
