"""Every task and every file of the sources, and what became of their rows: the figures of `smart tasks`.

A row that was read is trained on, held out, left out for evaluation text, or refused: these add up to all rows. A
source whose last reading accepted no row and that has no earlier rows is listed by that reading.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import evaluation_overlap, prompt_embeddings, raw_tasks
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.records import EmbeddingSummary, LongRows
from smart_assets.assets.step import Inputs
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.read_result import INSTANCES_FILE


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task of a source: `rows` is the sum of the four counts after it."""

    source: str
    task: str | None  # None: rows that name no task
    rows: int
    training: int
    held_out: int
    evaluation_text: int  # training rows that are left out, since they hold text that is evaluated on
    refused: int
    long_prompts: int = 0  # of the accepted rows: longer than the encoder's window
    weights: Mapping[str, float] = field(
        default_factory=dict[str, float]
    )  # recipe -> share of the mixture, before caps


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a source, or a whole dataset."""

    source: str
    file: str
    accepted: int
    refused: int
    reasons: Mapping[str, int]  # why rows are refused
    not_read: str | None = None  # why nothing of it is read


@dataclass(frozen=True, slots=True)
class TaskListing:
    """All tasks and files, as the sources were read last."""

    tasks: tuple[ListedTask, ...]
    files: tuple[ListedFile, ...]
    refused: Mapping[str, str]  # source -> why nothing of its last reading may be used


def list_tasks(
    project: Project, inputs: Inputs, weights: Mapping[str, Mapping[str, float]] | None = None
) -> TaskListing:
    """Return the tasks and files of all sources that were read.

    Args:
        project: Whose sources.
        inputs: What is there.
        weights: Recipe -> task -> share of the mixture.
    """
    tasks: list[ListedTask] = []
    files: list[ListedFile] = []
    refused: dict[str, str] = {}
    evaluation_text = _with_evaluation_text(project, inputs)
    for source in project.settings.sources:
        last = project.store.last_refused(raw_tasks.NAME, source)
        if last is not None:
            refused[source] = str(last.refused)
        manifest = inputs.find(raw_tasks.NAME, source) or last
        if manifest is None:
            continue
        tasks += _tasks(inputs, source, manifest, evaluation_text, weights or {})
        files += _files(project, source, _origins(inputs, manifest))
    return TaskListing(tuple(tasks), tuple(files), refused)


def _origins(inputs: Inputs, manifest: Manifest) -> Path:
    return inputs.store.folder(manifest.attachments[ORIGINS_FOLDER])


def _tasks(
    inputs: Inputs,
    source: str,
    manifest: Manifest,
    evaluation_text: pa.Array,
    weights: Mapping[str, Mapping[str, float]],
) -> Iterator[ListedTask]:
    origins = _origins(inputs, manifest)
    rows = pq.read_table(inputs.store.artifact(manifest) / INSTANCES_FILE, columns=["id", "task", "split"])
    train = rows.filter(pc.equal(rows["split"], "train"))
    held_out = _counts(rows.filter(pc.not_equal(rows["split"], "train"))["task"])
    left_out = _counts(train.filter(pc.is_in(train["id"], value_set=evaluation_text))["task"])
    training, long = _counts(train["task"]), _long_prompts(inputs, source)
    refused = _counts(pq.read_table(origins / "rejected.parquet", columns=["task"])["task"])
    seen = pq.read_table(origins / "tasks.parquet", columns=["task"])["task"].to_pylist()
    names: list[str | None] = [*seen, *([None] if refused[None] else [])]
    for task in names:
        yield ListedTask(
            source,
            task,
            training[task] + held_out[task] + refused[task],
            training[task] - left_out[task],
            held_out[task],
            left_out[task],
            refused[task],
            long.get(str(task), 0),
            {recipe: by_task[task] for recipe, by_task in weights.items() if task is not None and task in by_task},
        )


def _with_evaluation_text(project: Project, inputs: Inputs) -> pa.Array:
    """Return the ids of rows that subsets leave out; none where such rows are kept, or were not looked for yet."""
    if not project.settings.contamination.exclude or inputs.find(evaluation_overlap.NAME) is None:
        return pa.array([], pa.string())
    overlaps = inputs.folder(evaluation_overlap.NAME) / "overlaps.parquet"
    return pq.read_table(overlaps, columns=["id"])["id"].unique()


def _long_prompts(inputs: Inputs, source: str) -> dict[str, int]:
    return {task: long.rows for task, long in (long_rows(inputs, source) or {}).items()}


def long_rows(inputs: Inputs, source: str) -> dict[str, LongRows] | None:
    """Return the rows with long prompts of a source's tasks, those with any; None where they were not counted."""
    embedded = inputs.find(prompt_embeddings.NAME, source)
    return None if embedded is None else EmbeddingSummary.read(embedded).long_prompts


def _files(project: Project, source: str, origins: Path) -> Iterator[ListedFile]:
    recorded = json.loads((origins / "files.json").read_text(encoding="utf-8"))
    not_read = {file["name"]: file["reason"] for file in recorded.get("not_read", [])}
    accepted = _counts(pq.read_table(origins / "origins.parquet", columns=["file"])["file"])
    rejected = pq.read_table(origins / "rejected.parquet", columns=["file", "reason"])
    reasons: dict[str, Counter[str]] = {}
    for row in rejected.group_by(["file", "reason"]).aggregate([([], "count_all")]).to_pylist():
        reasons.setdefault(row["file"], Counter())[row["reason"]] = row["count_all"]
    read = [file["path"] for file in recorded["files"]] if project.settings.sources[source].by_file else []
    for name in sorted({*read, *accepted, *reasons, *not_read}):
        why = reasons.get(name, Counter())
        yield ListedFile(source, name, accepted[name], why.total(), dict(why.most_common()), not_read.get(name))


def _counts(column: pa.ChunkedArray) -> Counter[Any]:
    return Counter({count["values"]: count["counts"] for count in pc.value_counts(column).to_pylist()})
