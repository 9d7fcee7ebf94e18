import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_assets.tasks import reasons
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.source_kind import Columns
from smart_assets_tests.support.read_rows import refusals, rows_of

GOOD = {"prompt": "good question", "response": "good answer"}
GOOD_LINE = json.dumps(GOOD).encode()
LIMIT = 200


def read(folder: Path, columns: Columns | None = None) -> ReadResult:
    source = FolderSource(path=str(folder), columns=columns or Columns(), max_line_bytes=LIMIT)
    return read_source(source, folder, lambda _: None)


def parquet(path: Path, **columns: pa.Array) -> None:
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b'{"prompt": "p"', reasons.NOT_JSON, id="cut off"),
        pytest.param(b"prompt,response", reasons.NOT_JSON, id="not JSON at all"),
        pytest.param(b'{"prompt": "a\tb"}', reasons.NOT_JSON, id="raw control character"),
        pytest.param(b"[" * 150, reasons.NOT_JSON, id="unclosed lists"),
        pytest.param(b'["p", "r"]', reasons.NOT_AN_OBJECT, id="a list"),
        pytest.param(b'"text"', reasons.NOT_AN_OBJECT, id="a string"),
        pytest.param(b"null", reasons.NOT_AN_OBJECT, id="null"),
        pytest.param(b'{"prompt": "\xff", "response": "r"}', reasons.NOT_UTF8, id="invalid UTF-8"),
        pytest.param(b'{"prompt": "\\ud800", "response": "r"}', reasons.NOT_UTF8, id="escaped surrogate"),
        pytest.param(b'{"prompt": "\0", "response": "r"}', reasons.NUL, id="NUL byte"),
        pytest.param(b'{"prompt": "\\u0000", "response": "r"}', reasons.NUL, id="escaped NUL"),
        pytest.param(b'{"prompt": "p"}', "response is missing", id="missing field"),
        pytest.param(b'{"prompt": "p", "response": 4}', "response has the wrong type: a number", id="wrong type"),
        pytest.param(b'{"prompt": " ", "response": "r"}', "prompt is empty", id="empty prompt"),
        pytest.param(b'{"prompt": "p", "response": ""}', "response is empty", id="empty response"),
        pytest.param(GOOD_LINE, reasons.DUPLICATE, id="exact duplicate"),
        pytest.param(b'{"prompt": "' + b"x" * LIMIT + b'"}', reasons.LINE_TOO_LONG, id="line too long"),
        pytest.param(b"x" * (LIMIT + 1), reasons.LINE_TOO_LONG, id="line one too long"),
        pytest.param(b"x" * 3_000_000, reasons.LINE_TOO_LONG, id="line much too long"),
        pytest.param(b'{"messages": [{"role": "user", "content": "x"}]}', reasons.NO_ASSISTANT, id="no assistant"),
    ],
)
def test_a_bad_line_is_rejected_and_the_next_one_read(tmp_path: Path, line: bytes, reason: str) -> None:
    after = b'{"prompt": "after", "response": "r"}'
    (tmp_path / "task.jsonl").write_bytes(b"\n".join([GOOD_LINE, b"", line, after]))
    result = read(tmp_path)
    assert refusals(result) == [("task.jsonl", 3, reason)]
    assert sorted(result.origins["line"].to_pylist()) == [1, 4]
    assert result.tasks.to_pylist() == [{"task": "task", "accepted": 2, "rejected": 1}]
    excerpt = result.rejected["excerpt"][0].as_py()
    assert excerpt is None if reason == reasons.DUPLICATE else 0 < len(excerpt) <= 200


def test_deep_nesting_and_huge_numbers_are_only_bad_lines(tmp_path: Path) -> None:
    lines = [b"[" * 100_000 + b"]" * 100_000, b'{"prompt": ' + b"9" * 5_000 + b"}", GOOD_LINE]
    (tmp_path / "task.jsonl").write_bytes(b"\n".join(lines))
    result = read_source(FolderSource(path=str(tmp_path)), tmp_path, lambda _: None)
    assert refusals(result) == [("task.jsonl", 1, reasons.NOT_JSON), ("task.jsonl", 2, reasons.NOT_JSON)]


def test_a_line_of_just_the_limit_is_read(tmp_path: Path) -> None:
    line = json.dumps({**GOOD, "pad": "x" * (LIMIT - len(json.dumps({**GOOD, "pad": ""})))}).encode()
    assert len(line) == LIMIT
    (tmp_path / "task.jsonl").write_bytes(line + b"\n" + line)
    assert refusals(read(tmp_path)) == [("task.jsonl", 2, reasons.DUPLICATE)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(b"p,r,x", reasons.FIELD_COUNT, id="a comma too many"),
        pytest.param(b"p", reasons.FIELD_COUNT, id="a field too few"),
        pytest.param(b'"p"x,r', reasons.BAD_QUOTES, id="text after a quote"),
        pytest.param(b'p,"never closed', reasons.BAD_QUOTES, id="quote never closed"),
        pytest.param(b'p,"' + b"\n".join([b"x" * 150] * 3), reasons.BAD_QUOTES, id="quote never closed, more lines"),
        pytest.param(b" ,r", "prompt is empty", id="empty prompt"),
        pytest.param(b"p,", "response is empty", id="empty response"),
        pytest.param(b"p,\xff", reasons.NOT_UTF8, id="invalid UTF-8"),
        pytest.param(b"p,\0", reasons.NUL, id="NUL byte"),
        pytest.param(b"p," + b"x" * LIMIT, reasons.LINE_TOO_LONG, id="line too long"),
        pytest.param(b'"p,\n' + b"x" * (LIMIT + 1) + b'\n",r', reasons.LINE_TOO_LONG, id="long line inside quotes"),
        pytest.param(b"good question,good answer", reasons.DUPLICATE, id="exact duplicate"),
    ],
)
def test_a_bad_csv_record_is_rejected_and_the_next_one_read(tmp_path: Path, record: bytes, reason: str) -> None:
    lines = [b"\xef\xbb\xbfprompt,response", b'good question,"good answer"', b"", record, b'after,"two\nlines"']
    (tmp_path / "task.csv").write_bytes(b"\r\n".join(lines))
    result = read(tmp_path)
    assert refusals(result)[0] == ("task.csv", 4, reason)
    assert set(rows_of(result)["prompt"].to_pylist()) == {"good question", "after"}


def test_the_lines_of_an_unclosed_quote_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "task.csv").write_text('prompt,response\np,"never closed\nsecond,r\nthird,"r"\n"fourth",r\n')
    result = read(tmp_path)
    assert refusals(result) == [("task.csv", 2, reasons.BAD_QUOTES)]
    assert sorted(result.origins["line"].to_pylist()) == [3, 4, 5]


def test_everything_in_csv_is_text_and_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "task.csv").write_text(f"prompt,response,template\n1,2,3\n{'x' * 300_000},r,\n")
    result = read_source(FolderSource(path=str(tmp_path)), tmp_path, lambda _: None)
    assert result.rejected.num_rows == 0
    assert {(row["template"], len(row["prompt"])) for row in rows_of(result).to_pylist()} == {
        ("3", 1),
        ("", 300_000),
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("bad.parquet", b"this is text", reasons.FILE_UNREADABLE, id="Parquet that is text"),
        pytest.param("bad.parquet", b"", reasons.FILE_UNREADABLE, id="empty Parquet"),
        pytest.param("bad.csv", b"p,r\np2,r2\n", reasons.FILE_NO_COLUMNS, id="CSV without header"),
        pytest.param("bad.csv", b"", reasons.FILE_NO_COLUMNS, id="empty CSV"),
        pytest.param("bad.csv", b'"prompt,response\n', reasons.FILE_NO_COLUMNS, id="CSV header with an open quote"),
        pytest.param("bad.csv", b"prompt,response,prompt\na,b,c\n", reasons.FILE_NO_COLUMNS, id="CSV column twice"),
        pytest.param("bad.json", b"", reasons.FILE_NOT_JSON, id="empty JSON"),
        pytest.param("bad.json", b'[{"prompt": "p"', reasons.FILE_NOT_JSON, id="JSON cut off"),
        pytest.param("bad.json", GOOD_LINE + b"\n" + GOOD_LINE, reasons.FILE_NOT_JSON, id="JSON lines named JSON"),
        pytest.param("bad.json", b"[" * 100_000, reasons.FILE_NOT_JSON, id="JSON nested deeply"),
        pytest.param("bad.json", "[{}]".encode("utf-16"), reasons.FILE_UTF16, id="UTF-16"),
        pytest.param("bad.json", b'"text"', reasons.FILE_NO_LIST, id="JSON that is text"),
        pytest.param("bad.json", GOOD_LINE, reasons.FILE_NO_LIST, id="JSON of one object"),
        pytest.param("bad.json", b'{"prompt": ["p"], "response": ["r"]}', reasons.FILE_NO_LIST, id="JSON of columns"),
    ],
)
def test_a_bad_file_is_rejected_and_the_next_one_read(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.jsonl").write_bytes(GOOD_LINE)
    result = read(tmp_path)
    assert refusals(result) == [(name, None, reason)]
    assert result.tasks.to_pylist() == [
        {"task": "bad", "accepted": 0, "rejected": 1},
        {"task": "good", "accepted": 1, "rejected": 0},
    ]


def test_a_truncated_parquet_file_is_rejected(tmp_path: Path) -> None:
    parquet(tmp_path / "whole.parquet", prompt=pa.array(["p"] * 100), response=pa.array([str(n) for n in range(100)]))
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    result = read(tmp_path)
    assert refusals(result) == [("cut.parquet", None, reasons.FILE_UNREADABLE)]
    assert "" not in [file.sha256 for file in result.files]
    assert rows_of(result).num_rows == 100


def test_a_parquet_file_damaged_in_the_middle_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "task.parquet"
    parquet(path, prompt=pa.array([f"p{n}" * 50 for n in range(5000)]), response=pa.array(["r"] * 5000))
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xaa" * 1900
    path.write_bytes(content)
    (tmp_path / "good.jsonl").write_bytes(GOOD_LINE)
    assert ("task.parquet", None, reasons.FILE_UNREADABLE) in refusals(read(tmp_path))


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        pytest.param(pa.array([1, 2]), "number", id="numbers"),
        pytest.param(pa.array([b"p", b"q"]), "bytes", id="binary"),
        pytest.param(pa.array([True, False]), "boolean", id="booleans"),
        pytest.param(pa.array([None, None], pa.string()), "prompt is missing", id="nulls"),
        pytest.param(pa.array([["p"], ["q"]]), "a list", id="lists"),
    ],
)
def test_a_parquet_column_of_another_type_rejects_its_rows(tmp_path: Path, prompts: pa.Array, reason: str) -> None:
    parquet(tmp_path / "bad.parquet", prompt=prompts, response=pa.array(["r", "s"]))
    (tmp_path / "good.jsonl").write_bytes(GOOD_LINE)
    rejected = read(tmp_path).rejected.to_pylist()
    assert [row["line"] for row in rejected] == [1, 2]
    assert all(reason in row["reason"] for row in rejected)


def test_invalid_utf8_in_parquet_rejects_its_row_alone(tmp_path: Path) -> None:
    prompts = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb")]
    )
    parquet(tmp_path / "task.parquet", prompt=prompts, response=pa.array(["r", "r", "r"]))
    result = read(tmp_path)
    assert refusals(result) == [("task.parquet", 2, reasons.NOT_UTF8)]
    assert sorted(rows_of(result)["prompt"].to_pylist()) == ["a", "b"]


def test_all_formats_hold_the_same(tmp_path: Path) -> None:
    rows = [{"inputs": f"p{n}", "targets": 'r, "quoted"\nline', "task_name": "t"} for n in range(3)]
    (tmp_path / "a.JSONL").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    (tmp_path / "c.json").write_text(json.dumps({"canary": "x", "examples": rows}))
    (tmp_path / "d.csv").write_text(
        "inputs,targets,task_name\n" + "".join(f'{row["inputs"]},"r, ""quoted""\nline",t\n' for row in rows)
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    result = read(tmp_path)
    assert rows_of(result).num_rows == 3
    assert refusals(result) == [
        (name, line, reasons.REPEATS_WHAT_IS_READ if name == "c.json" else reasons.DUPLICATE)
        for name, lines in [
            ("b.json", (1, 2, 3)),
            ("c.json", (1, 2, 3)),
            ("d.csv", (2, 4, 6)),
            ("e.parquet", (1, 2, 3)),
        ]
        for line in lines
    ]


def test_chats_are_read_from_parquet(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    parquet(tmp_path / "chat.parquet", messages=pa.array([turns, turns[:1]]))
    result = read(tmp_path)
    assert refusals(result) == [("chat.parquet", 2, reasons.NO_ASSISTANT)]
    assert rows_of(result)["prompt"].to_pylist() == ["hi"]


def test_a_missing_task_column_rejects_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("prompt,response\np,r\n")
    (tmp_path / "good.jsonl").write_bytes(json.dumps({**GOOD, "subject": "math"}).encode())
    assert refusals(read(tmp_path, Columns(task="subject"))) == [("bad.csv", None, reasons.FILE_NO_COLUMNS)]


def content_of(name: str) -> bytes:
    rows = [{"prompt": f"prompt {n}, é", "response": f'response "{n}"\nend'} for n in range(20)]
    if name == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    if name == "json":
        return json.dumps(rows, ensure_ascii=False).encode()
    if name == "csv":
        return b"prompt,response\n" + "".join(f'"prompt {n}, é","r ""{n}""\nend"\n' for n in range(20)).encode()
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue().to_pybytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(name=st.sampled_from(["jsonl", "json", "csv", "parquet"]), data=st.data())
def test_no_damage_to_a_file_stops_the_rest(name: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(content_of(name))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    for old in tmp_path.iterdir():
        old.unlink()
    (tmp_path / f"task.{name}").write_bytes(content)
    (tmp_path / "good.jsonl").write_bytes(GOOD_LINE)
    assert "good answer" in rows_of(read(tmp_path))["response"].to_pylist()
