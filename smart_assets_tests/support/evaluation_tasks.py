"""What there is to evaluate: tasks of lm-eval, a collection of rows, and held-out rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from smart_assets.evaluation.job import EvaluationJob
from smart_assets.training.formatting import INSTANCE_COLUMNS

CHOICE = {"output_type": "multiple_choice", "doc_to_choice": ["no", "yes"], "doc_to_target": "answer"}
WRITTEN = {
    "output_type": "generate_until",
    "doc_to_target": "answer",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "num_fewshot": 0,
}


def write_task(folder: Path, name: str, rows: Path, fields: dict[str, Any]) -> None:
    place = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}}, "test_split": "test"}
    write_yaml(folder / f"{name}.yaml", {"task": name, **place, "doc_to_text": "{{question}}", **fields})


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content))


LONG = "the cat sat on the mat then it slept and it breathes air"


def write_collection(folder: Path) -> Path:
    """Twelve rows of a choice, three long answers, and two rows that are rejected."""
    folder.mkdir()
    choices = [{"input": f"Is {at} + {at} even?", "target": ["Yes", "No"][at % 2]} for at in range(12)]
    long = [{"input": f"Summarize number {at}: {LONG}", "target": f"{LONG} {at}"} for at in range(3)]
    write_lines(folder / "choice.jsonl", [*choices, {"input": "no target"}])
    write_lines(folder / "long.jsonl", [*long, long[0]])
    return folder


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


TASKS = ["<script>|..", "plain words"]


def write_questions(path: Path, count: int, word: str = "") -> None:
    """Rows of a task whether a number is even, by turns yes and no."""
    asked = f"{word} " if word else ""
    write_lines(path, [{"question": f"Is {asked}{at} even?", "answer": ["yes", "no"][at % 2]} for at in range(count)])


def evaluation_job(
    folder: Path, out: Path, evaluate: Mapping[str, Any] | None = None, /, **fields: Any
) -> EvaluationJob:
    """A job for the model in `folder`; its settings `evaluate`, and other fields."""
    own = {"model": folder / "model", "model_cache": folder / "cache", "out": out, "precision": "float32"}
    return EvaluationJob.model_validate({**own, "evaluate": dict(evaluate or {}), **fields})


def write_rows(path: Path, count: int) -> None:
    rows = [
        {
            "id": f"{task}{number}",
            "task": task,
            "prompt": f"What is {number}?",
            "response": f"{number}",
            "messages": None,
        }
        for task in TASKS
        for number in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema({name: pa.string() for name in INSTANCE_COLUMNS})), path)
