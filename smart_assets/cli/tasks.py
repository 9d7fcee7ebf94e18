"""`smart tasks`: every task and file, what became of their rows, and what somebody should look at."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from smart_assets.assets import raw_tasks, task_scores
from smart_assets.assets.reading.repeated_texts import by_tasks, in_words, repeated_texts
from smart_assets.assets.reading.report_content import mixture_weights
from smart_assets.assets.reading.task_listing import ListedFile, ListedTask, TaskListing, list_tasks
from smart_assets.assets.records import RawTasksSummary, TaskScoresSummary
from smart_assets.assets.step import Inputs
from smart_assets.cli.plan import everything_made
from smart_assets.cli.terminal import IN_TERMINAL, console, first, literal, print_json, print_table
from smart_assets.core.errors import UpstreamMissingError
from smart_assets.core.formatting import count
from smart_assets.settings import Project, load_project
from smart_assets.tasks import similar_names

_COUNTS = ("rows", "training", "held_out", "evaluation_text", "refused", "long_prompts")
_CAPTIONS = {"held_out": "held out", "evaluation_text": "evaluation text", "long_prompts": "long prompts"}
_ALWAYS = ("rows", "training", "held_out", "refused")
_NO_TASK = "(names no task)"
_MOST_FILES = 20
_MOST_COLUMNS = 10
_MOST_REASONS = 3


def show_tasks(config: Path | None, form: Literal["json", "csv"] | None = None) -> None:
    """Show the tasks with their rows and weights, most rows first; then files with refused rows, and notes."""
    project = load_project(config)
    inputs = everything_made(project)
    listing = list_tasks(project, inputs, mixture_weights(project, inputs))
    if not listing.tasks and not listing.refused:
        raise UpstreamMissingError("raw_tasks was never made: `smart run --select raw_tasks` reads the sources")
    tasks = sorted(listing.tasks, key=lambda task: (-task.training, task.task is None, task.task or "", task.source))
    if form == "csv":
        _write_csv(tasks)
        return
    notes = list(_notes(project, inputs, listing))
    if form == "json":
        print_json({**{name: list(map(asdict, getattr(listing, name))) for name in ("tasks", "files")}, "notes": notes})
        return
    _show_table(tasks)
    _show_files(listing.files)
    for note in notes:
        console.print(literal(note, "yellow"))
    _show_proposals(inputs)


def _show_table(tasks: Sequence[ListedTask]) -> None:
    """Print the tasks and their sums; columns in which nothing stands are left out."""
    shown = [name for name in _COUNTS if name in _ALWAYS or any(getattr(task, name) for task in tasks)]
    recipes = _recipes(tasks)
    rows = [
        [
            task.source,
            _NO_TASK if task.task is None else task.task,
            *(getattr(task, name) for name in shown),
            *(_weight(task, recipe) for recipe in recipes),
        ]
        for task in tasks
    ]
    if len(rows) > 1:
        sums = [sum(getattr(task, name) for task in tasks) for name in shown]
        rows.append(["", "all", *sums, *("" for _ in recipes)])
    columns = ["source", "task", *(_CAPTIONS.get(name, name) for name in shown), *recipes]
    print_table(columns, rows, [index >= 2 for index, _ in enumerate(columns)])


def _recipes(tasks: Sequence[ListedTask]) -> list[str]:
    return list(dict.fromkeys(recipe for task in tasks for recipe in task.weights))


def _weight(task: ListedTask, recipe: str) -> str:
    """Return a task's share of a mixture, before caps; a task without a training row has none, whatever its weight."""
    if recipe not in task.weights:
        return ""
    return f"{task.weights[recipe]:.2%}" if task.training else "no row"


def _show_files(files: Sequence[ListedFile]) -> None:
    """Print the files that were not read, or of which rows are refused; the others are counted."""
    noted = [file for file in files if file.not_read is not None or file.refused]
    if not noted:
        return
    console.print()
    rows = [[file.source, file.file, file.accepted, file.refused, _why(file)] for file in first(noted, _MOST_FILES)]
    print_table(["source", "file", "accepted", "refused", "why"], rows)
    if len(rows) < len(noted):
        console.print(literal(f"and {len(noted) - len(rows):,} more; `--json` has all files"))
    if others := len(files) - len(noted):
        console.print(literal(f"of {count(others, 'other file')} every row is accepted"))


def _why(file: ListedFile) -> str:
    if file.not_read is not None:
        return f"not read: {file.not_read}"
    reasons = [f"{rows:,} x {reason}" for reason, rows in file.reasons.items()]
    more = len(reasons) - _MOST_REASONS if IN_TERMINAL else 0
    return ", ".join([*reasons[:_MOST_REASONS], f"and {more} more reasons"] if more > 0 else reasons)


def _notes(project: Project, inputs: Inputs, listing: TaskListing) -> Iterator[str]:
    """Yield what somebody should look at, in sentences."""
    sources = project.settings.sources
    made = {source: rows for source in sources if (rows := inputs.find(raw_tasks.NAME, source)) is not None}
    for source, why in listing.refused.items():
        earlier = ", its rows are those of before" if source in made else ""
        yield f"the last reading of `{source}` is not used{earlier}: {why}"
    for source, manifest in made.items():
        unread = RawTasksSummary.read(manifest).not_read or {}
        names = [f"{name} ({count(rows, 'row')})" for name, rows in first(list(unread.items()), _MOST_COLUMNS)]
        if names:
            more = f", and {len(unread) - len(names):,} more" if len(unread) > len(names) else ""
            yield f"not read of `{source}`: {', '.join(names)}{more}"
    for task in listing.tasks:
        if task.evaluation_text > task.training:
            of_training = task.evaluation_text + task.training
            yield (
                f"{task.evaluation_text:,} of {of_training:,} training rows of `{task.task}` hold evaluation text and "
                "are left out: `smart sql \"FROM evaluation_overlaps\"` says by which rule"
            )  # fmt: skip
    for names in similar_names.look_alikes(task.task for task in listing.tasks if task.task is not None):
        yield similar_names.in_words(names)
    if counts := by_tasks(repeated_texts(project, made)):
        said = in_words(counts)
        yield f"the same text stands under several tasks: {said}; a mixture takes it once, unless `repeat_texts` is set"


def _write_csv(tasks: Sequence[ListedTask]) -> None:
    """Write the tasks as CSV, with a column for each recipe's weight."""
    import duckdb
    import pyarrow as pa

    from smart_assets.cli.sql_answers import write_csv

    recipes = _recipes(tasks)
    columns = {
        **{name: [getattr(task, name) for task in tasks] for name in ("source", "task", *_COUNTS)},
        **{recipe: pa.array([task.weights.get(recipe) for task in tasks], pa.float64()) for recipe in recipes},
    }
    write_csv(duckdb.connect().from_arrow(pa.table(columns)), None)


def _show_proposals(inputs: Inputs) -> None:
    """Print a line for each objective: how uneven its weights are, and what M' it proposes."""
    scores = inputs.find(task_scores.NAME)
    if scores is None:
        return
    summary = TaskScoresSummary.read(scores)
    for objective, figures in summary.objectives.items():
        if figures.proposed_max_tasks is not None:  # scores of an older version lack it until they are made again
            line = (
                f"at temperature 1 the weights are worth {figures.effective_tasks:g} equal tasks of {summary.tasks:,}"
            )
            console.print(literal(f"{objective}: {line}; `max_tasks: auto` takes {figures.proposed_max_tasks:,}"))
