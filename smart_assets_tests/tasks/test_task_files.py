"""What names of files say: format, compression, task, shard, split, partition."""

import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from smart_assets.core.errors import SourceError
from smart_assets.tasks.file_names import COMPRESSIONS, FORMATS, TEXT_FORMATS, parse_name, why_not_read
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.formats import TABLES, TEXTS
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.task_files import NameRule, select
from smart_assets_tests.support.read_rows import read_folder, rows_of
from smart_assets_tests.support.task_files import content_of

NAMES = [f"x{ending}" for ending in FORMATS] + [f"x{a}{b}" for a in TEXT_FORMATS for b in COMPRESSIONS]


def rows(count: int = 3) -> list[dict[str, str]]:
    return [{"prompt": f"p{n}, é", "response": f'r "{n}"\nend'} for n in range(count)]


def write(folder: Path, *names: str, values: list[dict[str, str]] | None = None) -> None:
    """Rows of their own in each file."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        own = [{**row, "prompt": f"{name} {row['prompt']}"} for row in rows()] if values is None else values
        (folder / name).write_bytes(content_of(name, own))


def tasks(result: ReadResult) -> dict[str, int]:
    return {row["task"]: row["accepted"] for row in result.tasks.to_pylist()}


def texts(result: ReadResult) -> list[tuple[str, str, str]]:
    table = rows_of(result)
    return sorted(zip(*(table[name].to_pylist() for name in ("task", "prompt", "response")), strict=True))


def test_every_format_has_one_reader() -> None:
    assert sorted([*TEXTS, *TABLES]) == sorted(FORMATS)
    assert sorted(TEXTS) == sorted(TEXT_FORMATS)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_and_compression_holds_the_same(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, name.upper().replace("X", "y"), values=rows())
    result, log = read_folder(tmp_path)
    expected = [(task, row["prompt"], row["response"]) for task in ("x", "y") for row in rows()]
    assert texts(result) == expected
    assert result.not_read == ()
    assert [row["line"] for row in result.origins.to_pylist()] != []
    assert not any("not read" in line for line in log)


@pytest.mark.parametrize(
    ("name", "stem", "format_", "compression"),
    [
        ("a.jsonl", "a", ".jsonl", None),
        ("x/y/a.b.JSONL.GZ", "a.b", ".jsonl", ".gz"),
        ("a.csv.zst", "a", ".csv", ".zst"),
        ("a.parquet.gz", "a.parquet.gz", None, ".gz"),
        ("a.tar.gz", "a.tar.gz", None, ".gz"),
        ("a", "a", None, None),
        ("csv", "csv", None, None),
        ("a.", "a.", None, None),
    ],
)
def test_a_name_is_taken_apart(name: str, stem: str, format_: str | None, compression: str | None) -> None:
    parsed = parse_name(name)
    assert (parsed.stem, parsed.format, parsed.compression) == (stem, format_, compression)
    assert parsed.folders == tuple(name.split("/")[:-1])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.zip", "an archive: unpack it"),
        ("a.tar", "an archive: unpack it"),
        ("a.tar.gz", "an archive: unpack it"),
        ("a.TGZ", "an archive: unpack it"),
        ("a.parquet.gz", "its format inside already: unpack it"),
        ("a.arrow.zst", "its format inside already: unpack it"),
        ("a.jsonl.xz", "compressed in a way that is not read"),
        ("a.gz", "compressed in a way that is not read"),
        ("a.xlsx", "a spreadsheet: save its sheet as CSV"),
        ("a.txt", "plain text without columns"),
        ("README.md", "a document, not rows"),
        ("a.py", "a program, which is never run"),
        ("a.pkl", "would run code"),
        ("a.orc", "save it as JSON lines"),
        ("_SUCCESS", "save it as JSON lines"),
    ],
)
def test_what_is_not_read_is_named_as_what_it_is(name: str, advice: str) -> None:
    assert advice in why_not_read(name)


LAYOUTS = [
    pytest.param(["a.jsonl", "x/b.csv"], {"a": 3, "b": 3}, [], id="plain"),
    pytest.param(["t-00000-of-00002.jsonl", "t-00001-of-00002.jsonl.gz"], {"t": 6}, [], id="shards"),
    pytest.param(["t-1-of-2.jsonl", "t-2-of-2.jsonl"], {"t": 6}, [], id="shards from 1"),
    pytest.param(["t_0_of_2.csv", "t_1_of_2.csv"], {"t": 6}, [], id="shards with underscores"),
    pytest.param(["t-00000-of-00001-a3ecf92756993583.parquet"], {"t": 3}, [], id="shard with a hash"),
    pytest.param(["x/part-00000.jsonl", "x/part-00001.jsonl"], {"x": 6}, [], id="parts"),
    pytest.param(
        ["x/part-00000-6c2b1a52-3a1c-4f0e-9f0a-1b2c3d4e5f60-c000.snappy.parquet"], {"x": 3}, [], id="Spark's part"
    ),
    pytest.param(["x/part_two.jsonl"], {"part_two": 3}, [], id="no part"),
    pytest.param(["part-0.jsonl", "part-1.jsonl"], {"top": 6}, [], id="parts at the top"),
    pytest.param(
        ["b/train.jsonl", "b/validation.jsonl", "b/test.jsonl"],
        {"b": 3},
        ["b/test.jsonl", "b/validation.jsonl"],
        id="splits of a folder",
    ),
    pytest.param(["b/train.jsonl", "c/train.jsonl"], {"b": 3, "c": 3}, [], id="the same name in two folders"),
    pytest.param(["train.csv", "dev.csv", "eval.csv"], {"top": 3}, ["dev.csv", "eval.csv"], id="at the top"),
    pytest.param(
        ["b/data/train-00000-of-00001.parquet", "b/data/test-00000-of-00001.parquet"],
        {"b": 3},
        ["b/data/test-00000-of-00001.parquet"],
        id="the hub's layout",
    ),
    pytest.param(["train/a.jsonl", "train/b.jsonl", "test/a.jsonl"], {"a": 3, "b": 3}, ["test/a.jsonl"], id="folders"),
    pytest.param(["b/train/0000.parquet", "b/train/0001.parquet"], {"b": 6}, [], id="numbers in a split"),
    pytest.param(["b-train.jsonl", "b-test.jsonl"], {"b": 3}, ["b-test.jsonl"], id="name and split"),
    pytest.param(["b.jsonl", "b_dev.jsonl"], {"b": 3}, ["b_dev.jsonl"], id="a split beside the whole"),
    pytest.param(["bTrain.jsonl", "bTest.jsonl"], {"b": 3}, ["bTest.jsonl"], id="words in one"),
    pytest.param(["bTest.jsonl", "cTrain.jsonl"], {"bTest": 3, "cTrain": 3}, [], id="words in one of other names"),
    pytest.param(["train_1.jsonl", "train_2.jsonl", "test1.jsonl"], {"top": 6}, ["test1.jsonl"], id="numbered"),
    pytest.param(["b/train-2023.csv", "b/dev-2023.csv"], {"b": 3}, ["b/dev-2023.csv"], id="years"),
    pytest.param(["train.jsonl", "test_2.jsonl"], {"top": 3}, ["test_2.jsonl"], id="one numbered"),
    pytest.param(["train_1.jsonl", "train_2.jsonl"], {"train_1": 3, "train_2": 3}, [], id="numbers of one split"),
    pytest.param(["testing1.jsonl", "a.jsonl"], {"testing1": 3, "a": 3}, [], id="a number alone"),
    pytest.param(
        ["b/train_set.jsonl", "b/test_set.jsonl", "c/testset.jsonl", "d/dev_split.csv"],
        {"b": 3},
        ["b/test_set.jsonl", "c/testset.jsonl", "d/dev_split.csv"],
        id="sets",
    ),
    pytest.param(["traindata/b.jsonl", "test_data/b.jsonl"], {"b": 3}, ["test_data/b.jsonl"], id="folders of data"),
    pytest.param(
        ["contest.jsonl", "attest.jsonl", "train_sets.csv"],
        {"contest": 3, "attest": 3, "train_sets": 3},
        [],
        id="other words",
    ),
    pytest.param(["train_sft.jsonl", "test_sft.jsonl"], {"sft": 3}, ["test_sft.jsonl"], id="split and name"),
    pytest.param(
        ["train_sft/part-0.jsonl", "test_sft/part-0.jsonl"], {"sft": 3}, ["test_sft/part-0.jsonl"], id="named folders"
    ),
    pytest.param(
        ["b/train_1.jsonl", "b/train_2.jsonl", "b/test_1.jsonl"], {"b": 6}, ["b/test_1.jsonl"], id="numbered splits"
    ),
    pytest.param(["train_1.jsonl", "train_2.jsonl"], {"train_1": 3, "train_2": 3}, [], id="numbers alone"),
    pytest.param(["driving_test.jsonl"], {"driving_test": 3}, [], id="a task that sounds like a split"),
    pytest.param(["bullet_train.jsonl", "a.jsonl"], {"bullet_train": 3, "a": 3}, [], id="another one"),
    pytest.param(["task=b%20q/x.jsonl", "task=rte/x.jsonl"], {"b q": 3, "rte": 3}, [], id="partitions"),
    pytest.param(["task=b/0.jsonl", "task=b/1.jsonl"], {"b": 6}, [], id="files of a partition"),
    pytest.param(["lang=en/b.jsonl", "lang=de/b.jsonl"], {"b": 6}, [], id="other keys"),
    pytest.param(["b/lang=en/part-0.jsonl", "b/lang=de/part-0.jsonl"], {"b": 6}, [], id="parts of partitions"),
    pytest.param(
        ["b/split=train/part-0.jsonl", "b/split=test/part-0.jsonl"],
        {"b": 3},
        ["b/split=test/part-0.jsonl"],
        id="splits as partitions",
    ),
    pytest.param(["=x/a.jsonl", "1=2/b.jsonl"], {"a": 3, "b": 3}, [], id="no partitions"),
]


@pytest.mark.parametrize(("names", "expected", "not_read"), LAYOUTS)
def test_names_give_tasks(tmp_path: Path, names: list[str], expected: dict[str, int], not_read: list[str]) -> None:
    write(tmp_path / "top", *names)
    result, log = read_folder(tmp_path / "top")
    assert tasks(result) == expected
    assert [file.name for file in result.not_read] == not_read
    for name in not_read:
        assert any("never trained on" in line and name in line for line in log)


def test_names_are_what_they_were_where_splits_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "test.jsonl", "b-dev.jsonl", "b.jsonl")
    result, _ = read_folder(tmp_path, splits="ignore")
    assert tasks(result) == {"train": 3, "test": 3, "b-dev": 3, "b": 3}
    assert result.not_read == ()


@pytest.mark.parametrize(
    ("split", "expected"),
    [("train", {"b": 3, "c": 3}), ("test", {"b": 3}), ("validation", {"b": 3})],
)
def test_a_split_that_is_asked_for_is_read_alone(tmp_path: Path, split: str, expected: dict[str, int]) -> None:
    write(tmp_path, "b/train.jsonl", "b/test.jsonl", "b/dev.jsonl", "c.jsonl")
    result, _ = read_folder(tmp_path, split=split)
    assert tasks(result) == expected
    assert len(result.not_read) == 4 - len(expected)


def test_a_folder_of_test_files_is_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path, "test.jsonl")
    with pytest.raises(SourceError, match=r"no files of the split train among its 1 files .*`splits: ignore`"):
        read_folder(tmp_path)
    with pytest.raises(ValidationError, match="would read nothing under `splits: ignore`"):
        FolderSource(path="x", split="test", splits="ignore")


def test_missing_shards_are_named(tmp_path: Path) -> None:
    write(tmp_path, "b/t-00001-of-00004.jsonl", "b/t-00003-of-00004.jsonl")
    result, log = read_folder(tmp_path)
    assert tasks(result) == {"t": 6}
    [missing] = result.not_read
    assert (missing.name, missing.reason) == ("b/t-*-of-00004", "2 of 4 shards are missing: 00000, 00002")
    assert any("b/t-*-of-00004 (2 of 4 shards are missing: 00000, 00002)" in line for line in log)
    write(tmp_path, "u-0-of-99999999999.jsonl")
    assert any("99,999,999,998 of 99,999,999,999 shards are missing: 1, 2" in line for line in read_folder(tmp_path)[1])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["t-0-of-2.jsonl", "t-0-of-2.jsonl.gz"], "t-0-of-2.jsonl and t-0-of-2.jsonl.gz are the same shard. Remove"),
        (["a.jsonl", "a.jsonl.gz"], "a.jsonl and a.jsonl.gz both give the task 'a'"),
        (["t-0-of-1.csv", "t-0-of-2.csv", "t-1-of-2.csv"], "t-0-of-1.csv and t-0-of-2.csv both give the task 't'"),
        (["x/b/train.csv", "y/b/train.csv"], "x/b/train.csv and y/b/train.csv both give the task 'b'"),
    ],
)
def test_two_sets_of_files_that_give_one_task_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(SourceError, match=message):
        read_folder(tmp_path)


def test_partitions_are_columns_of_rows_that_have_none(tmp_path: Path) -> None:
    own = [{"prompt": "own", "response": "r", "subject": "of its own"}]
    write(tmp_path, "subject=a%2Fb/template=t/x.jsonl", values=[*own, *rows(1)])
    write(tmp_path, "subject=c/x.parquet")
    write(tmp_path, "subject=__HIVE_DEFAULT_PARTITION__/x.jsonl")
    result, _ = read_folder(tmp_path, columns=Columns(task="subject"))
    assert tasks(result) == {"of its own": 1, "a/b": 1, "c": 3}
    assert set(result.rejected["reason"].to_pylist()) == {"task is missing"}
    table = pa.concat_tables(result.instances(100))
    assert sorted(table["template"].to_pylist()) == ["", "", "", "t", "t"]


def test_a_saved_dataset_is_one_task(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    Dataset.from_list(rows(5)).save_to_disk(tmp_path / "top" / "one", num_shards=2)
    DatasetDict({"train": Dataset.from_list(rows(4)), "test": Dataset.from_list(rows(2))}).save_to_disk(
        tmp_path / "top" / "more"
    )
    (tmp_path / "top" / "one" / "cache-1f2e.arrow").write_bytes(b"x")
    result, _ = read_folder(tmp_path / "top")
    assert tasks(result) == {"one": 5, "more": 4}
    reasons_of = {file.name: file.reason for file in result.not_read}
    assert (
        reasons_of["one/state.json"] == reasons_of["more/dataset_dict.json"] == "describes a dataset and holds no rows"
    )
    assert "cache" in reasons_of["one/cache-1f2e.arrow"]
    assert "test split" in reasons_of["more/test/data-00000-of-00001.arrow"]
    (tmp_path / "top" / "one" / "indices.arrow").write_bytes(b"x")
    result, _ = read_folder(tmp_path / "top")
    assert tasks(result) == {"more": 4}
    assert any("save it again" in file.reason for file in result.not_read)


@pytest.mark.parametrize("folder", ["_temporary/0", "_delta_log", "__MACOSX"])
def test_what_jobs_and_tables_leave_is_no_task(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "a.jsonl", f"{folder}/b.jsonl")
    result, _ = read_folder(tmp_path)
    assert tasks(result) == {"a": 3}
    assert [file.name for file in result.not_read] == [f"{folder}/b.jsonl"]


def test_a_description_of_datasets_is_no_task(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    (tmp_path / "dataset_info.json").write_text("{}")
    assert tasks(read_folder(tmp_path)[0]) == {"a": 3}


SHARDED = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(endings=SHARDED, seed=st.integers(0, 99), total=st.integers(1, 9))
def test_compressed_or_not_sharded_or_not_the_instances_are_the_same(
    endings: list[str], seed: int, total: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Rows in any order, in any number of shards of any formats, give the same instances."""
    values = rows(total)
    whole, pieces = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("pieces")
    write(whole, "t.jsonl", values=values)
    random.Random(seed).shuffle(values)
    files = list(enumerate(endings))
    random.Random(seed).shuffle(files)
    for index, ending in files:
        if shard := values[index :: len(endings)]:
            write(pieces, f"t-{index}-of-{len(endings)}{ending[1:]}", values=shard)
    expected, result = (pa.concat_tables(read_folder(folder)[0].instances(4)) for folder in (whole, pieces))
    assert result.equals(expected)


def test_the_order_of_names_decides_nothing() -> None:
    names = [name for layout in LAYOUTS for name in layout.values[0] if "-of-" not in name]
    names = sorted(set(names))
    expected = {file.name: (file.task, file.group) for file in select(names, NameRule("top")).files}
    random.Random(3).shuffle(names)
    assert {file.name: (file.task, file.group) for file in select(names, NameRule("top")).files} == expected


def test_what_names_say_beyond_stems_can_change_though_a_file_does_not() -> None:
    before = select(["b_train.jsonl"], NameRule("top"))
    after = select(["b_train.jsonl", "b_test.jsonl"], NameRule("top"))
    assert (before.names, after.names) == ({}, {"b_train.jsonl": "b {}"})
