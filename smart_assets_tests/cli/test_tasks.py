"""`smart tasks`: every row that was read stands in one column, every file is listed, and what is odd is said."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from smart_assets.assets.reading.task_listing import TaskListing, list_tasks
from smart_assets.assets.records import EmbeddingSummary, LongRows
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.cli.main import app
from smart_assets.core.errors import SourceError
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make, read_rows
from smart_assets_tests.support.projects import rows, write_project, write_tasks
from smart_assets_tests.support.small_source import edit, make_small, small_project


def lines(*values: dict[str, Any]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


LOST = lines(*({"question": f"q {index}"} for index in range(50)))
FILES = {
    "beta.jsonl": lines(*rows(2, 13)),
    "alllost.jsonl": LOST,
    "notrows.json": '{"train_files": 3}',
    "empty.jsonl": "",
    "half.jsonl": lines(*rows(3, 5)) + "not JSON\n" + lines({"prompt": "p", "response": None}),
    "notes.txt": "some notes",
}


def shown(project: Project, *options: str) -> str:
    result = CliRunner().invoke(app, ["tasks", "--config", str(project.root), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = small_project(tmp_path)
    edit(tmp_path / "in", FILES)
    make_small(made)
    return made


def test_every_row_stands_in_one_column(project: Project) -> None:
    answer = json.loads(shown(project, "--json"))
    tasks = {task["task"]: task for task in answer["tasks"]}
    assert set(tasks) == {"beta", "alllost", "notrows", "empty", "half"}
    for task in tasks.values():
        parts = ("training", "held_out", "evaluation_text", "refused")
        assert task["rows"] == sum(task[part] for part in parts), task
    assert {name: task["refused"] for name, task in tasks.items()} == {
        "beta": 0,
        "alllost": 50,
        "notrows": 1,
        "empty": 0,
        "half": 2,
    }
    manifest = current(project, "raw_tasks", "small")
    assert sum(task["rows"] for task in tasks.values()) == manifest.summary["rows"] + manifest.summary["rejected rows"]


def test_every_file_is_listed(project: Project) -> None:
    files = {file["file"]: file for file in json.loads(shown(project, "--json"))["files"]}
    assert set(files) == set(FILES)
    assert (files["half.jsonl"]["accepted"], files["half.jsonl"]["refused"]) == (5, 2)
    assert files["half.jsonl"]["reasons"] == {"not valid JSON": 1, "response is missing": 1}
    assert files["notes.txt"]["not_read"].startswith("plain text")
    assert [file["not_read"] for name, file in files.items() if name != "notes.txt"] == [None] * 5


def test_the_table_is_for_people(project: Project) -> None:
    table = shown(project).splitlines()
    assert table[0].split() == ["source", "task", "rows", "training", "held", "out", "refused"]
    numbers = [[int(word) for word in line.split()[-4:]] for line in table[1:7]]
    assert numbers[-1] == [sum(column) for column in zip(*numbers[:-1], strict=True)]
    assert any("notes.txt" in line and "not read: plain text" in line for line in table)
    assert any("alllost.jsonl" in line and "50 x prompt is missing" in line for line in table)
    assert "of 2 other files every row is accepted" in table


def test_csv_has_the_tasks(project: Project) -> None:
    answer = list(csv.DictReader(io.StringIO(shown(project, "--csv"))))
    assert {row["task"]: int(row["rows"]) for row in answer} == {
        "beta": 13,
        "half": 7,
        "alllost": 50,
        "notrows": 1,
        "empty": 0,
    }


def test_rows_that_name_no_task_are_no_task(tmp_path: Path) -> None:
    project = small_project(
        tmp_path, None, sources={"small": {"kind": "folder", "path": "in", "columns": {"task": "t"}}}
    )
    edit(tmp_path / "in", {"all.jsonl": lines(*({**row, "t": "named"} for row in rows(1, 4)), {"prompt": "p"})})
    make_small(project)
    tasks = json.loads(shown(project, "--json"))["tasks"]
    assert [(task["task"], task["rows"], task["refused"]) for task in tasks] == [("named", 4, 0), (None, 1, 1)]
    assert "(names no task)" in shown(project)


def test_a_source_without_rows_is_listed(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"alllost.jsonl": LOST})
    with pytest.raises(SourceError, match="none of its 50 rows"):
        make_small(project)
    table = shown(project)
    assert "alllost" in table
    assert "the last reading of `small` is not used: source" in table


def test_names_that_look_the_same_are_told(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {f"{name}.jsonl": lines(*rows(1, 3)) for name in ("caf\u00e9", "cafe\u0301", "Stones")})
    log: list[str] = []
    make_small(project, log)
    told = r"the tasks 'cafe\u0301' and 'caf\xe9' look the same and are kept apart"
    assert any(told in line for line in log)
    assert told in shown(project)


def test_rows_left_out_for_evaluation_text_are_not_training_rows(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    sources = {name: {"kind": "folder", "path": path} for name, path in (("small", "tasks"), ("other", "other"))}
    project = write_project(tmp_path, None, {"sources": sources, "contamination": {"similarity": None}})
    make(project, "raw_tasks[small]")
    every = read_rows(project, "raw_tasks", "instances.parquet", "small")
    held_out = [{name: row[name] for name in ("prompt", "response")} for row in every if row["split"] == "validation"]
    write_tasks(tmp_path / "other", {"asked": held_out})  # half of which no task of few rows holds out
    make(project, "evaluation_overlap")
    listing = listing_of(project)
    left_out = Counter({task.task: task.evaluation_text for task in listing.tasks})
    manifest = current(project, "evaluation_overlap")
    overlaps = pq.read_table(project.store.artifact(manifest) / "overlaps.parquet")
    assert left_out == count(overlaps)
    assert left_out.total() > 0
    for task in listing.tasks:
        assert task.rows == task.training + task.held_out + task.evaluation_text + task.refused


def test_long_prompts_are_counted(project: Project) -> None:
    rows_read = current(project, "raw_tasks", "small")
    summary = EmbeddingSummary(
        rows=9,
        distinct_prompts=9,
        dimensions=384,
        tasks=2,
        encoder="an encoder",
        precision="float32",
        long_prompts={"beta": LongRows(rows=4, read_in_part=1, most_windows=9, most_tokens=999)},
    )
    embedded = rows_read.model_copy(update={"asset": "prompt_embeddings", "summary": summary.as_kept()})
    inputs = {AssetPartition("raw_tasks", "small"): rows_read, AssetPartition("prompt_embeddings", "small"): embedded}
    tasks = list_tasks(project, Inputs(project.store, inputs)).tasks
    assert {task.task: task.long_prompts for task in tasks if task.long_prompts} == {"beta": 4}


def count(overlaps: pa.Table) -> Counter[str]:
    by_task = dict.fromkeys((row["id"], row["task"]) for row in overlaps.to_pylist())
    counts = Counter(task for _, task in by_task)
    return Counter({task: counts[task] for task in ("alpha", "beta", "gamma", "asked")})


def listing_of(project: Project) -> TaskListing:
    keys = [*(AssetPartition("raw_tasks", name) for name in ("small", "other")), AssetPartition("evaluation_overlap")]
    return list_tasks(project, Inputs(project.store, {key: current(project, key.asset, key.partition) for key in keys}))
