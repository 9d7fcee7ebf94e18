"""Checkpoints of two seeds and their evaluations, put into a store without training: what promotion decides on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets import base_model_results, eval_results
from smart_assets.assets.model_records import CheckpointSummary, RecordedBaseModel, TrainingRecord
from smart_assets.evaluation.metrics import TaskMetric, row_metrics
from smart_assets.evaluation.record import METRICS_SCHEMA, rows_table
from smart_assets.evaluation.rows import RowResult
from smart_assets.promotion.log import Promoted, promote
from smart_assets.promotion.rule import consider
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store

TASKS = ("one", "two", "[red]three[/red]", "../four", "five", "six")
ROWS = {f"{task} {number}": task for task in TASKS for number in range(4)}
RULE = {"budget": 10, "recipe": "smart", "margin": 0.2}
SEEDS = (3, 1)
CODE_VERSIONS = {module.NAME: module.CODE_VERSION for module in (base_model_results, eval_results)}
BASE_MODEL = "tiny@main"
PARAMETERS: dict[str, Any] = {
    "prompt_format": "auto",
    "precision": "auto",
    "max_length": None,
    "include": {},
    "evaluate": {"limit": None, "num_fewshot": None},
}


def commit(store: Store, asset: str, files: Mapping[str, bytes | pa.Table]) -> Artifact:
    with store.draft() as folder:
        for name, content in files.items():
            path = folder / "content" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                pq.write_table(content, path)
        return store.commit(asset, folder / "content")


def put(project: Project, artifact: Artifact, partition: str | None, **more: Any) -> Manifest:
    manifest = Manifest(
        asset=artifact.asset,
        partition=partition,
        content_version=artifact.version,
        fingerprint="f",
        files=artifact.files,
        **{"inputs": {}, "parameters": PARAMETERS, "code_version": CODE_VERSIONS.get(artifact.asset, "1"), **more},
    )
    project.store.record(manifest)
    return manifest


def train(project: Project, content: str, partition: str = "10|smart", later: int = 0) -> Manifest:
    """A checkpoint of two seeds, trained `later` seconds from now."""
    files = {f"seed-{seed}/model/weights": f"{content} {seed}".encode() for seed in SEEDS}
    at = (datetime.now(UTC) + timedelta(seconds=later)).isoformat(timespec="seconds")
    artifact = commit(project.store, "finetuned_checkpoint", files)
    summary = CheckpointSummary(rows=8, seeds={seed: training_record(seed) for seed in SEEDS}).as_kept()
    parameters = {"finetune": {}, "base_model": BASE_MODEL}
    return put(project, artifact, partition, parameters=parameters, summary=summary, made={"at": at})


def training_record(seed: int) -> TrainingRecord:
    """What a fine-tune of nothing says of itself."""
    base = RecordedBaseModel(reference="tiny", revision=None, weights_sha256="cd" * 32)
    return TrainingRecord(
        base_model=base,
        hyperparameters={},
        seed=seed,
        processes=1,
        precision="float32",
        device="cpu",
        rows=8,
        dropped=[],
        truncated=[],
        response_tokens=32,
        steps=1,
        final_loss=1.0,
        mean_last_losses=1.0,
    )


def measurement(
    losses: Mapping[str, float],
    tokens: int = 4,
    more: Sequence[TaskMetric] = (),
    collection: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The files of one evaluated model: row id -> nats a token (held out, and of a collection); benchmarks' metrics."""
    results = [
        RowResult(
            id_,
            ROWS[id_],
            {"loss_sum": loss * tokens, "tokens": tokens, "bytes": 64, "exact_match": loss < 1}
            | ({"rouge_l": 1 / (1 + loss), "choice_correct": loss < 1, "acc": loss < 1} if benchmark == "c" else {}),
            benchmark,
        )
        for benchmark, rows in (("held_out", losses), ("c", collection or {}))
        for id_, loss in rows.items()
    ]
    metrics = [asdict(metric) for metric in (*row_metrics(results), *more)]
    benchmarks = {metric.benchmark: {task: {} for task in TASKS} for metric in more}
    return {
        "rows.parquet": rows_table(results),
        "metrics.parquet": pa.Table.from_pylist(metrics, METRICS_SCHEMA),
        "result.json": json.dumps({"benchmarks": benchmarks}).encode(),
    }


def evaluate(
    project: Project,
    checkpoint: Manifest | None,
    seeds: Sequence[Mapping[str, Any]],
    names: Sequence[int] = SEEDS,
    **more: Any,
) -> Manifest:
    """Evaluations of a checkpoint's seeds, the promoted one first, or of the base model."""
    if checkpoint is None:
        base = {f"base/{name}": content for name, content in seeds[0].items()}
        more = {"parameters": PARAMETERS | {"base_model": BASE_MODEL}} | more
        return put(project, commit(project.store, "base_model_results", base), None, **more)
    files = {
        f"seed-{name}/{file}": content
        for name, seed in zip(names, seeds, strict=False)
        for file, content in seed.items()
    }
    key = f"finetuned_checkpoint[{checkpoint.partition}]"
    artifact = commit(project.store, "eval_results", files)
    return put(project, artifact, checkpoint.partition, **{"inputs": {key: checkpoint.content_version}, **more})


def losses(shift: float = 0.0, spread: float = 0.0, rows: Sequence[str] = tuple(ROWS)) -> dict[str, float]:
    """A loss for every row: `shift` for all, and a `spread` that goes up for every other task."""
    return {id_: 2 + shift + spread * (-1) ** TASKS.index(ROWS[id_]) for id_ in rows}


def model_of(manifest: Manifest, seed: int = 3) -> Promoted:
    budget, recipe = str(manifest.partition).split("|")
    return Promoted(budget=int(budget), recipe=recipe, seed=seed, content_version=manifest.content_version)


def night(project: Project, name: str, *seeds: Any, later: int = 0, **more: Any) -> Promoted:
    """A new checkpoint and the evaluation of its seeds, the one to promote first."""
    checkpoint = train(project, name, later=later)
    evaluate(project, checkpoint, seeds, **more)
    return model_of(checkpoint)


def chosen_production(project: Project, *seeds: Any) -> Promoted:
    """A model that a person made production; what is trained a minute later is for the rule."""
    night(project, "chosen", *seeds)
    return promote(project, 10, "smart").production


def production_of(project: Project, *seeds: Any, **more: Any) -> Promoted:
    """The first production, by the rule: it is as good as the base model."""
    evaluate(project, None, [seeds[0]], **more)
    model = night(project, "old", *seeds, **more)
    decision = consider(project)
    assert decision.promoted, decision.sentence
    return model


def rivals(project: Project, candidate: Any, **more: Any) -> Promoted:
    """Production by the rule, of loss 2 everywhere, and a newer candidate with its evaluation; gives the candidate."""
    production_of(project, measurement(losses()))
    return night(project, "new", *candidate, **more)


def accuracy(values: Sequence[float], rows: int = 20) -> list[TaskMetric]:
    """Accuracies of single tasks, and a group's own: were it counted, it would outweigh them."""
    single = [
        TaskMetric(task, "mmlu", "acc", value, None, rows, True) for task, value in zip(TASKS, values, strict=True)
    ]
    return [*single, TaskMetric("mmlu", "mmlu", "acc", 1000.0, None, rows, None)]


HALF = tuple(id_ for id_ in ROWS if id_.endswith(("0", "1")))


FIRST_TASK = tuple(id_ for id_, task in ROWS.items() if task == "one")
