"""Gathering the report's content from the artifacts; the page itself knows nothing of the store."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import (
    base_model_results,
    eval_results,
    finetuned_checkpoint,
    raw_tasks,
    selected_subset,
    similarity_index,
    task_scores,
)
from smart_assets.assets.finetuned_checkpoint import rows_of_seed
from smart_assets.assets.model_records import CheckpointSummary
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.reading.row_results import evaluation_times, read_results
from smart_assets.assets.reading.task_listing import long_rows
from smart_assets.assets.records import LongRows
from smart_assets.assets.step import SEED_FOLDERS, AssetPartition, Inputs, grid_key, seed_of_folder
from smart_assets.comparison.compare_recipes import REFERENCES, ComparisonSpec, compare_shared_rows
from smart_assets.comparison.measurement import Measurement
from smart_assets.comparison.row_results import SharedRows, share_rows
from smart_assets.core.formatting import benchmark_title
from smart_assets.core.metrics import HELD_OUT, Direction
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.mixture.recipes import PRESETS, Recipe
from smart_assets.mixture.sweeps import find_sweeps
from smart_assets.report.content import (
    ArtifactVersion,
    MixtureBudgets,
    NearDuplicatePair,
    NearDuplicateSummary,
    NotShared,
    ObjectiveGains,
    Provenance,
    RejectedRow,
    RejectionCount,
    Rejections,
    ReportContent,
    TaskKernel,
    TaskSummary,
)
from smart_assets.report.task_geometry import task_plane
from smart_assets.settings import Project
from smart_assets.store.records import Circumstances, made_at
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.training.settings import UNRECORDED_LOSS, LossMean

CHECKPOINT = finetuned_checkpoint.NAME
EXAMPLES = 50  # rejected rows shown
PAIRS = 20  # near-duplicate pairs shown


def gather(project: Project, inputs: Inputs) -> ReportContent:
    """Return everything on the page, from the artifacts that are there."""
    scores = inputs.folder(task_scores.NAME)
    names = tuple(pq.read_table(scores / "tasks.parquet")["task"].to_pylist())
    mixtures = tuple(
        MixtureBudgets(budget, recipe, task_rows(inputs, grid_key(budget, recipe)))
        for budget, recipe in _grid(project)
        if inputs.find(selected_subset.NAME, grid_key(budget, recipe)) is not None
    )
    sweeps = find_sweeps(project.settings.recipes)
    unseen = frozenset(project.settings.evaluate.unseen_tasks)
    spec = ComparisonSpec(preset_recipes(project.settings.recipes), unseen, sweeps, project.settings.report.margin)
    parts = tuple(share_rows(read_results(project, inputs), unseen))
    return ReportContent(
        title=f"SMART mixture report: {project.root.name}",
        tasks=gather_tasks(project, inputs),
        plane=task_plane(names, np.load(scores / "task_vectors.npy", allow_pickle=False)),
        kernel=TaskKernel(names, np.load(scores / "kernel.npy", allow_pickle=False)),
        objectives=objective_gains(pq.read_table(scores / "scores.parquet")),
        mixtures=mixtures,
        measurements=_measurements(project, inputs),
        recipe_comparisons=compare_shared_rows(parts, spec),
        evaluated=evaluation_times(project, inputs),
        not_shared=tuple(_not_shared(shared, unseen) for shared in parts),
        unseen_tasks=unseen,
        sweeps=sweeps,
        rejections=_rejections(project, inputs),
        near_duplicates=_near_duplicates(project, inputs),
        provenance=_provenance(project, inputs),
    )


def _not_shared(shared: SharedRows, unseen: frozenset[str]) -> NotShared:
    apart = shared.unseen if unseen and shared.benchmark == HELD_OUT else None
    title = benchmark_title(shared.benchmark, apart)
    return NotShared(title, len(shared.tasks), shared.rows, shared.left_out, shared.models_left_out)


def preset_recipes(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """Return the recipes that are presets which others are compared with: by content, not by name."""
    names_of_presets = {
        preset: [name for name, recipe in recipes.items() if recipe == PRESETS[preset]] for preset in REFERENCES
    }
    return {preset: names[0] for preset, names in names_of_presets.items() if names}


def _grid(project: Project) -> list[tuple[int, str]]:
    return [(budget, recipe) for budget in project.settings.budgets for recipe in project.settings.recipes]


def task_rows(inputs: Inputs, partition: str) -> dict[str, float]:
    """Return task -> rows of a subset; the mean over row sets where rows are drawn anew for each seed."""
    subset = pq.read_table(inputs.folder(selected_subset.NAME, partition) / "subset.parquet", columns=["task", "seed"])
    sets = max(1, pc.count_distinct(subset["seed"]).as_py())
    counts = pc.value_counts(subset["task"]).to_pylist()
    return {count["values"]: count["counts"] / sets for count in counts}


def objective_gains(scores: pa.Table) -> tuple[ObjectiveGains, ...]:
    """Return the tasks' greedy order by each objective of `scores.parquet`."""
    gains: list[ObjectiveGains] = []
    for label in pc.unique(scores["objective"]).to_pylist():
        rows = scores.filter(pc.equal(scores["objective"], label)).sort_by("rank")
        gains.append(
            ObjectiveGains(label, tuple(rows["task"].to_pylist()), rows["gain"].to_numpy(), rows["weight"].to_numpy())
        )
    return tuple(gains)


def gather_tasks(project: Project, inputs: Inputs) -> tuple[TaskSummary, ...]:
    """Return the tasks of all sources that were read, with the weights of the recipes that were applied."""
    weights = mixture_weights(project, inputs)
    return tuple(
        TaskSummary(
            task.source,
            task.task,
            task.train_rows,
            task.validation_rows,
            task.rejected_rows,
            {recipe: by_task[task.task] for recipe, by_task in weights.items() if task.task in by_task},
            *_long_rows(counted, task.task),
        )
        for source in project.settings.sources
        if inputs.find(raw_tasks.NAME, source) is not None
        for counted in [long_rows(inputs, source)]
        for task in source_tasks(inputs, source)
    )


def _long_rows(counted: Mapping[str, LongRows] | None, task: str) -> tuple[int | None, int | None]:
    """Return how many rows of a task have long prompts, and how many of these are read in part; None: not counted."""
    if counted is None:
        return None, None
    return (counted[task].rows, counted[task].read_in_part) if task in counted else (0, 0)


def source_tasks(inputs: Inputs, source: str) -> list[TaskSummary]:
    """Return the tasks of a source with their rows, by name; no mixture weights."""
    manifest = inputs.manifest(raw_tasks.NAME, source)
    rows = pq.read_table(inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE, columns=["task", "split"])
    sides = Counter(zip(rows["task"].to_pylist(), rows["split"].to_pylist(), strict=True))
    seen = pq.read_table(inputs.store.folder(manifest.attachments[ORIGINS_FOLDER]) / "tasks.parquet").to_pylist()
    return [
        TaskSummary(
            source, row["task"], sides[row["task"], "train"], sides[row["task"], "validation"], row["rejected"], {}
        )
        for row in seen
        if row["accepted"]
    ]


def mixture_weights(project: Project, inputs: Inputs) -> dict[str, dict[str, float]]:
    """Return recipe -> task -> weight before rounding and caps, from the first budget that is there."""
    weights: dict[str, dict[str, float]] = {}
    for budget, recipe in _grid(project):
        key = grid_key(budget, recipe)
        if recipe in weights or inputs.find(selected_subset.NAME, key) is None:
            continue
        table = pq.read_table(inputs.folder(selected_subset.NAME, key) / "task_budgets.parquet")
        weights[recipe] = dict(zip(table["task"].to_pylist(), table["weight"].to_pylist(), strict=True))
    return weights


def trained_tasks(inputs: Inputs, partition: str, seed: int) -> set[str]:
    """Return the tasks that a seed has rows of; none where the subset is not there."""
    if inputs.find(selected_subset.NAME, partition) is None:
        return set()
    subset = pq.read_table(inputs.folder(selected_subset.NAME, partition) / "subset.parquet", columns=["task", "seed"])
    return set(pc.unique(rows_of_seed(subset, seed)["task"]).to_pylist())


def _measurements(project: Project, inputs: Inputs) -> tuple[Measurement, ...]:
    measurements: list[Measurement] = []
    if inputs.find(base_model_results.NAME) is not None:
        rows = RecordedEvaluation(inputs.folder(base_model_results.NAME) / "base").task_metrics
        measurements += [_measurement(row, None, None, None, False) for row in rows]
    for budget, recipe in _grid(project):
        key = grid_key(budget, recipe)
        if inputs.find(eval_results.NAME, key) is None:
            continue
        for folder in sorted(inputs.folder(eval_results.NAME, key).glob(SEED_FOLDERS)):
            seed = seed_of_folder(folder.name)
            if seed is None:
                continue
            trained = trained_tasks(inputs, key, seed)
            rows = RecordedEvaluation(folder).task_metrics
            measurements += [_measurement(row, budget, recipe, seed, row["task"] in trained) for row in rows]
    return tuple(measurements)


def _measurement(
    row: dict[str, Any], budget: int | None, recipe: str | None, seed: int | None, trained: bool
) -> Measurement:
    direction = Direction.recorded(row["higher_is_better"])
    return Measurement(
        budget, recipe, seed, row["benchmark"], row["task"], row["metric"], row["value"], trained, direction
    )


def _rejections(project: Project, inputs: Inputs) -> Rejections:
    counts: list[RejectionCount] = []
    examples: list[RejectedRow] = []
    left_out: list[str] = []
    for source in project.settings.sources:
        origins = inputs.store.folder(inputs.manifest(raw_tasks.NAME, source).attachments[ORIGINS_FOLDER])
        rejected = pq.read_table(origins / "rejected.parquet")
        reasons = pc.value_counts(rejected["reason"]).to_pylist()
        counts += [RejectionCount(source, reason["values"], reason["counts"]) for reason in reasons]
        examples += [
            RejectedRow(source, row["file"], row["line"], row["reason"], row["excerpt"])
            for row in rejected.slice(0, EXAMPLES).to_pylist()
        ]
        tasks = pq.read_table(origins / "tasks.parquet")
        left_out += tasks.filter(pc.equal(tasks["accepted"], 0))["task"].to_pylist()
    return Rejections(tuple(counts), tuple(examples[:EXAMPLES]), tuple(left_out))


def _near_duplicates(project: Project, inputs: Inputs) -> NearDuplicateSummary | None:
    sources = [source for source in project.settings.sources if inputs.find(similarity_index.NAME, source) is not None]
    if not sources:
        return None
    pairs: list[NearDuplicatePair] = []
    nearest = [
        np.load(inputs.folder(similarity_index.NAME, name) / "nearest.npy", allow_pickle=False) for name in sources
    ]
    total = 0
    for source in sources:
        table = pq.read_table(inputs.folder(similarity_index.NAME, source) / "near_duplicates.parquet")
        total += table.num_rows
        top = table.slice(0, PAIRS)
        prompts = _prompts(inputs, source, {*top["id"].to_pylist(), *top["other_id"].to_pylist()})
        pairs += [
            NearDuplicatePair(
                row["cosine"],
                row["task"],
                prompts.get(row["id"], ""),
                row["other_task"],
                prompts.get(row["other_id"], ""),
            )
            for row in top.to_pylist()
        ]
    pairs.sort(key=lambda pair: -pair.cosine)
    threshold = project.settings.index.near_duplicate
    return NearDuplicateSummary(threshold, total, tuple(pairs[:PAIRS]), np.concatenate(nearest))


def _prompts(inputs: Inputs, source: str, ids: set[str]) -> dict[str, str]:
    path = inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE
    rows = pq.read_table(path, columns=["id", "prompt"], filters=pc.field("id").isin(sorted(ids)))
    return dict(zip(rows["id"].to_pylist(), rows["prompt"].to_pylist(), strict=True))


def _provenance(project: Project, inputs: Inputs) -> Provenance:
    def version(key: AssetPartition) -> ArtifactVersion:
        manifest = inputs.manifests[key]
        return ArtifactVersion(key.asset, key.partition or "", manifest.content_version, made_at(manifest))

    keys = sorted(inputs.manifests, key=lambda key: (key.asset, key.partition or ""))
    packages: dict[str, str] = {}
    for key in keys:
        packages |= Circumstances.read(inputs.manifests[key]).packages
    versions = tuple(version(key) for key in keys)
    return Provenance(project.settings_version, versions, packages, _training_losses(project, inputs))


def _training_losses(project: Project, inputs: Inputs) -> dict[LossMean, int]:
    """Return how many of the evaluated models learnt which loss, by the manifests of their checkpoints."""
    losses: Counter[LossMean] = Counter()
    for budget, recipe in _grid(project):
        key = grid_key(budget, recipe)
        evaluated = inputs.find(eval_results.NAME, key)
        if evaluated is None:
            continue
        version = evaluated.inputs[str(AssetPartition(CHECKPOINT, key))]
        trained = project.store.find(CHECKPOINT, key, version)
        if trained is not None:
            seeds = CheckpointSummary.read(trained).seeds.values()
            losses.update(seed.hyperparameters.get("loss", UNRECORDED_LOSS) for seed in seeds)
    return dict(losses)
