import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import SourceError
from smart_assets.tasks import hub, reasons
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.source_kind import Columns
from smart_assets_tests.support.read_rows import rows_of

ROWS = [{"prompt": f"p{n}", "response": f"r{n}", "subject": f"t{n % 2}"} for n in range(4)]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def read(root: Path, **settings: Any) -> ReadResult:
    return read_source(HuggingFaceSource(**{"path": "dataset", **settings}), root, lambda _: None)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    else:
        (folder / name).write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl"])
def test_a_local_dataset_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / "dataset", name, [*ROWS, ROWS[0]])
    result = read(tmp_path, columns=Columns(task="subject"), task_prefix="x/")
    assert result.tasks.to_pylist() == [
        {"task": "x/t0", "accepted": 2, "rejected": 1},
        {"task": "x/t1", "accepted": 2, "rejected": 0},
    ]
    origins = dict(zip(result.origins["id"].to_pylist(), result.origins.to_pylist(), strict=True))
    for row in rows_of(result).to_pylist():
        assert origins[row["id"]]["file"] == "dataset"
        assert ROWS[origins[row["id"]]["line"]]["prompt"] == row["prompt"]
    rejected = result.rejected.to_pylist()[0]
    assert (rejected["line"], rejected["reason"]) == (4, reasons.DUPLICATE)
    assert result.revision is None
    assert [file.path for file in result.files] == [name]


def test_a_dataset_without_a_task_column_is_one_task(tmp_path: Path) -> None:
    write(tmp_path / "dataset", "test.jsonl", ROWS)
    assert read(tmp_path, split="test").tasks["task"].to_pylist() == ["dataset"]


def test_configurations_of_the_dataset_card_are_known(tmp_path: Path) -> None:
    write(tmp_path / "dataset", "a.jsonl", ROWS[:1])
    write(tmp_path / "dataset", "b.jsonl", ROWS[1:])
    (tmp_path / "dataset" / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: a.jsonl\n- config_name: two\n  data_files: b.jsonl\n---\n"
    )
    assert read(tmp_path, name="two").tasks.to_pylist() == [{"task": "dataset/two", "accepted": 3, "rejected": 0}]
    assert rows_of(read(tmp_path, name="two", split="train[:1]")).num_rows == 1


def test_chats_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    write(tmp_path / "dataset", "train.parquet", [{"messages": turns}])
    assert rows_of(read(tmp_path))["response"].to_pylist() == ["hello"]


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    source = HuggingFaceSource(path="dataset")
    write(tmp_path / "dataset", "train.jsonl", ROWS[:2])
    state, ids = source.state(tmp_path), rows_of(read(tmp_path))["id"].to_pylist()
    assert state == {file.path: file.sha256 for file in read(tmp_path).files}
    write(tmp_path / "dataset", "train.jsonl", ROWS[2:])
    assert source.state(tmp_path) != state
    assert set(rows_of(read(tmp_path))["id"].to_pylist()).isdisjoint(ids)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"path": "./nowhere"}, "nowhere does not exist", id="missing folder"),
        pytest.param({"path": "nobody/nothing"}, "nobody/nothing .*cannot be loaded.*network", id="hub out of reach"),
        pytest.param({"path": "not a/valid name!"}, "cannot be loaded", id="no valid name"),
        pytest.param({"path": "nobody/nothing", "revision": "0" * 40}, "cannot be loaded", id="pinned, not cached"),
        pytest.param({"split": "train+nope"}, "Unknown split", id="no such split in a sum"),
        pytest.param({"split": "nope"}, "split nope.*cannot be loaded", id="no such split"),
        pytest.param({"name": "nope"}, "configuration nope.*cannot be loaded", id="no such configuration"),
        pytest.param({"path": "hollow"}, "cannot be loaded", id="folder without files"),
        pytest.param({"path": "broken"}, "none of its 1 rows can be used .1 x file cannot be read", id="damaged file"),
        pytest.param({"path": "wrong"}, "none of its 1 rows can be used .1 x prompt is missing", id="other columns"),
    ],
)
def test_what_stops_a_dataset_says_what_to_do(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    write(tmp_path / "dataset", "train.jsonl", ROWS)
    write(tmp_path / "wrong", "train.jsonl", [{"question": "q"}])
    (tmp_path / "hollow").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_text("this is text")
    with pytest.raises(SourceError, match=message):
        read(tmp_path, **settings)


CSV = "prompt,response\nq1,None\nq2,01\nq3,N/A\nq4,1.50\nq5,true\nq6,2020-01-01\nq7,\n"
JSON = [{"prompt": f"q{n}", "response": text} for n, text in enumerate(["null", "007", "2020-01-01", "1e5", "NaN"])]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("x.csv", CSV, id="CSV"),
        pytest.param("x.tsv", CSV.replace(",", "\t"), id="TSV"),
        pytest.param("x.jsonl", "\n".join(map(json.dumps, JSON)), id="JSON lines"),
        pytest.param("x.json", json.dumps(JSON), id="JSON"),
        pytest.param(
            "x.jsonl", '{"prompt": "a", "response": "r", "x": 1}\n{"x": "y", "response": 3}\nno json', id="mixed"
        ),
    ],
)
def test_its_strings_are_those_of_a_folder(tmp_path: Path, name: str, content: str) -> None:
    """Whatever a guesser of types would make of them."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / name).write_text(content)
    of_hub = read(tmp_path)
    of_folder = read_source(FolderSource(path="dataset"), tmp_path, lambda _: None)
    columns = ["prompt", "response"]
    sorted_rows = [rows_of(result).select(columns).sort_by("prompt") for result in (of_hub, of_folder)]
    assert sorted_rows[0].equals(sorted_rows[1])
    assert of_hub.rejected["reason"].to_pylist() == of_folder.rejected["reason"].to_pylist()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "train.parquet"])
def test_of_the_hub_text_is_read_here_and_tables_by_its_library(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stands in for the hub, which tests do not reach."""
    import datasets

    rows = [{"prompt": "p", "response": "01"}, {"prompt": "q", "response": "None"}]
    write(tmp_path / "kept", name, rows)
    if name == "x.csv":
        (tmp_path / "kept" / name).write_text("prompt,response\np,01\nq,None\n")
    loaded: list[str] = []
    build, load = datasets.load_dataset_builder, datasets.load_dataset

    def load_kept(path: str, config: str | None, split: str, revision: str) -> Any:
        loaded.append(revision)
        return load(str(tmp_path / "kept"), config, split=split)

    monkeypatch.setattr(datasets, "load_dataset", load_kept)
    monkeypatch.setattr(
        datasets, "load_dataset_builder", lambda path, config, revision: build(str(tmp_path / "kept"), config)
    )
    result = read(tmp_path, path="org/rows", revision="a" * 40)
    assert sorted(rows_of(result)["response"].to_pylist()) == ["01", "None"]
    assert set(result.origins["file"].to_pylist()) == {f"org/rows@{'a' * 40}"}
    assert sorted(result.origins["line"].to_pylist()) == [0, 1]
    assert loaded == (["a" * 40] if name.endswith(".parquet") else [])


@pytest.mark.parametrize(("builder", "message"), [("parquet", ""), ("csv", "out of reach, .* guessed types")])
def test_out_of_reach_what_was_loaded_before_counts_unless_it_was_guessed(
    tmp_path: Path, builder: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Dataset

    kept = Dataset.from_list(ROWS)
    kept.info.builder_name = builder
    monkeypatch.setattr(hub, "load", lambda source, path, revision: kept)
    settings = {"path": "nobody/nothing", "revision": "a" * 40}
    if message:
        with pytest.raises(SourceError, match=message):
            read(tmp_path, **settings)
    else:
        assert rows_of(read(tmp_path, **settings)).num_rows == 4


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "train.json").write_text("\n".join(map(json.dumps, ROWS)))
    assert rows_of(read(tmp_path)).num_rows == 4


@pytest.mark.parametrize(
    ("split", "count"),
    [("train", 4), ("train[:1]", 1), ("train[-1:]", 1), ("train[50%:]", 2), ("train+test", 6), ("test", 2)],
)
def test_slices_and_sums_of_splits_are_read(tmp_path: Path, split: str, count: int) -> None:
    write(tmp_path / "dataset", "train.jsonl", ROWS)
    write(tmp_path / "dataset", "test.jsonl", [{"prompt": f"test {n}", "response": "r"} for n in range(2)])
    result = read(tmp_path, split=split)
    assert result.rows.num_rows == count
    assert sorted(result.origins["line"].to_pylist()) == list(range(count))


def test_what_its_card_sets_is_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "x.csv").write_text("prompt\tresponse\na, b\t01\n")
    card = "---\nconfigs:\n- config_name: default\n  data_files: x.csv\n  {}\n---\n"
    (tmp_path / "dataset" / "README.md").write_text(card.format('sep: "\\t"'))
    assert rows_of(read(tmp_path))["response"].to_pylist() == ["01"]
    (tmp_path / "dataset" / "README.md").write_text(card.format("skiprows: 1"))
    with pytest.raises(SourceError, match=r"cannot be loaded: its configuration sets skiprows, which is not read"):
        read(tmp_path)


@pytest.mark.parametrize("path", ["dataset", "dataset/saved"])
def test_a_saved_dataset_is_read(tmp_path: Path, path: str) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "dataset" / "saved", num_shards=2)
    assert rows_of(read(tmp_path, path=path)).num_rows == 4


def test_a_full_commit_hash_needs_no_network() -> None:
    source = HuggingFaceSource(path="nobody/nothing", revision="a" * 40)
    assert source.state(Path("/nowhere")) == {"revision": "a" * 40}


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl"])
def test_columns_of_a_dataset_are_kept_and_its_licences_looked_at(tmp_path: Path, name: str) -> None:
    rows = [{**row, "author": f"a{n}", "license": "MIT" if n else "other"} for n, row in enumerate(ROWS)]
    write(tmp_path / "dataset", name, rows)
    result = read(tmp_path, columns=Columns(keep=("author",)), licences={"allow": ["mit"]})
    kept = [(row["line"], row["kept"]) for row in result.kept.to_pylist()]
    assert kept == [(n, f'{{"author":"a{n}"}}') for n in (1, 2, 3)]
    assert [row["reason"] for row in result.rejected.to_pylist()] == [reasons.LICENCE]
