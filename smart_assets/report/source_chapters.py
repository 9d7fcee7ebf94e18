"""The chapters about what was read: rejected rows, near duplicates, and the versions that the page was made from."""

from __future__ import annotations

from math import floor

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.formatting import count, listing
from smart_assets.core.safe_text import shorten
from smart_assets.report import canvas
from smart_assets.report.content import (
    NearDuplicatePair,
    Provenance,
    RejectedRow,
    ReportContent,
)
from smart_assets.report.layout import CaptionedTable, Cell, Chapter, Picture, rows_cell, table, value_cell, words
from smart_assets.training.settings import LOSS_MEANS

_EXAMPLES = 50


def rejection_chapter(content: ReportContent) -> Chapter:
    """Show what was not accepted, and why."""
    rejections = content.rejections
    total = sum(reason.rows for reason in rejections.counts)
    sentences = [f"{count(total, 'row')} rejected." if total else "No row was rejected."]
    if rejections.tasks_left_out:
        noun = count(len(rejections.tasks_left_out), "task")
        sentences.append(
            f"{noun} left out for lack of an accepted row: {listing(list(rejections.tasks_left_out), 40)}."
        )
    tables: list[CaptionedTable] = []
    if rejections.counts:
        counts = sorted(rejections.counts, key=lambda reason: -reason.rows)
        rows = [[words(reason.source), words(reason.reason, 160), rows_cell(reason.rows)] for reason in counts]
        tables.append(table("Rejected rows by source and reason.", ("Source", "Reason", "Rows"), rows))
    if rejections.examples:
        shown = rejections.examples[:_EXAMPLES]
        caption = f"Examples of rejected rows, {len(shown)} of {count(max(total, len(shown)))}."
        columns = ("File", "Line", "Reason", "Source", "Excerpt")
        tables.append(table(caption, columns, [_rejected_row(row) for row in shown]))
    return Chapter("rejected", "Rejected rows", tuple(sentences), (), tuple(tables))


def near_duplicate_chapter(content: ReportContent) -> Chapter:
    """Show prompts that nearly repeat each other."""
    heading = ("near-duplicates", "Near duplicates")
    near_duplicates = content.near_duplicates
    if near_duplicates is None:
        return Chapter(*heading, ("No similarity index has been built yet.",))
    sentence = (
        f"{count(near_duplicates.pairs, 'pair')} of prompts have a cosine of {near_duplicates.threshold:g} or more."
    )
    if not near_duplicates.pairs:
        sentence = f"No two prompts have a cosine of {near_duplicates.threshold:g} or more."
    alt = "Histogram of the cosine of each prompt to its nearest other prompt, with the threshold of near duplicates."
    drawn = (Picture(similarity_histogram(near_duplicates.neighbour_cosines, near_duplicates.threshold), alt),)
    columns = ("Cosine", "First task", "First prompt", "Second task", "Second prompt")
    rows = [_near_duplicate_row(pair) for pair in near_duplicates.examples[:_EXAMPLES]]
    caption = f"The closest pairs, {len(rows)} of {count(near_duplicates.pairs)}."
    return Chapter(*heading, (sentence,), drawn, (table(caption, columns, rows),) if rows else ())


def provenance_chapter(content: ReportContent) -> Chapter:
    """Show from which versions of what the page was made."""
    heading = ("provenance", "Provenance")
    made_from = content.provenance
    if made_from is None:
        return Chapter(*heading, ("Nothing was recorded about what this page was made from.",))
    columns = ("Asset", "Partition", "Content version", "Made at")
    artifacts = [
        [words(a.asset), words(a.partition), words(a.content_version), words(a.made_at)] for a in made_from.artifacts
    ]
    packages = [[words(name), words(version)] for name, version in sorted(made_from.packages.items())]
    tables = (
        table("Content versions this page was made from.", columns, artifacts),
        table("Packages.", ("Package", "Version"), packages, folded=True),
    )
    sentences = (f"Settings hash {shorten(made_from.settings_hash, 80)}.", *training_losses(made_from))
    return Chapter(*heading, sentences, (), tables)


def training_losses(made_from: Provenance) -> tuple[str, ...]:
    """Return what the evaluated models learnt to lower; a warning where not all of them learnt the same."""
    losses = made_from.training_losses
    if not losses:
        return ()
    listed = "; ".join(
        f"{LOSS_MEANS[name]} (finetune.loss: {name}), {count(models, 'model')}"
        for name, models in sorted(losses.items())
    )
    warning = "Not all models learnt the same loss: differences between them are not of the mixtures alone."
    return (f"Loss of the training: {listed}.", *[warning] * (len(losses) > 1))


def _rejected_row(row: RejectedRow) -> list[Cell]:
    line = Cell("–", 0) if row.line is None else rows_cell(row.line)
    return [words(row.file, 60), line, words(row.reason, 160), words(row.source), words(row.excerpt or "–", 160)]


def _near_duplicate_row(pair: NearDuplicatePair) -> list[Cell]:
    first, second = words(pair.first_prompt, 160), words(pair.second_prompt, 160)
    return [value_cell(pair.cosine), words(pair.first_task), first, words(pair.second_task), second]


def similarity_histogram(neighbour_cosines: NDArray[np.floating], threshold: float) -> bytes:
    """Draw how close each prompt's nearest other prompt is, with the threshold of near duplicates.

    Args:
        neighbour_cosines: (n,) cosine of each row's nearest other row, in [-1, 1]; not finite where there is none.
        threshold: cosine from which two prompts are near duplicates.
    """
    figure, [axes] = canvas.draw(4.5)
    cosines = neighbour_cosines[np.isfinite(neighbour_cosines)]
    lowest = floor(10 * float(cosines.min(initial=0.9))) / 10
    axes.hist(np.clip(cosines, lowest, 1), bins=60, range=(lowest, 1), color=canvas.PALETTE[0])
    near = int((cosines >= threshold).sum())
    label = f"near duplicate from {threshold:g}: {count(near, 'row')} ({near / max(1, len(cosines)):.1%})"
    axes.axvline(threshold, color=canvas.PALETTE[4], linestyle="--", label=label)
    axes.set_xlabel("cosine similarity to the nearest other prompt of the source")
    axes.set_ylabel("rows")
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    canvas.title(axes, f"How close {count(len(cosines), 'prompt')} lie to their nearest neighbour")
    return canvas.png(figure)
