"""`selected_subset`: the rows that a recipe takes for a budget, from the training rows of all seen tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import evaluation_overlap, instance_orderings, raw_tasks, task_scores
from smart_assets.assets.evaluation_overlap import FOUND, by_kind
from smart_assets.assets.instance_orderings import ORDERINGS
from smart_assets.assets.parquet import write_table
from smart_assets.assets.reading.chat_turns import count_refused_chats
from smart_assets.assets.reading.repeated_texts import among, by_tasks, in_words, repeated_texts, version_of
from smart_assets.assets.reading.rows import raw_task_inputs
from smart_assets.assets.reading.unseen_tasks import seen_tasks, unseen_parameter
from smart_assets.assets.records import SubsetCost, SubsetParameters, SubsetSummary
from smart_assets.assets.step import (
    AssetPartition,
    DesiredState,
    Draft,
    Input,
    Inputs,
    RunContext,
    StepResult,
    split_grid_key,
)
from smart_assets.assets.task_scores import SCORES
from smart_assets.core.errors import BudgetError, SelectionError, StoreError
from smart_assets.mixture.mixture import Mixture, select_mixture
from smart_assets.mixture.pool import Pool, closed_up
from smart_assets.mixture.recipes import Recipe, SubmodularBudgets
from smart_assets.mixture.task_scores import effective_tasks
from smart_assets.settings import Project
from smart_assets.tasks.read_result import INSTANCES_FILE

NAME = "selected_subset"
CODE_VERSION = "3"
_REPEATING: dict[tuple[str, frozenset[str]], bool] = {}
"""By the version of all rows and the unseen tasks: every subset of a plan asks, at every tick of a sensor."""
TASK_BUDGETS = pa.schema(
    [
        ("task", pa.string()),
        ("position", pa.int64()),
        ("size", pa.int64()),
        ("gain", pa.float64()),
        ("weight", pa.float64()),
        ("budget", pa.int64()),
        ("seed", pa.int64()),
    ]
)


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the rows and those to leave out.

    From scores and orderings only where the recipe asks for them.
    """
    budget, name = split_grid_key(partition)
    recipe = project.settings.recipes[name]
    exclude = project.settings.contamination.exclude
    # Where no row is left out, the rows that hold evaluation text are looked for all the same: a check warns of them.
    inputs = [
        *raw_task_inputs(project),
        Input(AssetPartition(evaluation_overlap.NAME), FOUND, optional=not exclude, counts=exclude),
    ]
    parameters = SubsetParameters(
        budget=budget,
        # Whether texts are repeated counts only where any are: what was made before stays current.
        recipe=recipe.model_dump(mode="json", exclude={"repeat_texts"}),
        texts_once=(not recipe.repeat_texts and _texts_repeat(project)) or None,
        unseen_tasks=unseen_parameter(project).get("unseen_tasks"),
        exclude=exclude,
        seeds=list(project.settings.finetune.seeds) if recipe.instance_objective is None else None,
    )
    if recipe.task_objective is not None:
        inputs.append(Input(AssetPartition(task_scores.NAME)))
    if recipe.instance_objective is not None:
        inputs += [Input(AssetPartition(instance_orderings.NAME, source)) for source in project.settings.sources]
    return DesiredState(AssetPartition(NAME, partition), tuple(inputs), parameters.as_kept(), CODE_VERSION)


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `subset.parquet` (id, source, task, template, rank, gain, seed) and `task_budgets.parquet`."""
    budget, name = split_grid_key(partition)
    instances, left_out = _training_instances(project, inputs)
    if left_out.rows:
        run.log(f"rows left out for evaluation text: {left_out.rows}; left out by rule: {left_out.by_rule}")
    recipe = project.settings.recipes[name]
    manifests = {source: inputs.manifest(raw_tasks.NAME, source) for source in project.settings.sources}
    repeats = among(repeated_texts(project, manifests), instances["id"])
    pool = Pool(instances, _orderings(project, inputs, instances), _task_gains(inputs), repeats)
    try:
        mixture = select_mixture(recipe, budget, pool, project.settings.finetune.seeds)
    except BudgetError as error:
        if not left_out.rows:
            raise
        raise BudgetError(f"{error} ({left_out.rows:,} training rows hold evaluation text and are left out)") from error
    counts = by_tasks(repeats)
    for line in _about_repeats(recipe, mixture, counts):
        run.log(line)
    write_table(mixture.rows, out.content / "subset.parquet")
    write_table(mixture.tasks, out.content / "task_budgets.parquet")
    return StepResult(
        summary=_summary(recipe, mixture, budget, left_out, counts).as_kept(),
        cost=SubsetCost(refused_chats=count_refused_chats(project, inputs, mixture.rows["id"], run.log)).as_kept(),
    )


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Training rows that are left out since they hold evaluation text; None where such rows are kept."""

    rows: int | None = None
    by_rule: dict[str, int] | None = None


def _texts_repeat(project: Project) -> bool:
    """Return whether a text stands under several of the tasks that rows are selected from, as far as rows are there."""
    current = {source: project.store.current(raw_tasks.NAME, source) for source in project.settings.sources}
    manifests = {source: manifest for source, manifest in current.items() if manifest is not None}
    if len(manifests) < len(current):
        return False
    unseen = project.settings.evaluate.unseen_tasks
    asked = version_of(manifests), frozenset(unseen)
    if asked not in _REPEATING:
        try:
            repeats = repeated_texts(project, manifests)
        except (StoreError, OSError, pa.ArrowException):  # the rows are made again first, and then this is asked again
            return False
        seen = repeats.filter(pc.invert(pc.is_in(repeats["task"], value_set=pa.array(unseen, pa.string()))))
        _REPEATING[asked] = among(seen, seen["id"]).num_rows > 0
    return _REPEATING[asked]


def _about_repeats(recipe: Recipe, mixture: Mixture, counts: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Yield what is to be said of texts that several tasks have."""
    if not counts:
        return
    how = "taken under each of them, as `repeat_texts` says" if recipe.repeat_texts else "taken once"
    yield f"the same text stands under several tasks, and is {how}: {in_words(counts)}"
    if mixture.replaced:
        yield f"{mixture.replaced:,} rows whose text another task gives were replaced by the next of their task"
    if mixture.exhausted:
        yield f"no other row was left for that in {', '.join(mixture.exhausted)}: other tasks give the rest"


def _summary(
    recipe: Recipe, mixture: Mixture, budget: int, left_out: _LeftOut, repeats: Mapping[tuple[str, ...], int]
) -> SubsetSummary:
    """Return the figures of one row set.

    Their mean where each seed has its own, of the largest task budget the largest.
    """
    of_sets: dict[int | None, list[int]] = {}
    for row in mixture.rows.group_by(["task", "seed"]).aggregate([([], "count_all")]).to_pylist():
        of_sets.setdefault(row["seed"], []).append(row["count_all"])
    counts = [np.array(task_rows) for task_rows in of_sets.values()]
    return SubsetSummary(
        budget=budget,
        row_sets=len(counts),
        tasks=round(float(np.mean([len(task_rows) for task_rows in counts]))),
        effective_tasks=round(
            float(np.mean([effective_tasks(task_rows / task_rows.sum()) for task_rows in counts])), 2
        ),
        largest_task_budget=int(max(task_rows.max() for task_rows in counts)),
        rows_left_out=left_out.rows,
        left_out_by_rule=left_out.by_rule,
        proposed_max_tasks=_proposed(recipe, mixture),
        repeated_texts={" and ".join(names): count for names, count in repeats.items()} or None,
        repeats_replaced=mixture.replaced or None,
        exhausted_tasks=list(mixture.exhausted) or None,
    )


def _proposed(recipe: Recipe, mixture: Mixture) -> int | None:
    """Return what `max_tasks: auto` came to, None where the recipe does not ask; tasks whose budget is 0 count."""
    rule = recipe.task_budgets
    automatic = isinstance(rule, SubmodularBudgets) and rule.max_tasks == "auto"
    return mixture.tasks.num_rows if automatic else None


def _training_instances(project: Project, inputs: Inputs) -> tuple[pa.Table, _LeftOut]:
    """Return the training rows of all seen tasks, less those that hold evaluation text; how many each rule left out."""
    read = {source: _rows(inputs.folder(raw_tasks.NAME, source)) for source in project.settings.sources}
    names = [task for table in read.values() for task in pc.unique(table["task"]).to_pylist()]
    seen = pa.array(seen_tasks(project.settings.evaluate.unseen_tasks, names), pa.string())
    tables = [
        table.append_column("source", pa.array([source] * table.num_rows, pa.string()))
        for source, table in read.items()
    ]
    every = pa.concat_tables(tables)
    train = every.filter(pc.and_(pc.equal(every["split"], "train"), pc.is_in(every["task"], seen)))
    if not project.settings.contamination.exclude:
        return train, _LeftOut()
    overlaps = pq.read_table(inputs.folder(evaluation_overlap.NAME) / "overlaps.parquet", columns=["id", "kind"])
    overlaps = overlaps.filter(pc.is_in(overlaps["id"], train["id"].combine_chunks()))
    kept = train.filter(pc.invert(pc.is_in(train["id"], overlaps["id"].combine_chunks())))
    if train.num_rows and not kept.num_rows:
        raise SelectionError(
            f"all {train.num_rows} training rows hold text of evaluation rows and are left out: `smart sql` lists them "
            "(view `evaluation_overlaps`); raise `contamination.share`, or set `contamination.exclude: false`"
        )
    return kept, _LeftOut(train.num_rows - kept.num_rows, by_kind(overlaps))


def _rows(folder: Path) -> pa.Table:
    return pq.read_table(folder / INSTANCES_FILE, columns=["id", "task", "template", "split"])


def _orderings(project: Project, inputs: Inputs, instances: pa.Table) -> pa.Table:
    """Return the orderings of all sources; rows that may not be trained on are taken out and the ranks closed up."""
    ordered = [
        source for source in project.settings.sources if inputs.find(instance_orderings.NAME, source) is not None
    ]
    tables = [
        pq.read_table(inputs.folder(instance_orderings.NAME, source) / "orderings.parquet").cast(ORDERINGS)
        for source in ordered
    ]
    if not tables:
        return ORDERINGS.empty_table()
    orderings = pa.concat_tables(tables)
    usable = np.asarray(pc.is_in(orderings["id"], instances["id"].combine_chunks()))
    return orderings if usable.all() else closed_up(orderings.filter(usable))


def _task_gains(inputs: Inputs) -> pa.Table:
    """Return the tasks' greedy orders, where the recipe needs them."""
    if inputs.find(task_scores.NAME) is None:
        return SCORES.empty_table()
    return pq.read_table(inputs.folder(task_scores.NAME) / "scores.parquet").cast(SCORES)
