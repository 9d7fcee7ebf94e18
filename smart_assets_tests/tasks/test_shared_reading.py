"""Reading in several processes: the same rows in the same order as in one, and nothing left behind."""

import json
import os
import random
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import SourceError
from smart_assets.tasks import file_rows, reader, reasons, signatures
from smart_assets.tasks.file_names import parse_name
from smart_assets.tasks.file_rows import FileLimits, FileRows
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.forgotten import Forgotten, text_id
from smart_assets.tasks.formats import pieces_of
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import ReadOptions, read_source
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.signatures import SharedScratch, signatures_of
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.work_pool import WorkPool, work_pool
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.task_files import content_of

PIECE = 300  # bytes
FORGOTTEN = Forgotten(texts=frozenset([text_id("a.jsonl 7", "r", None)]))


@pytest.fixture(scope="module")
def pool() -> Generator[WorkPool]:
    pool = WorkPool(2)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(reader, "WORTH_BYTES", 1)
    monkeypatch.setattr(signatures, "_WORTH_ROWS", 1)


def values(name: str, count: int = 40) -> list[dict[str, str]]:
    return [{"prompt": f"{name} {n % 37}", "response": "r"} for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of every format, with rows that are refused, and some that are damaged."""
    top = tmp_path / "in"
    for name in ("a.jsonl", "b.csv", "c.json", "d.jsonl.gz", "e.arrow", "lang=en/f.jsonl", "lang=de/f.jsonl"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content_of(name, values(name)))
    lines = (top / "a.jsonl").read_bytes().splitlines()
    lines[3:3] = [b"no json", b"", b"\xef\xbb\xbf" + lines[1], b"x" * 900, b'{"prompt": "p"}']
    (top / "a.jsonl").write_bytes(
        b"\n".join([*lines, b'{"prompt": "own", "response": "r", "task_name": "of its own"}'])
    )
    columns = {"prompt": [f"g {n}" for n in range(500)], "response": ["r"] * 500}
    pq.write_table(pa.table(columns), top / "g.parquet", row_group_size=50)
    content = bytearray((top / "g.parquet").read_bytes())
    (top / "h.parquet").write_bytes(content)
    middle = pq.read_metadata(top / "h.parquet").row_group(4).column(0).data_page_offset
    content[middle : middle + 40] = b"\xaa" * 40
    (top / "i.parquet").write_bytes(content)
    (top / "j.jsonl").touch()
    return top


def read(folder: Path, scratch: Path, pool: WorkPool | None, **changes: Any) -> tuple[ReadResult, list[str]]:
    scratch.mkdir(exist_ok=True)
    log: list[str] = []
    options = ReadOptions(scratch, pool=pool)
    result = read_source(FolderSource(path=str(folder), **changes), folder, log.append, options, FORGOTTEN)
    return result, [line for line in log if not line.startswith("reading ")]


def test_processes_read_what_one_does(folder: Path, tmp_path: Path, pool: WorkPool) -> None:
    licences = {"allow": ["EN"], "column": "lang"}
    settings: dict[str, Any] = {"columns": {"keep": ["lang"]}, "licences": licences, "license": "en"}
    one, log = read(folder, tmp_path / "one", None, max_line_bytes=500, **settings)
    two, log_of_two = read(folder, tmp_path / "two", pool, max_line_bytes=500, **settings)
    assert log == log_of_two
    for name in ("rows", "origins", "rejected", "tasks", "kept"):
        assert getattr(one, name).equals(getattr(two, name)), name
    assert (one.files, one.rows_read, one.not_read) == (two.files, two.rows_read, two.not_read)
    assert list(one.instances(50)) == list(two.instances(50))
    assert "file cannot be read in its format" in one.rejected["reason"].to_pylist()
    assert {"line is longer than max_line_bytes", "not valid JSON"} < set(one.rejected["reason"].to_pylist())
    assert {"forgotten by `smart forget`", reasons.LICENCE} < set(one.rejected["reason"].to_pylist())
    assert set(one.kept["kept"].to_pylist()) == {'{"lang":"en"}'}
    assert any("of the rows read name no licence" in line for line in log)
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["rules.json"]


def test_prompts_are_sketched_as_by_one(folder: Path, tmp_path: Path, pool: WorkPool) -> None:
    result, _ = read(folder, tmp_path / "scratch", pool)
    expected = signatures_of(result, None, lambda _: None)
    shared = signatures_of(result, None, lambda _: None, SharedScratch(pool, tmp_path / "scratch"))
    assert np.array_equal(expected, shared)
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["rules.json"]


def test_an_artifact_has_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[dict[str, str]] = []
    for processes in ("1", "3"):
        monkeypatch.setenv("SMART_READ_PROCESSES", processes)
        sources = {"small": {"kind": "folder", "path": str(folder)}}
        project = write_project(tmp_path / processes, {"unused": []}, {"sources": sources, "budgets": [3]})
        make(project, "raw_tasks[small]")
        artifacts = current(project, "raw_tasks", "small").artifacts
        hashes.append({file.path: file.sha256 for artifact in artifacts for file in artifact.files})
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
@pytest.mark.parametrize("size", [1, 7, 64, 1000, 10**6])
def test_pieces_are_the_whole(tmp_path: Path, name: str, size: int) -> None:
    path, parsed = tmp_path / name, parse_name(name)
    rows = values(name)
    if name == "x.jsonl":
        lines = list(map(json.dumps, rows))
        random.Random(size).shuffle(lines)
        path.write_text("\n\n".join(lines) + "\n" * (size % 2))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    names = FieldNames(Columns())
    whole = [(row.line, row.value) for row in FileRows(str(path), parsed)(names)]
    pieces = [FileRows(str(path), parsed, piece=piece) for piece in pieces_of(path, parsed, size, FileLimits())]
    again = [FileRows.from_json(json.loads(json.dumps(piece.as_json()))) for piece in pieces]
    assert again == pieces
    assert [(row.line, row.value) for piece in again for row in piece(names)] == whole
    assert len(pieces) > 1 or size >= 1000


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="messages alone"),
        pytest.param("\n \n", id="blank lines first"),
        pytest.param("no json\n", id="a bad row first"),
        pytest.param('{"prompt": "p", "response": "r"}\n', id="another row first"),
        pytest.param('{"prompt": "p", "response": "message_id parent_id text role"}\n', id="its keys in a text"),
    ],
)
def test_trees_are_put_together_as_by_one_process(tmp_path: Path, pool: WorkPool, before: str) -> None:
    messages = [
        {"message_id": n, "parent_id": n - 1 if n % 4 else None, "text": f"t {n}", "role": ("user", "assistant")[n % 2]}
        for n in range(40)
    ]
    folder = tmp_path / "in"
    folder.mkdir()
    rows = "\n".join(map(json.dumps, messages))
    (folder / "a.jsonl").write_text(f"{before}{rows}\n")
    (folder / "b.jsonl").write_text('{"prompt": "good", "response": "r"}')
    one, log = read(folder, tmp_path / "one", None)
    two, log_of_two = read(folder, tmp_path / "two", pool)
    assert log == log_of_two
    assert one.rows.num_rows == (11 if not before.strip() else 2 if "response" in before else 1)
    assert (one.rows, one.rejected, one.columns) == (two.rows, two.rejected, two.columns)


def test_an_error_is_that_of_one_process(folder: Path, tmp_path: Path, pool: WorkPool) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "a.jsonl").write_bytes((folder / "a.jsonl").read_bytes())
    messages: list[str] = []
    for of_pool in (None, pool):
        with pytest.raises(SourceError, match=r"a.jsonl and deep/a.jsonl both give the task 'a'") as error:
            read(folder, tmp_path / str(of_pool is None), of_pool)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_an_error_about_all_rows_is_that_of_one_process(tmp_path: Path, pool: WorkPool) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        rows = [{f"{name} {n % 9}": "text", "prompt": f"{n}"} for n in range(50)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    messages: list[str] = []
    for of_pool in (None, pool):
        with pytest.raises(SourceError, match=r"none of its 100 rows can be used") as error:
            read(tmp_path, tmp_path / f".{of_pool is None}", of_pool)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_process_that_dies_is_named(folder: Path, tmp_path: Path) -> None:
    pool = WorkPool(1)
    with pytest.raises(RuntimeError, match="KeyError"):
        list(pool.answers([{"work": "nothing"}]))
    for process in pool._started:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with pytest.raises(SourceError, match=r"ended with status -9, as where memory .*Set SMART_READ_PROCESSES=1"):
        list(pool.answers([{"work": "read"}]))
    pool.close()


def test_a_job_that_fails_says_where(pool: WorkPool) -> None:
    with pytest.raises(RuntimeError, match=r"KeyError: 'nothing'"):
        list(pool.answers([{"work": "nothing"}]))


def test_processes_end_with_their_pool(pool: WorkPool) -> None:
    with work_pool() as other:
        with pytest.raises(RuntimeError, match="KeyError"):
            list(other.answers([{"work": "nothing"}] * 3))
        started = list(other._started)
        assert started
        assert all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


@pytest.mark.parametrize("asked", ["0", "two", "-1"])
def test_a_number_of_processes_that_is_none_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_READ_PROCESSES", asked)
    with pytest.raises(SourceError, match="is a number of processes, 1 or more; got"), work_pool():
        pass


def test_little_is_read_without_processes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "WORTH_BYTES", 10**6)
    pool = WorkPool(2)
    read(folder, tmp_path / "scratch", pool)
    assert pool._started == []
    pool.close()
