"""Nothing of a row vanishes: what is not read is counted, in any format, whole or in pieces, now or taken over."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.core.errors import SourceError
from smart_assets.tasks import reasons
from smart_assets.tasks.file_names import parse_name
from smart_assets.tasks.file_rows import FileLimits
from smart_assets.tasks.formats import pieces_of
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.unread import COLUMNS_FILE, ReadColumns, UnreadValues, summed_up
from smart_assets_tests.support.read_rows import read_folder
from smart_assets_tests.support.small_source import edit, make_small, small_project

ROWS = [{"prompt": f"p{n}", "response": "r", "lang": "en" if n else "", "tags": [n], "note": None} for n in range(3)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".arrow":
            table = pa.Table.from_pylist(rows)
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        case ".json":
            path.write_text(json.dumps(rows))
        case _:
            path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.parquet", "t.arrow"])
def test_columns_are_counted_where_they_have_a_value(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    result, log = read_folder(tmp_path)
    assert [tuple(row.values()) for row in result.columns.to_pylist()] == [
        (name, "prompt and response", "column", "lang", 2),
        (name, "prompt and response", "column", "tags", 3),
        (name, "prompt and response", "read as", "", 3),
    ]
    said = [line.partition(": ")[2] for line in log]
    assert f"read as prompt and response: 3 rows of {name}" in said
    assert "not read: column `lang` (2 rows have a value)" in said


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet", "t.csv"])
def test_rows_that_differ_in_what_is_not_read_are_no_exact_duplicates(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "p", "response": "r", "input_2": text} for text in ("a", "a", "b")]
    if name == "t.csv":
        lines = ["prompt,response,input_2", *(",".join(row.values()) for row in rows)]
        (tmp_path / name).write_text("\n".join(lines))
    else:
        write(tmp_path / name, rows)
    result, _ = read_folder(tmp_path)
    assert result.rejected["reason"].to_pylist() == [reasons.DUPLICATE, reasons.REPEATS_WHAT_IS_READ]


def test_turns_and_their_keys_make_a_difference(tmp_path: Path) -> None:
    chats = [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "thought": thought}]
        for thought in ("a", "b", "b")
    ]
    write(tmp_path / "t.jsonl", [{"messages": chat} for chat in chats])
    result, _ = read_folder(tmp_path)
    assert result.rejected["reason"].to_pylist() == [reasons.REPEATS_WHAT_IS_READ] * 2
    assert summed_up(result.columns) == {"key of a turn `thought`": 3}


def test_bytes_of_pictures_are_not_loaded_and_rows_with_some_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = {"bytes": b"x" * 1000, "path": "x.png"}
    rows = [{"prompt": f"p{n}", "response": "r", "image": picture if n else None, "scan": b"y"} for n in range(3)]
    write(tmp_path / "t.parquet", rows)
    loaded: list[str] = []
    batches = pq.ParquetFile.iter_batches

    def recorded(self: Any, *args: Any, columns: Any, **options: Any) -> Any:
        loaded.extend(columns)
        return batches(self, *args, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", recorded)
    result, _ = read_folder(tmp_path)
    assert loaded == ["prompt", "response", "image.path", "scan"]
    assert result.rejected["reason"].to_pylist() == [reasons.medium("images")] * 2
    assert summed_up(result.columns) == {"column `scan`": 3}


def test_an_error_names_the_columns_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"question": "q", "answer": "a"}])
    write(tmp_path / "b.parquet", [{"body": "b"}])
    with pytest.raises(SourceError, match=r"Its columns are `question`, `answer`, `body`\. Name its columns"):
        read_folder(tmp_path)


def test_hostile_names_are_shortened_escaped_and_few(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "response": "r", f"key {n:03}": 1, "\x1b[31m" + "x" * 500: 1} for n in range(400)]
    write(tmp_path / "t.jsonl", rows)
    result, log = read_folder(tmp_path)
    assert result.columns.num_rows < 210
    assert sum(row["rows"] for row in result.columns.to_pylist() if row["kind"] == "column") == 800
    assert all(line.isprintable() and len(line) < 300 for line in log)
    assert len(log) < 40


KEYS = st.lists(st.tuples(st.sampled_from(["A", "B"]), st.lists(st.integers(0, 600), max_size=3)), max_size=400)


@given(KEYS, st.integers(0, 400))
def test_counts_of_pieces_are_those_of_the_whole(rows: list[tuple[str, list[int]]], cut: int) -> None:
    def counted(part: list[tuple[str, list[int]]]) -> ReadColumns:
        columns = ReadColumns()
        for layout, keys in part:
            columns.add(layout, UnreadValues([(str(key), 1) for key in {*keys}]))
        return ReadColumns.from_json(json.loads(json.dumps(columns.as_json())))

    pieces = counted(rows[:cut])
    pieces.add_all(counted(rows[cut:]))
    assert pieces.counts == counted(rows).counts


def test_what_is_not_read_is_taken_over_for_files_that_did_not_change(tmp_path: Path) -> None:
    row = {"prompt": "p", "response": "r"}
    lines = [json.dumps({**row, "note": note}) for note in ("a", "b")]
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"a.jsonl": "\n".join(lines), "b.jsonl": json.dumps({"inputs": "p", "targets": "r", "x": 1})})
    make_small(project)
    edit(tmp_path / "in", {"b.jsonl": json.dumps({**row, "prompt": "other", "y": 1})})
    log: list[str] = []
    manifest = make_small(project, log).manifest
    assert manifest.made["files reused"] == 1
    fresh = small_project(tmp_path / "fresh", tmp_path / "in")
    expected = make_small(fresh).manifest
    columns = [
        pq.read_table(each.store.folder(made.attachments["origins"]) / COLUMNS_FILE)
        for each, made in ((project, manifest), (fresh, expected))
    ]
    assert columns[0].equals(columns[1])
    assert manifest.attachments["origins"].version == expected.attachments["origins"].version
    assert manifest.summary["rows with a value that is not read"] == {"column `note`": 2, "column `y`": 1}
    assert any("read as prompt and response: 3 rows of 2 files" in line for line in log)


OASST = [
    {"message_id": "m1", "parent_id": None, "text": "Hi", "role": "prompter", "lang": "en"},
    {"message_id": "m2", "parent_id": "m1", "text": "Worse", "role": "assistant", "rank": 1},
    {"message_id": "m3", "parent_id": "m1", "text": "Hello", "role": "assistant", "rank": 0},
    {"message_id": "m4", "parent_id": "gone", "text": "Orphan", "role": "assistant"},
    {"message_id": "m5", "parent_id": "m5", "text": "Loop", "role": "assistant"},
    {"message_id": "m1", "parent_id": None, "text": "Again", "role": "prompter"},
]


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_messages_become_trees_wherever_they_stand(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [*OASST[1:3], OASST[0], *OASST[3:]])
    result, log = read_folder(tmp_path)
    assert [(row["prompt"], row["response"]) for row in pa.concat_tables(result.instances(9)).to_pylist()] == [
        ("Hi", "Hello")
    ]
    assert result.origins["line"].to_pylist() == [3]
    assert [(row["line"], row["reason"]) for row in result.rejected.to_pylist()] == [
        (4, reasons.NO_ROOT),
        (5, reasons.NO_ROOT),
        (6, reasons.BAD_MESSAGE_ID),
    ]
    assert summed_up(result.columns)["turns of other branches"] == 1
    assert any("read as OpenAssistant (best-ranked path)" in line for line in log)
    assert pieces_of(tmp_path / name, parse_name(name), 1, FileLimits()) == [None]


def test_messages_are_plain_rows_where_the_settings_say_so(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{**OASST[0], "answer": "a"}])
    assert read_folder(tmp_path, columns=Columns(prompt="text", response="answer"))[0].rows.num_rows == 1


def test_instances_of_a_definition_are_rows(tmp_path: Path) -> None:
    instances = [{"id": f"t-{n}", "input": f"stone {n}", "output": ["heavy", "light"][: n + 1]} for n in range(2)]
    document = {"Contributors": ["x"], "Definition": ["Weigh it."], "Positive Examples": [{"input": "a"}]}
    (tmp_path / "t.json").write_text(json.dumps({**document, "Negative Examples": [], "Instances": instances}))
    result, _ = read_folder(tmp_path)
    rows = pa.concat_tables(result.instances(9)).to_pylist()
    assert {(row["prompt"], row["response"]) for row in rows} == {
        ("Weigh it.\n\nstone 0", "heavy"),
        ("Weigh it.\n\nstone 1", "heavy"),
    }
    assert summed_up(result.columns) == {
        "column `Contributors (of the file)`": 2,
        "column `Positive Examples (of the file)`": 2,
        "column `id`": 2,
        "column `output, all but the first`": 1,
    }


def test_names_that_look_the_same_are_told(tmp_path: Path) -> None:
    for name in ("caf\xe9", "cafe\u0301"):
        write(tmp_path / f"{name}.jsonl", [{"prompt": name, "response": "r"}])
    assert any(r"'cafe\u0301' and 'caf\xe9' look the same" in line for line in read_folder(tmp_path)[1])
