"""Compressed files within bounds, encodings by their names, and files that were put together."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.tasks import reasons, streams
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.streams import is_wide
from smart_assets_tests.support.read_rows import read_folder, refusals

BOM = b"\xef\xbb\xbf"
GOOD = json.dumps({"prompt": "p", "response": "r"}).encode()


def read(folder: Path, **changes: Any) -> ReadResult:
    (folder / "good.jsonl").write_bytes(GOOD)
    return read_folder(folder, **changes)[0]


@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.json.gz", "bomb.csv.gz"])
@pytest.mark.parametrize("block", [pytest.param(b"\0" * 1_000_000, id="zeros"), pytest.param(GOOD + b"\n", id="rows")])
def test_a_bomb_is_a_refused_file(tmp_path: Path, name: str, block: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FREE_BYTES", 1_000_000)
    with gzip.open(tmp_path / name, "wb") as file:
        for _ in range(30_000_000 // len(block)):
            file.write(block)
    (tmp_path / ".warm").mkdir()
    read(tmp_path / ".warm")  # imports take memory
    tracemalloc.start()
    result = read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusals(result) == [(name, None, reasons.FILE_TOO_LARGE)]
    assert result.rows.num_rows == 1
    assert peak < 8_000_000


def test_what_may_unpack_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FREE_BYTES", 0)
    rows = b"\n".join(json.dumps({"prompt": f"p{n}", "response": "r" * 500}).encode() for n in range(99))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows))
    assert refusals(read(tmp_path, max_unpacked_times=2)) == [("a.jsonl.gz", None, reasons.FILE_TOO_LARGE)]
    assert read(tmp_path, max_unpacked_times=500).rows.num_rows == 100


def test_a_parquet_file_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FREE_BYTES", 0)
    columns = {"prompt": ["p" * 1_000_000], "response": ["r"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert refusals(read(tmp_path, max_unpacked_times=2)) == [("a.parquet", None, reasons.FILE_TOO_LARGE)]


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2"])
def test_of_a_file_that_is_cut_the_rows_before_the_cut_are_kept(tmp_path: Path, codec: str) -> None:
    ending = {"gzip": "gz", "zstd": "zst", "bz2": "bz2"}[codec]
    rows = b"\n".join(json.dumps({"prompt": f"p{n}", "response": f"{n * 7919}"}).encode() for n in range(100_000))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(rows)
    content = sink.getvalue().to_pybytes()
    (tmp_path / f"a.jsonl.{ending}").write_bytes(content[: len(content) // 2])
    result = read(tmp_path)
    assert refusals(result) == [(f"a.jsonl.{ending}", None, reasons.FILE_UNREADABLE)]
    assert result.rows.num_rows > 10_000
    (tmp_path / f"a.jsonl.{ending}").write_bytes(content + content[:0])
    assert read(tmp_path).rows.num_rows == 100_001


def test_files_compressed_one_after_the_other_are_one(tmp_path: Path) -> None:
    other = json.dumps({"prompt": "q", "response": "r"}).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(GOOD + b"\n") + gzip.compress(other))
    assert read(tmp_path).rows.num_rows == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"prompt": "é", "response": "r"}\n'),
        ("a.json", '[{"prompt": "é", "response": "r"}]'),
        ("a.csv", "prompt,response\né,r\n"),
        ("a.tsv.gz", "prompt\tresponse\né\tr\n"),
    ],
)
def test_utf_16_is_refused_by_its_name(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    content = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert refusals(read(tmp_path)) == [(name, None, reasons.FILE_UTF16)]


def test_utf_8_is_not_taken_for_utf_16() -> None:
    assert not any(is_wide(head) for head in (b"", b"{", b"\0\0\0\0", b"a\0bc", b"\0abc", BOM + b"{", "é".encode() * 4))


def test_marks_at_line_starts_are_dropped(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"{n}\ufeff", "response": "r"}, ensure_ascii=False).encode() for n in range(4)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([BOM + lines[0], lines[1], BOM + lines[2], BOM, BOM + BOM, lines[3]]))
    result = read(tmp_path)
    assert refusals(result) == [("a.jsonl", 5, reasons.NOT_JSON)]
    prompts = pa.concat_tables(result.instances(9))["prompt"].to_pylist()
    assert sorted(prompts) == ["0\ufeff", "1\ufeff", "2\ufeff", "3\ufeff", "p"]


def test_of_csv_files_put_together_headers_are_no_rows(tmp_path: Path) -> None:
    one = BOM + b'prompt,response\n"a, b",r\n'
    (tmp_path / "a.csv").write_bytes(one + one.replace(b"a, b", b"c\n\xef\xbb\xbfd") + b"e,r\n")
    result = read(tmp_path)
    assert refusals(result) == [("a.csv", 3, reasons.HEADER_AGAIN)]
    prompts = pa.concat_tables(result.instances(9))["prompt"].to_pylist()
    assert sorted(prompts) == ["a, b", "c\n\ufeffd", "e", "p"]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.jsonl", b'{"prompt": "p", "prompt": "q", "response": "r"}', 1),
        ("a.jsonl", b'{"prompt": "p", "response": "r", "meta": {"a": 1, "a": 2}}', 1),
        ("a.json", b'[{"prompt": "p", "response": "r", "response": "r"}]', None),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, name: str, content: bytes, line: int | None) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusals(read(tmp_path)) == [(name, line, reasons.KEY_TWICE)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    assert refusals(read(tmp_path)) == [(name, None, reasons.FILE_POINTER)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.tsv", "a.parquet"])
@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(b"\x1f\x8b gzip", id="gzip"),
        pytest.param(b"PK\x03\x04 zip", id="zip"),
        pytest.param(b"\x28\xb5\x2f\xfd zstd", id="zstd"),
    ],
)
def test_a_compressed_file_without_its_ending_is_named(tmp_path: Path, name: str, mark: bytes) -> None:
    (tmp_path / name).write_bytes(mark)
    assert refusals(read(tmp_path)) == [(name, None, reasons.FILE_PACKED)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"FEA1" + b"\0" * 60, reasons.FILE_FEATHER_1),
        (b"ARROW1\0\0" + b"\xff" * 60, reasons.FILE_UNREADABLE),
        (b"this is text", reasons.FILE_UNREADABLE),
        (b"", reasons.FILE_UNREADABLE),
    ],
)
def test_a_damaged_arrow_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.feather").write_bytes(content)
    assert refusals(read(tmp_path)) == [("a.feather", None, reason)]


def test_offsets_beyond_the_end_of_an_arrow_file_are_not_trusted(tmp_path: Path) -> None:
    columns = {"prompt": ["hello", "you"], "response": ["r", "s"]}
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), pa.table(columns).schema) as file:
        file.write_table(pa.table(columns))
    content = (tmp_path / "a.arrow").read_bytes()
    true, lying = (b"".join(n.to_bytes(4, "little") for n in (0, 5, end)) for end in (8, 1_000_000))
    assert content.count(true) == 1
    (tmp_path / "a.arrow").write_bytes(content.replace(true, lying))
    assert refusals(read(tmp_path)) == [("a.arrow", None, reasons.FILE_UNREADABLE)]
