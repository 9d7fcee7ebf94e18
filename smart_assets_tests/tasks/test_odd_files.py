"""Files as people have them that are odd: wrong endings, columns twice, values that Python does not have."""

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.tasks import reasons
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.unread import summed_up
from smart_assets_tests.support.read_rows import read_folder

ROW = json.dumps({"prompt": "p", "response": "r"}).encode() + b"\n"
Content = bytes | Callable[[Path], None]


def read(folder: Path, **files: Content) -> ReadResult:
    """Read files, by names in which `__` stands for a dot, beside a good one."""
    for name, content in {"good__jsonl": ROW, **files}.items():
        path = folder / name.replace("__", ".")
        content(path) if callable(content) else path.write_bytes(content)
    return read_folder(folder)[0]


def table(*columns: Any, names: tuple[str, ...]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table([*columns], names=[*names]), path)


def refused(result: ReadResult) -> list[tuple[int | None, str]]:
    return [(row["line"], row["reason"]) for row in result.rejected.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("a__jsonl__gz", ROW, reasons.FILE_NOT_PACKED, id="no gzip"),
        pytest.param("a__jsonl__gz", bz2.compress(ROW), reasons.FILE_NOT_PACKED, id="bz2 as gzip"),
        pytest.param("a__csv__zst", gzip.compress(ROW), reasons.FILE_NOT_PACKED, id="gzip as zstd"),
        pytest.param("a__jsonl__bz2", ROW, reasons.FILE_NOT_PACKED, id="no bz2"),
        pytest.param("a__jsonl__gz", gzip.compress(gzip.compress(ROW)), reasons.FILE_PACKED, id="packed twice"),
        pytest.param("a__jsonl", gzip.compress(ROW), reasons.FILE_PACKED, id="gzip without its ending"),
        pytest.param("a__jsonl", table(["p"], names=("prompt",)), reasons.FILE_TABLE, id="Parquet as lines"),
        pytest.param("a__csv", table(["p"], names=("prompt",)), reasons.FILE_TABLE, id="Parquet as CSV"),
        pytest.param("a__csv", b"prompt;response\np;r\n", reasons.FILE_SEPARATOR, id="semicolons"),
        pytest.param("a__csv", b"prompt\tresponse\np\tr\n", reasons.FILE_SEPARATOR, id="tabs in .csv"),
        pytest.param("a__tsv", b"prompt,response\np,r\n", reasons.FILE_SEPARATOR, id="commas in .tsv"),
    ],
)
def test_a_file_that_is_something_else_is_refused_by_what_it_is(
    tmp_path: Path, name: str, content: Content, reason: str
) -> None:
    assert refused(read(tmp_path, **{name: content})) == [(None, reason)]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda row: pa.compress(row, "zstd", asbytes=True)])
def test_packed_pieces_one_after_the_other_are_one_file(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    ending = {b"\x1f": "gz", b"B": "bz2", b"\x28": "zst"}[pack(ROW)[:1]]
    result = read(tmp_path, **{f"a__jsonl__{ending}": pack(ROW) + pack(ROW.replace(b'"p"', b'"q"'))})
    assert (result.rows.num_rows, refused(result)) == (3, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a__csv", b"prompt,response,x,x\np,s,1,2\np,s,3,2\n", id="CSV"),
        pytest.param(
            "a__parquet",
            table(["p", "p"], ["s", "s"], ["1", "3"], ["2", "2"], names=("prompt", "response", "x", "x")),
            id="Parquet",
        ),
    ],
)
def test_a_column_that_is_not_read_may_stand_twice_and_counts_twice(
    tmp_path: Path, name: str, content: Content
) -> None:
    result = read(tmp_path, **{name: content})
    assert [reason for _, reason in refused(result)] == [reasons.REPEATS_WHAT_IS_READ]
    assert summed_up(result.columns) == {"column `x`": 2, "column `x (2)`": 2}


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([2**30, 1], pa.date32()), id="date"),
        pytest.param(pa.array([2**62, 1], pa.timestamp("us")), id="time"),
        pytest.param(pa.array([[2**62], [1]], pa.list_(pa.timestamp("us"))), id="in a list"),
        pytest.param(pa.array([1, 1], pa.timestamp("us", "Nowhere/Land")), id="time zone"),
        pytest.param(pa.array([b"\xff", b"a"]).view(pa.string()), id="text"),
    ],
)
def test_a_value_that_python_does_not_have_costs_no_row_where_it_is_not_read(tmp_path: Path, column: Any) -> None:
    names = ("prompt", "response", "when")
    result = read(tmp_path, a__parquet=table(["p", "q"], ["s", "s"], column, names=names))
    assert (result.rows.num_rows, refused(result)) == (3, [])
    assert summed_up(result.columns) == {"column `when`": 2}
    names = ("prompt", "when", "response")
    result = read(tmp_path, a__parquet=table(["p", "q"], ["s", "s"], column, names=names))
    assert refused(result)[0] in ((1, reasons.NO_VALUE), (1, reasons.NOT_UTF8))


def test_what_pandas_writes_for_a_missing_value_is_none(tmp_path: Path) -> None:
    row = {"prompt": "p", "response": "s", "task_name": float("nan"), "template": float("nan"), "score": float("nan")}
    chat = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    rows = [row, {**chat, "tools": float("nan"), "image": float("nan"), "system": float("nan")}]
    result = read(tmp_path, a__jsonl="\n".join(map(json.dumps, rows)).encode())
    assert refused(result) == []
    assert sorted(result.rows["task"].to_pylist()) == ["a", "a", "good"]
    assert result.rows["template"].to_pylist() == [""] * 3
    assert summed_up(result.columns) == {}


def test_what_a_json_file_says_beside_its_rows_is_named(tmp_path: Path) -> None:
    document = {"version": 2, "system": "You are a pirate", "note": None, "data": [{"prompt": "p", "response": "s"}]}
    result = read(tmp_path, a__json=json.dumps(document).encode())
    assert summed_up(result.columns) == {"column `system (of the file)`": 1, "column `version (of the file)`": 1}


def test_a_name_cannot_pass_for_another_line_of_the_log(tmp_path: Path) -> None:
    log: list[str] = []
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "p", "response": "r", "x\nsource b: all is well": 1}))
    read_source(FolderSource(path=str(tmp_path)), tmp_path, log.append)
    assert not any("\n" in line for line in log)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", lambda rows: pa.compress(rows, "zstd", asbytes=True))],
)
def test_of_a_small_file_with_damage_the_rows_before_it_are_kept(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    rows = b"".join(json.dumps({"prompt": f"p{n}", "response": f"{n * 7919}"}).encode() + b"\n" for n in range(400))
    padded = read(tmp_path, **{f"a__jsonl__{ending}": pack(rows) + b"\0" * 99})
    assert (padded.rows.num_rows, refused(padded)) == (401, [(None, reasons.FILE_UNREADABLE)])
    content = pack(rows)
    cut = read(tmp_path, **{f"a__jsonl__{ending}": content[: len(content) * 2 // 3]})
    assert refused(cut) == [(None, reasons.FILE_UNREADABLE)]
    if ending == "gz":  # the others unpack whole blocks
        assert cut.rows.num_rows > 100
