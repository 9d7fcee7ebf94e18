"""The asset checks in plain Python: each reads an artifact back from the store and checks it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import (
    evaluation_overlap,
    finetuned_checkpoint,
    instance_orderings,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
)
from smart_assets.assets.finetuned_checkpoint import rows_of_seed
from smart_assets.assets.instance_orderings import groups_of, objectives_in_use
from smart_assets.assets.model_records import CheckpointSummary
from smart_assets.assets.reading.overlap_sentences import mostly_found, not_looked_at
from smart_assets.assets.reading.repeated_texts import by_tasks, in_words, same_texts
from smart_assets.assets.records import OverlapSummary
from smart_assets.assets.step import AssetPartition, Inputs, seed_folder, split_grid_key
from smart_assets.core.errors import UpstreamMissingError
from smart_assets.core.safe_text import in_line
from smart_assets.core.threads import products_on_one_thread
from smart_assets.selection.greedy import unit_rows
from smart_assets.selection.objectives import Objective
from smart_assets.settings import Project
from smart_assets.tasks.read_result import INSTANCES_FILE

UNIT_TOLERANCE = 1e-3  # float32 vectors, made from bfloat16 ones at worst
_BATCH_ROWS = 8192
GAIN_TOLERANCE = 1e-6  # of the objective's value
DIVERGED = 1.0  # nats a token: what noise of a step, or a model that knew its rows before, stays below
MOST_PAIRS_RECOMPUTED = 500_000_000  # facility location's gains cost the square of a group's rows: some 10 s on 2 cores


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether a check passed, in a sentence, with the figures behind it."""

    passed: bool
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warning: bool = False  # where it did not pass, it stops nothing
    rows: pa.Table | None = None  # the rows that it is about; no texts


def inputs_to_check(project: Project, *keys: AssetPartition) -> Inputs:
    """Return what a check reads.

    Raises:
        UpstreamMissingError: One of the partitions was never made.
    """
    manifests = {key: project.store.current(key.asset, key.partition) for key in keys}
    missing = [str(key) for key, manifest in manifests.items() if manifest is None]
    if missing:
        raise UpstreamMissingError(f"there is nothing to check: {', '.join(missing)} was never made; materialize it")
    return Inputs(project.store, {key: manifest for key, manifest in manifests.items() if manifest is not None})


def vectors_are_unit(project: Project, partition: str | None) -> CheckResult:
    """Check that every vector of a source is finite and has length 1."""
    inputs = inputs_to_check(project, AssetPartition(prompt_embeddings.NAME, partition))
    vectors = np.load(
        inputs.folder(prompt_embeddings.NAME, partition) / "vectors.npy", mmap_mode="r", allow_pickle=False
    )
    bad = 0
    for start in range(0, len(vectors), _BATCH_ROWS):
        lengths = np.linalg.norm(vectors[start : start + _BATCH_ROWS].astype(np.float64), axis=1)
        bad += int((~(np.abs(lengths - 1) <= UNIT_TOLERANCE)).sum())  # NaN is not within anything
    return CheckResult(
        bad == 0,
        f"all {len(vectors)} vectors are finite and of length 1" if bad == 0 else f"{bad} vectors are not of length 1",
        {"vectors": len(vectors), "not of length 1": bad},
    )


def orderings_reproduce(project: Project, partition: str | None) -> CheckResult:
    """Check that every ordering is a permutation of its group, and its gains are what the objective gives along it.

    Gains of approximate orderings are taken as they are; those of facility location are recomputed for as many groups
    as MOST_PAIRS_RECOMPUTED allows.
    """
    inputs = inputs_to_check(
        project, AssetPartition(instance_orderings.NAME, partition), AssetPartition(prompt_embeddings.NAME, partition)
    )
    folder = inputs.folder(prompt_embeddings.NAME, partition)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    made = inputs.folder(instance_orderings.NAME, partition)
    orderings = pq.read_table(made / "orderings.parquet")
    sizes = pq.read_table(made / "groups.parquet")
    objectives = {objective.label: objective for objective in objectives_in_use(project.settings)}
    rows = pq.read_table(folder / "rows.parquet")
    groups = {(group.task, group.template): group for group in groups_of(rows, vectors)}
    # An id that the source does not have stands at -1. Rows of a group stand together, as in `groups.parquet`.
    places = pc.fill_null(pc.index_in(orderings["id"], rows["id"].combine_chunks()), -1).to_numpy()
    gains = orderings["gain"].to_numpy()
    records = sizes.to_pylist()
    recomputable = _recomputable(records, objectives)
    wrong: list[str] = []
    recomputed = stop = 0
    # The products are small: over all cores they wait for each other, longest where the cores are busy.
    with products_on_one_thread():
        for row in records:
            start, stop = stop, stop + row["rows"]
            label, task, template = row["objective"], row["task"], row["template"]
            group = groups.get((task, template))
            if group is None or not np.array_equal(np.sort(places[start:stop]), np.sort(group.rows)):
                wrong.append(f"{task}/{template}: not a permutation")
            elif row["key"] in recomputable:
                recomputed += 1
                by_place = np.argsort(group.rows)
                order = by_place[np.searchsorted(group.rows, places[start:stop], sorter=by_place)]
                expected = objectives[label].ordered_gains(unit_rows(group.vectors), order)
                if not np.allclose(gains[start:stop], expected, rtol=GAIN_TOLERANCE, atol=GAIN_TOLERANCE):
                    wrong.append(f"{task}/{template}: gains differ")
    if stop != orderings.num_rows:
        wrong.append(f"{orderings.num_rows - stop} rows of no group")
    lacking = len(objectives) * len(groups) - sizes.num_rows
    passed = not wrong and lacking == 0
    return CheckResult(
        passed,
        f"{sizes.num_rows} orderings are permutations whose gains reproduce the objective"
        if passed
        else f"{len(wrong)} orderings are wrong and {lacking} are missing: {'; '.join(wrong[:3])}",
        {"orderings": sizes.num_rows, "gains recomputed": recomputed, "wrong": len(wrong), "missing": lacking},
    )


def _recomputable(groups: Sequence[Mapping[str, Any]], objectives: Mapping[str, Objective]) -> set[str]:
    """Return the keys of the groups whose gains are recomputed.

    A key is a hash, so what is left out is left to chance.
    """
    left = MOST_PAIRS_RECOMPUTED
    chosen: set[str] = set()
    for group in sorted(groups, key=lambda group: group["key"]):
        objective = objectives.get(group["objective"])
        if objective is None or not group["exact"]:
            continue
        pairs = group["rows"] ** 2 if objective.compares_all_pairs else 0
        if pairs <= left:
            left -= pairs
            chosen.add(group["key"])
    return chosen


def _subset(project: Project, partition: str | None, *besides: AssetPartition) -> tuple[pa.Table, Inputs]:
    inputs = inputs_to_check(
        project,
        AssetPartition(selected_subset.NAME, partition),
        *besides,
        *(AssetPartition(raw_tasks.NAME, source) for source in project.settings.sources),
    )
    return pq.read_table(inputs.folder(selected_subset.NAME, partition) / "subset.parquet"), inputs


def budgets_hold(project: Project, partition: str | None) -> CheckResult:
    """Check that every row set has as many rows as the budget says, and no task gives more than it has."""
    subset, inputs = _subset(project, partition)
    budget, _ = split_grid_key(partition)
    sizes: dict[str, int] = {}
    for source in project.settings.sources:
        rows = pq.read_table(inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE, columns=["task", "split"])
        train = rows.filter(pc.equal(rows["split"], "train"))
        sizes |= {task["values"]: task["counts"] for task in pc.value_counts(train["task"]).to_pylist()}
    sets = subset.group_by("seed").aggregate([([], "count_all")])["count_all"].to_pylist()
    taken = subset.group_by(["seed", "task"]).aggregate([([], "count_all")]).to_pylist()
    beyond = [row["task"] for row in taken if row["count_all"] > sizes.get(row["task"], 0)]
    passed = bool(sets) and all(rows == budget for rows in sets) and not beyond
    return CheckResult(
        passed,
        f"the task budgets add up to {budget}"
        if passed
        else f"row sets of {sets} rows; beyond their task: {beyond[:5]}",
        {"budget": budget, "row sets": len(sets), "tasks beyond their size": len(beyond)},
    )


def rows_are_distinct(project: Project, partition: str | None) -> CheckResult:
    """Check that no row stands twice in one row set, and no text under two tasks unless the recipe repeats texts."""
    subset, inputs = _subset(project, partition)
    _, recipe = split_grid_key(partition)
    distinct = subset.group_by(["seed", "id"]).aggregate([]).num_rows
    twice = subset.num_rows - distinct
    same = same_texts(inputs, list(project.settings.sources), pc.unique(subset["id"]))
    said = subset.select(["seed", "id"]).join(same, "id", join_type="inner")
    texts = said.group_by(["seed", "text"]).aggregate([([], "count_all")])
    repeated = texts.filter(pc.greater(texts["count_all"], 1)).num_rows
    allowed = project.settings.recipes[recipe].repeat_texts
    if twice:
        sentence = f"{twice} rows stand twice"
    elif repeated:
        tasks = in_words(by_tasks(same))
        sentence = f"{repeated:,} texts stand several times" + (
            ", as `repeat_texts` allows" if allowed else f": {tasks}"
        )
    else:
        sentence = "no row and no text stands twice"
    return CheckResult(
        twice == 0 and (allowed or repeated == 0), sentence, {"twice": twice, "texts several times": repeated}
    )


def tasks_keep_their_rows(project: Project, partition: str | None) -> CheckResult:
    """Warn of every task of which more than half of the training rows hold evaluation text."""
    inputs = inputs_to_check(project, AssetPartition(evaluation_overlap.NAME))
    summary = OverlapSummary.read(inputs.manifest(evaluation_overlap.NAME))
    most = summary.mostly_found()
    overlaps = pq.read_table(inputs.folder(evaluation_overlap.NAME) / "overlaps.parquet")
    return CheckResult(
        not most,
        "; ".join(mostly_found(summary)) or "no task has evaluation text in more than half of its training rows",
        {
            "tasks": len(most),
            "rows": sum(rows.rows for _, _, rows in most),
            "first tasks": [in_line(task) for _, task, _ in most[:10]],
        },
        warning=True,
        rows=overlaps.filter(pc.is_in(overlaps["task"], pa.array([task for _, task, _ in most], pa.string()))),
    )


def no_evaluation_text(project: Project, partition: str | None) -> CheckResult:
    """No row of the subset is held out or of an unseen task, and none holds text of a row that is evaluated on.

    Where `contamination.exclude` is off, rows that hold such text are only warned of.
    """
    subset, inputs = _subset(project, partition, AssetPartition(evaluation_overlap.NAME))
    unseen = pa.array(project.settings.evaluate.unseen_tasks, pa.string())
    held_out_prompts: list[str] = []
    train: list[pa.Table] = []
    for source in project.settings.sources:
        path = inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE
        rows = pq.read_table(path, columns=["id", "task", "prompt_hash", "split"])
        held_out = pc.equal(rows["split"], "validation")
        held_out_prompts += rows.filter(held_out)["prompt_hash"].to_pylist()
        train.append(rows.filter(pc.invert(pc.or_(held_out, pc.is_in(rows["task"], unseen)))))
    allowed = pa.concat_tables(train)
    same = allowed.filter(pc.is_in(allowed["prompt_hash"], pa.array(held_out_prompts, pa.string())))["id"]
    overlaps = pq.read_table(inputs.folder(evaluation_overlap.NAME) / "overlaps.parquet")
    ids = pc.unique(subset["id"])
    foreign = ids.filter(pc.invert(pc.is_in(ids, allowed["id"].combine_chunks())))
    offending = overlaps.filter(pc.is_in(overlaps["id"], ids))
    looked = OverlapSummary.read(inputs.manifest(evaluation_overlap.NAME))
    taught_and_asked = pc.unique(
        pa.chunked_array([*offending["id"].chunks, *same.filter(pc.is_in(same, ids)).chunks], pa.string())
    )
    faults = [f"{len(foreign)} rows are held out or of an unseen task"] * bool(len(foreign))
    faults += [f"{len(taught_and_asked)} rows hold text of rows that are evaluated on"] * bool(len(taught_and_asked))
    passed = f"no row is held out, of an unseen task, or found to hold text of the {_evaluated(looked)} compared with"
    undecided = _undecided_in(inputs.folder(evaluation_overlap.NAME) / "undecided.parquet", ids)
    unseen_text = not_looked_at(project, looked, undecided)
    return CheckResult(
        not faults,
        "; ".join([" and ".join(faults) or passed, *unseen_text]),
        {
            "held-out rows in the subset": len(foreign),
            "rows with evaluation text": len(taught_and_asked),
            "rows undecided": undecided,
            "evaluation rows compared with": looked.evaluation_rows,
            "not looked at": unseen_text,
            "first ids": [*foreign.to_pylist(), *taught_and_asked.to_pylist()][:10],
        },
        warning=not len(foreign) and not project.settings.contamination.exclude,
        rows=offending,
    )


def _evaluated(looked: OverlapSummary) -> str:
    rows = sum(looked.evaluation_rows.values())
    return f"{rows:,} evaluation row{'s' * (rows != 1)}"


def _undecided_in(file: Path, ids: pa.Array) -> int:
    """Return how many rows of a subset n-grams could not judge; artifacts of earlier versions tell of none."""
    if not file.is_file():
        return 0
    rows = pq.read_table(file, columns=["id"])["id"]
    return pc.count_distinct(rows.filter(pc.is_in(rows, ids))).as_py()


def _seed_folders(project: Project, partition: str | None) -> Inputs:
    return inputs_to_check(
        project, AssetPartition(finetuned_checkpoint.NAME, partition), AssetPartition(selected_subset.NAME, partition)
    )


def loss_is_finite(project: Project, partition: str | None) -> CheckResult:
    """Check that every step of every seed has a finite loss. A warning: the last losses lie far above the first."""
    inputs = _seed_folders(project, partition)
    folder = inputs.folder(finetuned_checkpoint.NAME, partition)
    results = CheckpointSummary.read(inputs.manifest(finetuned_checkpoint.NAME, partition)).seeds
    losses = {
        seed: pq.read_table(folder / seed_folder(seed) / "loss.parquet", columns=["loss"])["loss"].to_numpy()
        for seed in results
    }
    steps = sum(len(curve) for curve in losses.values())
    bad = sum(int((~np.isfinite(curve)).sum()) for curve in losses.values())
    figures = {"steps": steps, "not finite": bad}
    if bad or not steps:
        return CheckResult(False, f"{bad} of {steps} losses are not finite", figures)
    last = {seed: result.mean_last_losses for seed, result in results.items()}
    risen = [str(seed) for seed, loss in last.items() if loss is None or loss > losses[seed][0] + DIVERGED]
    if risen:
        sentence = (
            f"training with seed {', '.join(risen)} diverged: the mean of the last losses is more than {DIVERGED:g} "
            "above the first; lower finetune.learning_rate"
        )
        return CheckResult(False, sentence, figures, warning=True)
    return CheckResult(True, f"all {steps} losses are finite", figures)


def selected_tasks_trained(project: Project, partition: str | None) -> CheckResult:
    """Check that a checkpoint's manifest names every task of the subset with as many rows, less those it dropped."""
    inputs = _seed_folders(project, partition)
    subset = pq.read_table(inputs.folder(selected_subset.NAME, partition) / "subset.parquet")
    results = CheckpointSummary.read(inputs.manifest(finetuned_checkpoint.NAME, partition)).seeds
    missing: list[str] = []
    for seed, result in results.items():
        rows = rows_of_seed(subset, seed)
        dropped = pc.is_in(rows["id"], pa.array([row.id for row in result.dropped], pa.string()))
        counts = pc.value_counts(rows.filter(pc.invert(dropped))["task"]).to_pylist()
        missing += [task["values"] for task in counts if (result.tasks or {}).get(task["values"]) != task["counts"]]
    return CheckResult(
        not missing and bool(results),
        f"{len(missing)} selected tasks were not trained on: {missing[:5]}"
        if missing
        else "every selected task was trained on",
        {"tasks missing": len(missing)},
    )
