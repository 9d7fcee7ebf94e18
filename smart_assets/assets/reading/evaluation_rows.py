"""All rows that a model is evaluated on, held out or from outside the store, and the rows to compare them with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets import raw_tasks
from smart_assets.assets.step import Inputs
from smart_assets.core.metrics import HELD_OUT
from smart_assets.core.progress import Log
from smart_assets.core.stored_chat import parse_stored
from smart_assets.evaluation.local_rows import read_local_rows
from smart_assets.evaluation.task_collections import collections_state, read_collections
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.files import folder_state
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.tasks.rows import content_hash
from smart_assets.training.formatting import ChatInstance

EVALUATION = pa.schema(
    [(name, pa.string()) for name in ("benchmark", "id", "task", "template", "prompt", "response", "prompt_hash")]
)
_BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class RowTexts:
    """The texts of some rows (n,)."""

    prompts: Sequence[str]
    responses: Sequence[str]
    others: Sequence[str]  # turns of a chat that are no part of its prompt: those of the system

    def whole(self) -> list[str]:
        """Return rows as one text each, the prompt first: a response leaks as a prompt does."""
        every = zip(self.prompts, self.responses, self.others, strict=True)
        return [" ".join(texts) for texts in every]


@dataclass(frozen=True)
class SourceRows:
    """The rows of one source, training and held-out ones."""

    name: str
    folder: Path  # of its `raw_tasks`

    @cached_property
    def rows(self) -> pa.Table:
        """`id`, `task`, `template` and `split`, in the order of the file."""
        return pq.read_table(self.folder / INSTANCES_FILE, columns=["id", "task", "template", "split"])

    @cached_property
    def train(self) -> NDArray[np.bool_]:
        """(n,) which of them are training rows."""
        return np.asarray(pc.equal(self.rows["split"], "train"))

    @cached_property
    def named(self) -> NDArray[np.bool_]:
        """(n,) which of them name a template."""
        return np.asarray(pc.not_equal(self.rows["template"], ""))

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(n,) the number of each row's task and template, from 0."""
        return numbered(self.rows, ["task", "template"])

    def signatures(self) -> NDArray[np.uint32]:
        """(n, WIDTH) of the prompts, mapped from the disk."""
        return np.load(self.folder / "signatures.npy", mmap_mode="r", allow_pickle=False)

    def texts(self) -> Iterator[RowTexts]:
        """Yield some thousand rows at a time."""
        with pq.ParquetFile(self.folder / INSTANCES_FILE) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["prompt", "response", "messages"]):
                prompts, responses, turns = (column.to_pylist() for column in batch.columns)
                yield RowTexts(prompts, responses, [*map(_beyond_the_prompt, prompts, turns)])

    def prompts(self) -> Iterator[Sequence[str]]:
        """Yield the prompts alone, some thousand at a time."""
        with pq.ParquetFile(self.folder / INSTANCES_FILE) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["prompt"]):
                yield batch["prompt"].to_pylist()

    def held_out(self) -> pa.Table:
        """Return the held-out rows as EVALUATION."""
        columns = [name for name in EVALUATION.names if name != "benchmark"]
        rows = pq.read_table(self.folder / INSTANCES_FILE, columns=columns, filters=pc.field("split") == "validation")
        return rows.add_column(0, "benchmark", pa.array([HELD_OUT] * rows.num_rows, pa.string())).cast(EVALUATION)


@dataclass(frozen=True)
class EvaluationRows:
    """All evaluation rows; those of a benchmark stand together."""

    rows: pa.Table  # EVALUATION; held-out rows first, source by source
    held_out: int  # how many these are

    @cached_property
    def outside(self) -> pa.Table:
        """Those that are read outside the store."""
        return self.rows.slice(self.held_out)

    @cached_property
    def benchmarks(self) -> list[tuple[str, int, int]]:
        """Name, first row and the row after the last of each benchmark that has rows."""
        runs = pc.run_end_encode(self.rows["benchmark"].combine_chunks())
        stops: list[int] = runs.run_ends.to_pylist()
        return list(zip(runs.values.to_pylist(), [0, *stops][:-1], stops, strict=True))

    def prompts(self) -> Iterator[Sequence[str]]:
        """Yield the prompts alone, some thousand at a time."""
        for batch in self.rows.select(["prompt"]).to_batches(_BATCH_ROWS):
            yield batch["prompt"].to_pylist()

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """(e,) the number of each row's benchmark, from 0."""
        return numbered(self.rows, ["benchmark"])

    def texts(self) -> Iterator[RowTexts]:
        """Yield some thousand rows at a time."""
        for batch in self.rows.select(["prompt", "response"]).to_batches(_BATCH_ROWS):
            yield RowTexts(batch["prompt"].to_pylist(), batch["response"].to_pylist(), [""] * batch.num_rows)


def read_sources(project: Project, inputs: Inputs) -> list[SourceRows]:
    """Return the rows of all sources, by name: their order in `smart.yaml` decides nothing."""
    return [SourceRows(source, inputs.folder(raw_tasks.NAME, source)) for source in sorted(project.settings.sources)]


def read_evaluation_rows(project: Project, sources: Sequence[SourceRows], log: Log) -> EvaluationRows:
    """Held-out rows, then what is asked of collections, and lm-eval's local sets, by name.

    Raises:
        SourceError: a collection or folder cannot be read.
        EvaluationError: a local set holds something else than JSON objects.
    """
    evaluate = project.settings.evaluate
    held_out = pa.concat_tables([EVALUATION.empty_table(), *(source.held_out() for source in sources)])
    hashes = project.store.cache_folder("file_hashes")
    collections = {
        collection.benchmark.name: collection.benchmark.asked()
        for collection in read_collections(evaluate, log, hashes)
    }
    local = {name: read_local_rows(name, Path(folder)) for name, folder in evaluate.local_data.items()}
    outside = [_table(name, rows) for name, rows in [*sorted(collections.items()), *sorted(local.items())]]
    return EvaluationRows(pa.concat_tables([held_out, *outside]), held_out.num_rows)


def outside_state(project: Project) -> tuple[dict[str, Any], dict[str, str]]:
    """Return how collections and local sets are read; and what they hold, by file or commit.

    Raises:
        SourceError: one of them cannot be found or reached.
    """
    evaluate = project.settings.evaluate
    if not (evaluate.collections or evaluate.local_data):
        return {}, {}
    hashes = project.store.cache_folder("file_hashes")
    collections = collections_state(evaluate, hashes)
    local = {
        name: folder_state(Path(folder), hashes / f"evaluate.local_data-{json_version(folder)[:8]}.json")
        for name, folder in evaluate.local_data.items()
    }
    held: dict[str, dict[str, str]] = {name: state["outside"] for name, state in collections.items()} | local
    outside = {f"{name}: {file}": version for name, files in held.items() for file, version in files.items()}
    parameters: dict[str, Any] = {"collections": {name: state["source"] for name, state in collections.items()}}
    if evaluate.max_rows_per_task is not None:  # only what is asked is evaluation text
        parameters["max_rows_per_task"] = evaluate.max_rows_per_task
    return parameters | {"local_data": sorted(local)}, outside


def numbered(rows: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each row's values in some columns (n,): from 0, the same for the same values."""
    numbers = np.zeros(rows.num_rows, np.int64)
    for name in columns:
        encoded = rows[name].combine_chunks().dictionary_encode()
        numbers = numbers * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
        numbers = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    return numbers


def _beyond_the_prompt(prompt: str, turns: str | None) -> str:
    """Return what a chat's turns say that its prompt does not."""
    if turns is None:
        return ""
    return " ".join(turn["content"] for turn in parse_stored(turns).turns if turn["content"] not in prompt)


def _table(benchmark: str, instances: Sequence[ChatInstance]) -> pa.Table:
    return pa.table(
        {
            "benchmark": [benchmark] * len(instances),
            "id": [instance.id for instance in instances],
            "task": [instance.task for instance in instances],
            "template": [""] * len(instances),
            "prompt": [instance.prompt for instance in instances],
            "response": [instance.response for instance in instances],
            "prompt_hash": [content_hash(instance.prompt) for instance in instances],
        },
        EVALUATION,
    )
