"""What no comparison holds, told in a chapter: tasks, rows and models by name, each with the cause."""

from collections.abc import Sequence
from dataclasses import replace

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import shorten
from smart_assets.report.content import NotShared
from smart_assets.report.layout import Chapter, Table, rows_cell, table, words

_WIDE = 400  # a cause tells which models, in which rows
_EVERYTHING = "Every model was asked every row that another was: nothing is left out."
_MEANING = (
    "What some models were not asked is in no comparison. `smart run`, or the schedule `retrain`, evaluates anew what "
    "was evaluated on other rows."
)


def with_left_out(chapter: Chapter, parts: Sequence[NotShared]) -> Chapter:
    """A chapter that compares models, with what each benchmark's comparisons leave out."""
    if not parts:
        return chapter
    told = [sentence for part in parts for sentence in _sentences(part)]
    tables = tuple(_table(part, place > 0) for place, part in enumerate(parts) if part.left_out)
    sentences = (*chapter.sentences, *((_MEANING, *told) if told else (_EVERYTHING,)))
    return replace(chapter, sentences=sentences, tables=(*chapter.tables, *tables))


def _sentences(part: NotShared) -> list[str]:
    title = shorten(part.title, 80)
    told: list[str] = []
    if not part.rows:
        told.append(f"{title}: nothing is compared, since no row was asked of all models.")
    if part.left_out:
        rows, tasks = sum(one.rows for one in part.left_out), sum(one.whole for one in part.left_out)
        of = f"{count(part.rows, 'row')} of {count(part.tasks, 'task')} are compared"
        told.append(f"{title}: {of}; left out are {count(rows, 'row')}, with them {count(tasks, 'task')} as a whole.")
    if part.models_left_out:
        told.append(f"{title}: {part.models_left_out}.")
    return told


def _table(part: NotShared, folded: bool) -> Table:
    rows = [
        [
            words(one.task),
            rows_cell(one.rows),
            words("no row" if one.whole else "its other rows"),
            words(one.cause, _WIDE),
        ]
        for one in part.left_out
    ]
    columns = ("Task", "Rows left out", "Compared", "Cause")
    return table(f"{shorten(part.title, 80)}: tasks with rows that not all models were asked.", columns, rows, folded)
