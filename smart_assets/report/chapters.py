"""The chapters about the tasks and the mixtures: what there is, how it was weighed, and what was left out.

Each function turns one part of the content into a chapter, and a missing part into a sentence that says so.
"""

import numpy as np

from smart_assets.core.formatting import count, listing
from smart_assets.core.safe_text import shorten
from smart_assets.mixture.task_scores import weights_by_temperature
from smart_assets.report import gain_pictures, pictures
from smart_assets.report.content import (
    MixtureBudgets,
    NearDuplicatePair,
    ObjectiveGains,
    Provenance,
    RejectedRow,
    ReportContent,
    TaskKernel,
)
from smart_assets.report.layout import Cell, Chapter, Picture, Table, rows_cell, share_cell, table, value_cell, words
from smart_assets.training.settings import LOSS_MEANS

_PICTURED_BUDGETS = 4
_CLOSEST_PAIRS = 20
_EXAMPLES = 50
_NEARLY_EVEN = 0.9  # effective tasks of all tasks, from which a temperature counts as evening the weights


def task_chapter(content: ReportContent) -> Chapter:
    """The map of the tasks, their rows, and their weight in each recipe's mixture."""
    if not content.tasks:
        return Chapter("tasks", "Tasks", ("No task has been read yet.",))
    weighed = [recipe for recipe in content.recipes if any(recipe in task.mixture_weights for task in content.tasks)]
    drawn: list[Picture] = []
    if content.plane is not None:
        alt = f"Scatter plot of {count(len(content.tasks), 'task')} in two principal components of their prompt means."
        drawn.append(Picture(pictures.task_map(content.plane, content.tasks, next(iter(weighed), None)), alt))
    alt = "Bars with the accepted and rejected rows of each task; the numbers are in the table below."
    drawn.append(Picture(pictures.row_counts(content.tasks), alt))
    columns = ["Task", "Source", "Training rows", "Validation rows", "Rejected rows", *(f"{r} weight" for r in weighed)]
    largest_first = sorted(content.tasks, key=lambda task: -task.train_rows)
    rows = [
        [words(task.task), words(task.source)]
        + [rows_cell(rows) for rows in (task.train_rows, task.validation_rows, task.rejected_rows)]
        + [share_cell(task.mixture_weights.get(recipe, 0.0)) for recipe in weighed]
        for task in largest_first
    ]
    sentences = ["Tasks that lie close together on the map have prompts that are alike on average."]
    if content.plane is None:
        sentences = ["The tasks' prompts have not been embedded yet, so there is no map."]
    listed = table("Tasks, the largest first.", columns, rows)
    return Chapter("tasks", "Tasks", tuple(sentences), tuple(drawn), (listed,))


def budget_chapter(content: ReportContent) -> Chapter:
    """How many rows each task gives to each mixture."""
    heading = ("budgets", "Task budgets")
    if not content.mixtures:
        return Chapter(*heading, ("No mixture has been selected yet.",))
    budgets = sorted({mixture.budget for mixture in content.mixtures})
    drawn = [_budget_picture(content, budget) for budget in budgets[:_PICTURED_BUDGETS]]
    omitted = len(budgets) - len(drawn)
    sentences = ["Each mixture takes this many training rows from each task."]
    if omitted:
        sentences.append(f"The {omitted} largest budgets are in the tables only.")
    return Chapter(*heading, tuple(sentences), tuple(drawn), (_mixture_table(content), _budget_table(content)))


def gain_chapter(content: ReportContent) -> Chapter:
    """The greedy order of the tasks with gains and weights, for each objective in use."""
    heading = ("gains", "Gains and weights")
    if not content.objectives:
        return Chapter(*heading, ("No recipe in use weighs its tasks by an objective, or none has been computed yet.",))
    sentences = ["A task's weight is the Taylor softmax 1 + g + g²/2 of its gain g, divided by the sum over the tasks."]
    sentences += [_evenness(gains) for gains in content.objectives if gains.tasks]
    sentences += [_negative_gains(gains) for gains in content.objectives if (gains.gains < 0).any()]
    drawn = [picture for gains in content.objectives for picture in _gain_pictures(gains)]
    return Chapter(*heading, tuple(sentences), tuple(drawn), tuple(_gain_table(gains) for gains in content.objectives))


def kernel_chapter(content: ReportContent) -> Chapter:
    """The cosine of every two tasks, and the closest pairs by name."""
    heading = ("kernel", "How alike the tasks are")
    if content.kernel is None:
        return Chapter(*heading, ("The tasks' prompts have not been embedded yet.",))
    sentence = "Cosine of the tasks' mean vectors; tasks are ordered so that similar ones stand side by side."
    alt = f"Matrix of cosines of {count(len(content.kernel.tasks), 'task')}; the closest pairs are in the table below."
    picture = Picture(pictures.task_kernel(content.kernel), alt)
    return Chapter(*heading, (sentence,), (picture,), (_closest_pairs(content.kernel),))


def rejection_chapter(content: ReportContent) -> Chapter:
    """What was not accepted, and why."""
    rejections = content.rejections
    total = sum(reason.rows for reason in rejections.counts)
    sentences = [f"{count(total, 'row')} rejected." if total else "No row was rejected."]
    if rejections.tasks_left_out:
        noun = count(len(rejections.tasks_left_out), "task")
        sentences.append(
            f"{noun} left out for lack of an accepted row: {listing(list(rejections.tasks_left_out), 40)}."
        )
    tables: list[Table] = []
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
    """Prompts that nearly repeat each other."""
    heading = ("near-duplicates", "Near duplicates")
    found = content.near_duplicates
    if found is None:
        return Chapter(*heading, ("No similarity index has been built yet.",))
    sentence = f"{count(found.pairs, 'pair')} of prompts have a cosine of {found.threshold:g} or more."
    if not found.pairs:
        sentence = f"No two prompts have a cosine of {found.threshold:g} or more."
    alt = "Histogram of the cosine of each prompt to its nearest other prompt, with the threshold of near duplicates."
    drawn = (Picture(pictures.similarity_histogram(found.neighbour_cosines, found.threshold), alt),)
    columns = ("Cosine", "First task", "First prompt", "Second task", "Second prompt")
    rows = [_near_duplicate_row(pair) for pair in found.examples[:_EXAMPLES]]
    caption = f"The closest pairs, {len(rows)} of {count(found.pairs)}."
    return Chapter(*heading, (sentence,), drawn, (table(caption, columns, rows),) if rows else ())


def provenance_chapter(content: ReportContent) -> Chapter:
    """From which versions of what the page was made."""
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
    """What the evaluated models learnt to lower; a warning where not all of them learnt the same."""
    losses = made_from.training_losses
    if not losses:
        return ()
    listed = "; ".join(
        f"{LOSS_MEANS[name]} (finetune.loss: {name}), {count(models, 'model')}"
        for name, models in sorted(losses.items())
    )
    warning = "Not all models learnt the same loss: differences between them are not of the mixtures alone."
    return (f"Loss of the training: {listed}.", *[warning] * (len(losses) > 1))


def _budget_picture(content: ReportContent, budget: int) -> Picture:
    mixtures = [mixture for mixture in content.mixtures if mixture.budget == budget]
    alt = f"Bars with each task's rows in the mixtures of {budget:,} rows; the numbers are in the table below."
    return Picture(pictures.task_budget_bars(mixtures, content.recipes), alt)


def _mixture_table(content: ReportContent) -> Table:
    columns = ("Budget", "Recipe", "Rows", "Tasks", "Effective tasks", "Largest task", "Its share")
    rows = [_mixture_row(mixture) for mixture in _by_budget(content)]
    caption = "Mixtures. Effective tasks is 1 / Σ share²: the number of equal tasks that would be as concentrated."
    if any(rows != round(rows) for mixture in content.mixtures for rows in mixture.rows.values()):
        caption += " Rows of a task are means over the seeds where each draws its own; a task counts where any has it."
    return table(caption, columns, rows)


def _budget_table(content: ReportContent) -> Table:
    mixtures = _by_budget(content)
    available = {task.task: task.train_rows for task in content.tasks}
    tasks = dict.fromkeys([*available, *(task for mixture in mixtures for task in mixture.rows)])
    largest_first = sorted(tasks, key=lambda task: -max(mixture.rows.get(task, 0) for mixture in mixtures))
    columns = ["Task", "Training rows", *(f"{mixture.recipe}, {mixture.budget:,}" for mixture in mixtures)]
    rows = [
        [
            words(task),
            rows_cell(available.get(task, 0)),
            *(rows_cell(mixture.rows.get(task, 0)) for mixture in mixtures),
        ]
        for task in largest_first
    ]
    return table("Task budgets (rows) by recipe and budget, the largest first.", columns, rows)


def _by_budget(content: ReportContent) -> list[MixtureBudgets]:
    return sorted(content.mixtures, key=lambda mixture: (mixture.budget, content.recipes.index(mixture.recipe)))


def _mixture_row(mixture: MixtureBudgets) -> list[Cell]:
    total = sum(mixture.rows.values())
    largest = max(mixture.rows, key=lambda task: mixture.rows[task], default="–")
    return [
        rows_cell(mixture.budget),
        words(mixture.recipe),
        rows_cell(round(total)),
        rows_cell(sum(rows > 0 for rows in mixture.rows.values())),
        Cell(f"{mixture.effective_tasks:,.1f}", mixture.effective_tasks),
        words(largest),
        share_cell(mixture.rows.get(largest, 0) / max(1, total)),
    ]


def _gain_table(gains: ObjectiveGains) -> Table:
    picks = zip(gains.tasks, gains.gains, gains.weights, strict=True)
    rows = [
        [rows_cell(place), words(task), value_cell(float(gain)), share_cell(float(weight))]
        for place, (task, gain, weight) in enumerate(picks, start=1)
    ]
    caption = f"Greedy order under {shorten(gains.objective, 80)}."
    return table(caption, ("Pick", "Task", "Marginal gain", "Weight"), rows, folded=True)


def _gain_pictures(gains: ObjectiveGains) -> list[Picture]:
    name = shorten(gains.objective, 60)
    curve = f"Value, gains and weights of tasks in greedy order under {name}, with the bend of the value."
    effect = f"Effective tasks against the temperature, and weights at some temperatures, under {name}."
    return [
        Picture(gain_pictures.gain_curve(gains), curve),
        Picture(gain_pictures.temperature_effect(gains), effect),
    ]


def _evenness(gains: ObjectiveGains) -> str:
    """How uneven the weights are, the first temperature that nearly evens them, and where the value bends."""
    tempered = [weights for weights in weights_by_temperature(gains.gains) if weights.temperature >= 1]
    proposed, tasks = gains.proposed_max_tasks, len(gains.tasks)
    nearly_even = [weights for weights in tempered if weights.effective_tasks >= _NEARLY_EVEN * tasks]
    plain, even = tempered[0], [*nearly_even, tempered[-1]][0]
    sentences = [
        f"Under {shorten(gains.objective, 60)}, at temperature {plain.temperature:g} the weights are worth "
        f"{plain.effective_tasks:,.1f} equal tasks of {tasks:,}; the largest task takes {plain.largest_weight:.1%} of "
        f"the mixture, {plain.largest_over_equal:,.1f} times an equal share.",
        f"Temperature {even.temperature:,g} gives {even.effective_tasks:,.1f}." if even is not plain else "",
        f"The value bends after {count(proposed, 'task')}." if proposed < tasks else "The value does not bend.",
    ]
    return " ".join(filter(None, sentences))


def _negative_gains(gains: ObjectiveGains) -> str:
    return (
        f"Gains below 0 under {shorten(gains.objective, 60)}: {int((gains.gains < 0).sum()):,}. "
        "1 + g + g²/2 rises again once g falls below −1, so that a later pick can weigh more than an earlier one."
    )


def _closest_pairs(kernel: TaskKernel) -> Table:
    first, second = np.triu_indices(len(kernel.tasks), k=1)
    cosines = kernel.similarities[first, second]
    closest = np.argsort(-cosines, kind="stable")[:_CLOSEST_PAIRS]
    rows = [
        [value_cell(float(cosines[at])), words(kernel.tasks[first[at]]), words(kernel.tasks[second[at]])]
        for at in closest
    ]
    caption = f"The {len(rows)} closest of {count(len(cosines), 'pair')} of tasks."
    return table(caption, ("Cosine", "First task", "Second task"), rows)


def _rejected_row(row: RejectedRow) -> list[Cell]:
    line = Cell("–", 0) if row.line is None else rows_cell(row.line)
    return [words(row.file, 60), line, words(row.reason, 160), words(row.source), words(row.excerpt or "–", 160)]


def _near_duplicate_row(pair: NearDuplicatePair) -> list[Cell]:
    first, second = words(pair.first_prompt, 160), words(pair.second_prompt, 160)
    return [value_cell(pair.cosine), words(pair.first_task), first, words(pair.second_task), second]
