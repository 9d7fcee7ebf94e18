"""What a person wants to see of a materialization: figures, a table, and a picture where it helps."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import (
    base_model_results,
    catalog,
    eval_results,
    evaluation_overlap,
    finetuned_checkpoint,
    instance_orderings,
    mixture_report,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
    similarity_index,
    task_scores,
)
from smart_assets.assets.finetuned_checkpoint import BOARD
from smart_assets.assets.mixture_report import PAGE
from smart_assets.assets.model_records import CheckpointSummary, evaluation_records, training_costs
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.reading.report_content import objective_gains, source_tasks, task_rows
from smart_assets.assets.records import (
    EmbeddingCost,
    IndexSummary,
    OrderingCost,
    OverlapSummary,
    ReportSummary,
    SubsetCost,
)
from smart_assets.assets.step import SEED_FOLDERS, AssetPartition, Inputs, seed_folder, seed_of_folder, split_grid_key
from smart_assets.comparison.comparison_record import recorded_curve
from smart_assets.core.safe_text import escaped
from smart_assets.defs.audit_metadata import OPENING, audit_metadata
from smart_assets.defs.tables import table
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.report.content import LossCurve, MixtureBudgets
from smart_assets.report.gain_chapter import gain_curve, temperature_effect
from smart_assets.report.metric_chapters import loss_curve, metric_against_budget
from smart_assets.report.source_chapters import similarity_histogram
from smart_assets.report.task_chapters import row_counts, task_budget_bars
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances, ManifestRecord
from smart_assets.tasks.unread import COLUMNS_FILE

Metadata = dict[str, Any]
_LONGEST_FINDING = 2000  # characters
_NOT_RECORDED = "not recorded"
_CAPTIONS = {  # of figures that their names do not say well
    "near_duplicate_pairs": "near-duplicate pairs",
    "rows_undecided": "rows undecided, by task",
    "untold_by_ngrams": "evaluation rows that n-grams cannot tell",
    "long_prompts": "prompts longer than the encoder's window",
    "same_documents": "rows of the same document as an evaluation row, by task",
    "rows_by_task": "rows with evaluation text, by task",
    "rows_left_out": "rows left out for evaluation text",
    "proposed_max_tasks": "max tasks (auto)",
    "repeated_texts": "texts under several tasks",
    "repeats_replaced": "rows replaced, whose text another task gives",
    "exhausted_tasks": "tasks without another row for a repeated text",
}
_MOST_REASONS = 20  # for which rows were left out


def metadata_of(project: Project, result: MaterializeResult) -> Metadata:
    """Return the figures of the manifest, and what the asset itself has to show."""
    manifest = result.manifest
    store = project.store
    inputs = Inputs(store, {AssetPartition(manifest.asset, manifest.partition): manifest})
    shown = _SHOWN.get(manifest.asset)
    return {
        **figures_of(manifest),
        **(shown(inputs, manifest) if shown else {}),
        **(audit_metadata(project, manifest) if manifest.asset == finetuned_checkpoint.NAME else {}),
        "unchanged": result.unchanged,
        "artifact": dg.MetadataValue.path(str(store.artifact(manifest))),
    }


def figures_of(manifest: Manifest) -> Metadata:
    """Return what a manifest says by itself, without its files."""
    made = Circumstances.read(manifest)
    return {
        **_figures(manifest),
        "content version": manifest.content_version,
        "unchanged": True,
        "seconds": _NOT_RECORDED if made.seconds is None else made.seconds,
        "peak memory (MB)": _NOT_RECORDED if made.peak_memory_bytes is None else round(made.peak_memory_bytes / 1e6),
        "device": made.device or _NOT_RECORDED,
    }


def _figures(manifest: Manifest) -> Metadata:
    """Return the summary of a manifest under captions; that of evaluations goes by model."""
    kind = catalog.asset(manifest.asset).summary
    summary = dict(manifest.summary) if kind is None else _captioned(kind.read(manifest))
    return {
        name: dg.MetadataValue.json(value) if isinstance(value, dict | list | tuple) else value
        for name, value in summary.items()
    }


def _captioned(summary: ManifestRecord) -> dict[str, Any]:
    kept = summary.as_kept()
    keys = {name: field.serialization_alias or name for name, field in type(summary).model_fields.items()}
    return {_CAPTIONS.get(name, name.replace("_", " ")): kept[key] for name, key in keys.items() if key in kept}


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """Return a PNG as metadata."""
    return dg.MetadataValue.md(f"![]({'data:image/png;base64,' + b64encode(png).decode('ascii')})")


def _raw_tasks(inputs: Inputs, manifest: Manifest) -> Metadata:
    tasks = source_tasks(inputs, str(manifest.partition))
    origins = inputs.store.folder(manifest.attachments[ORIGINS_FOLDER])
    rejected = pq.read_table(origins / "rejected.parquet", columns=["file", "line", "task", "reason"])
    reasons = pc.value_counts(rejected["reason"]).to_pylist()
    return {
        "tasks and rows": picture(row_counts(tasks)),
        "rejected": table(rejected),
        **_columns(origins / COLUMNS_FILE),
        "rejection reasons": dg.MetadataValue.json({reason["values"]: reason["counts"] for reason in reasons}),
        **_not_read(origins),
    }


def _not_read(origins: Path) -> Metadata:
    """Return the files that were not read, and why; nothing where there are none."""
    files = json.loads((origins / "files.json").read_text(encoding="utf-8")).get("not_read")
    return {"files not read": table(pa.Table.from_pylist(files))} if files else {}


def _columns(path: Path) -> Metadata:
    """Return as what rows were read, and what of them was not; nothing where an earlier version read them."""
    return {"columns": table(pq.read_table(path))} if path.exists() else {}


def _prompt_embeddings(inputs: Inputs, manifest: Manifest) -> Metadata:
    cost = EmbeddingCost.read(manifest)
    return {"prompts embedded": cost.prompts_embedded, "prompts reused": cost.prompts_reused}


def _similarity_index(inputs: Inputs, manifest: Manifest) -> Metadata:
    folder = inputs.store.artifact(manifest)
    nearest = np.load(folder / "nearest.npy", allow_pickle=False)
    pairs = pq.read_table(folder / "near_duplicates.parquet")
    return {
        "nearest neighbours": picture(similarity_histogram(nearest, IndexSummary.read(manifest).threshold)),
        "near duplicates": table(pairs),
    }


def _instance_orderings(inputs: Inputs, manifest: Manifest) -> Metadata:
    groups = pq.read_table(inputs.store.artifact(manifest) / "groups.parquet")
    cost = OrderingCost.read(manifest)
    largest = groups.drop_columns(["key"]).sort_by([("rows", "descending"), ("task", "ascending")])
    return {
        "largest groups": table(largest.slice(0, 30)),
        "groups ordered": cost.groups_ordered,
        "groups reused": cost.groups_reused,
    }


def _evaluation_overlap(inputs: Inputs, manifest: Manifest) -> Metadata:
    overlaps = pq.read_table(inputs.store.artifact(manifest) / "overlaps.parquet")
    tasks = overlaps.group_by(["source", "task", "kind", "benchmark"]).aggregate([([], "count_all")])
    most = tasks.rename_columns({"count_all": "rows"}).sort_by([("rows", "descending"), ("task", "ascending")])
    lost = [
        {"source": source, "task": task, "training rows": rows.training_rows, "rows": rows.rows, **rows.rows_by_kind}
        for source, task, rows in OverlapSummary.read(manifest).mostly_found()
    ]
    shown: Metadata = {"rows with the text of": table(overlaps), "by task": table(most)}
    return shown | ({"tasks that lose more than half of their rows": table(pa.Table.from_pylist(lost))} if lost else {})


def _task_scores(inputs: Inputs, manifest: Manifest) -> Metadata:
    folder = inputs.store.artifact(manifest)
    scores = pq.read_table(folder / "scores.parquet")
    shown: Metadata = {"scores": table(scores), "temperatures": table(pq.read_table(folder / "temperatures.parquet"))}
    for gains in objective_gains(scores):
        shown[f"gains by {gains.objective}"] = picture(gain_curve(gains))
        shown[f"temperatures by {gains.objective}"] = picture(temperature_effect(gains))
    return shown


def _selected_subset(inputs: Inputs, manifest: Manifest) -> Metadata:
    budget, recipe = split_grid_key(manifest.partition)
    folder = inputs.store.artifact(manifest)
    mixture = MixtureBudgets(budget, recipe, task_rows(inputs, str(manifest.partition)))
    refused = SubsetCost.read(manifest).refused_chats
    return {
        **({"refused by the chat template": dg.MetadataValue.json(refused)} if refused else {}),
        "rows of each task": picture(task_budget_bars([mixture], [recipe])),
        "task budgets": table(pq.read_table(folder / "task_budgets.parquet")),
    }


def _finetuned_checkpoint(inputs: Inputs, manifest: Manifest) -> Metadata:
    folder = inputs.store.artifact(manifest)
    results, costs = CheckpointSummary.read(manifest).seeds, training_costs(manifest)
    seeds = [
        {
            "seed": seed,
            "rows": result.rows,
            "left out": len(result.dropped),
            "prompt cut": len(result.truncated),
            "special tokens as text": _counted(result.special_tokens_as_text),
            "turns not written": _counted(result.turns_not_written),
            "steps": result.steps,
            "mean of the last losses": result.mean_last_losses,
            "tokens/s": costs[seed].tokens_per_second,
            "peak memory (MB)": round(costs[seed].peak_memory_bytes / 1e6),
        }
        for seed, result in results.items()
    ]
    shown: Metadata = {
        "loss": picture(loss_curve(loss_curves(folder))),
        "fine-tunes": table(pa.Table.from_pylist(seeds)),
    }
    reasons = Counter(row.reason for result in results.values() for row in result.dropped)
    if reasons:
        shown["left out because"] = dg.MetadataValue.json(dict(reasons.most_common(_MOST_REASONS)))
    board = manifest.attachments.get(BOARD)
    if board is not None:
        shown["tensorboard --logdir"] = dg.MetadataValue.path(str(inputs.store.folder(board)))
    return shown


def _counted(ids: Sequence[str] | None) -> int | None:
    """Return how many; None where a version made it that did not look for them."""
    return None if ids is None else len(ids)


def loss_curves(checkpoint: Path) -> list[LossCurve]:
    """Return the loss of every seed of a checkpoint."""
    curves: list[LossCurve] = []
    for path in sorted(checkpoint.glob(f"{SEED_FOLDERS}/loss.parquet")):
        rows = pq.read_table(path)
        seed = seed_of_folder(path.parent.name)
        if seed is not None:
            curves.append(LossCurve(seed, rows["step"].to_numpy(), rows["loss"].to_numpy()))
    return curves


def _results(inputs: Inputs, manifest: Manifest) -> Metadata:
    folder = inputs.store.artifact(manifest)
    shown: Metadata = {
        f"metrics of {path.parent.name}": table(pq.read_table(path))
        for path in sorted(folder.glob("*/metrics.parquet"))
    }
    for seed, result in evaluation_records(manifest).items():
        refused = [row | {"benchmark": name} for name, rows in (result.refused or {}).items() for row in rows]
        if refused:
            shown[f"rows left out of {'base' if seed is None else seed_folder(seed)}"] = table(
                pa.Table.from_pylist(refused)
            )
    return shown


def _mixture_report(inputs: Inputs, manifest: Manifest) -> Metadata:
    page = inputs.store.artifact(manifest) / PAGE
    return {
        "page": dg.MetadataValue.path(str(page)),
        "to open the page": OPENING,
        **_comparisons(ReportSummary.read(manifest).comparisons),
    }


def _comparisons(recorded: Sequence[Mapping[str, Any]]) -> Metadata:
    """Return what the recipes' scores come to, by what the manifest recorded."""
    if not recorded:
        return {"comparisons": "no model has been evaluated row by row yet"}
    curves = {comparison["title"]: recorded_curve(comparison) for comparison in recorded}
    recipes = list(dict.fromkeys(point.recipe for curve in curves.values() for point in curve.points))
    differences = [
        {"metric": comparison["title"], **each} for comparison in recorded for each in comparison["differences"]
    ]
    sentences = [
        escaped(f"{comparison['title']}: {sentence}", _LONGEST_FINDING)
        for comparison in recorded
        for sentence in comparison["sentences"]
    ]
    return {
        "comparisons": table(pa.Table.from_pylist(differences)),
        "findings": dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences)),
        **{
            f"score against budget, {title}": picture(metric_against_budget(curve, recipes))
            for title, curve in curves.items()
        },
    }


_SHOWN: Mapping[str, Callable[[Inputs, Manifest], Metadata]] = {
    raw_tasks.NAME: _raw_tasks,
    prompt_embeddings.NAME: _prompt_embeddings,
    similarity_index.NAME: _similarity_index,
    instance_orderings.NAME: _instance_orderings,
    evaluation_overlap.NAME: _evaluation_overlap,
    task_scores.NAME: _task_scores,
    selected_subset.NAME: _selected_subset,
    finetuned_checkpoint.NAME: _finetuned_checkpoint,
    base_model_results.NAME: _results,
    eval_results.NAME: _results,
    mixture_report.NAME: _mixture_report,
}
