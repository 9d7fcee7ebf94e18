"""Sources, collections and base models on URLs: fetched once for each state, read as files of this machine."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from pydantic import ValidationError

from smart_assets.core.errors import SourceError, StoreError, TrainingError
from smart_assets.evaluation.settings import Evaluate
from smart_assets.evaluation.task_collections import collections_state, read_collections
from smart_assets.settings import load_project
from smart_assets.store import remote, url_folder
from smart_assets.store.url_folder import UrlFile, UrlFolder
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.reader import ReadOptions, read_source
from smart_assets.training.base_model import base_model_version, resolve_base_model, tokenizer_source
from smart_assets.training.settings import Finetune
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.s3_server import s3_server

BUCKET = "rows"


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The URL of an empty folder."""
    if request.param == "s3":
        pytest.importorskip("s3fs")
        pytest.importorskip("moto")
        with s3_server(BUCKET):
            yield f"s3://{BUCKET}/{tmp_path.name}/data"
    else:
        yield "memory://some/data"


@pytest.fixture(autouse=True)
def _empty_memory() -> Generator[None]:
    yield
    files: Any = fsspec.filesystem("memory")
    files.store.clear()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were fetched."""
    names: list[str] = []
    fetch = UrlFolder.fetch

    def counted(self: UrlFolder, file: UrlFile, into: Path) -> None:
        names.append(file.name)
        fetch(self, file, into)

    monkeypatch.setattr(UrlFolder, "fetch", counted)
    return names


def put(url: str, name: str, *rows: dict[str, Any]) -> None:
    with fsspec.open(f"{url}/{name}", "w") as file:
        file.write("\n".join(map(json.dumps, rows)))


def pair(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "response": "r"}


def test_a_source_on_a_url_is_read_as_a_folder(url: str, tmp_path: Path, fetched: list[str]) -> None:
    put(url, "a/train.jsonl", pair("1"))
    put(url, "a/test.jsonl", pair("2"))
    put(url, "deep/b-0-of-2.jsonl", pair("3"))
    put(url, "deep/b-1-of-2.jsonl", pair("4"))
    put(url, ".hidden/c.jsonl", pair("5"))
    put(url, "README.md")
    source, options = FolderSource(path=f"{url}/"), ReadOptions(hashes=tmp_path / "memory.json")
    for _ in range(2):
        result = read_source(source, tmp_path, lambda _: None, options)
        assert {row["task"]: row["accepted"] for row in result.tasks.to_pylist()} == {"a": 1, "b": 2}
        names = [".hidden/c.jsonl", "README.md", "a/test.jsonl"]
        assert [file.name for file in result.not_read] == names
        assert [file.path for file in result.files] == ["a/train.jsonl", "deep/b-0-of-2.jsonl", "deep/b-1-of-2.jsonl"]
    assert sorted(fetched) == ["a/train.jsonl", "deep/b-0-of-2.jsonl", "deep/b-1-of-2.jsonl"], "once"
    local = tmp_path / "local"
    (local / "a").mkdir(parents=True)
    (local / "a" / "train.jsonl").write_text(json.dumps(pair("1")))
    of_folder = FolderSource(path=str(local)).state(tmp_path)
    assert source.state(tmp_path, options.hashes)["a/train.jsonl"] == of_folder["a/train.jsonl"]
    assert (source.is_local(tmp_path), source.local_file(tmp_path, "a"), source.where) == (False, None, "at a URL")
    assert source.last_change(tmp_path) is not None


def test_a_changed_file_alone_is_fetched_again(url: str, tmp_path: Path, fetched: list[str]) -> None:
    put(url, "a.jsonl", pair("1"))
    put(url, "b.jsonl", pair("2"))
    source, memory = FolderSource(path=url), tmp_path / "memory.json"
    before = source.state(tmp_path, memory)
    put(url, "b.jsonl", pair("other"))
    after = source.state(tmp_path, memory)
    assert [name for name in after if after[name] != before[name]] == ["b.jsonl"]
    assert sorted(fetched) == ["a.jsonl", "b.jsonl", "b.jsonl"]


def test_a_project_reads_it_and_records_no_credentials(url: str, tmp_path: Path) -> None:
    put(url, "a.jsonl", *(pair(str(n)) for n in range(9)))
    sources = {"far": {"kind": "folder", "path": url}}
    project = write_project(tmp_path / "p", {"unused": []}, {"sources": sources, "budgets": [3]})
    make(project, "raw_tasks[far]")
    manifest = current(project, "raw_tasks", "far")
    assert list(manifest.outside) == ["a.jsonl"]
    assert "secret" not in manifest.model_dump_json()
    kept = [path.relative_to(project.root) for path in project.root.rglob("*.files")]
    assert [path.parts[:3] for path in kept] == [(".smart", "cache", "file_hashes")]
    assert load_project(project.config).settings.sources["far"] == project.settings.sources["far"]


def test_a_collection_may_lie_on_a_url(url: str, tmp_path: Path) -> None:
    put(url, "qa/train.jsonl", pair("1"))
    put(url, "qa/test.jsonl", pair("2"), pair("3"))
    evaluate = Evaluate.model_validate({"collections": {"far": {"path": url, "split": "test"}}})
    [state] = collections_state(evaluate, tmp_path).values()
    assert list(state["outside"]) == ["qa/test.jsonl"]
    for hashes in (tmp_path, None):
        [collection] = read_collections(evaluate, lambda _: None, hashes)
        assert {(row.task, row.prompt) for row in collection.benchmark.instances} == {("qa", "2"), ("qa", "3")}
        assert collection.record["files"] == state["outside"]


def test_a_base_model_may_lie_on_a_url(url: str, tmp_path: Path, fetched: list[str]) -> None:
    put(url, "config.json", {"architectures": ["LlamaForCausalLM"]})
    put(url, "model.safetensors", {"w": 1})
    put(url, "pytorch_model.bin", {"w": 1})
    put(url, "deep/model.safetensors", {"w": 1})
    version = base_model_version(url, None)
    assert fetched == []
    with pytest.raises(TrainingError, match="converted or fetched when it is first trained"):
        tokenizer_source(url, tmp_path)
    for _ in range(2):
        model = resolve_base_model(url, None, tmp_path, False, lambda _: None)
        assert sorted(path.name for path in model.path.iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(fetched) == ["config.json", "model.safetensors"]
    assert tokenizer_source(url, tmp_path) == model.path
    put(url, "model.safetensors", {"w": 2})
    assert base_model_version(url, None) != version
    assert resolve_base_model(url, None, tmp_path, False, lambda _: None).weights_sha256 != model.weights_sha256


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("memory://nowhere", r"memory://nowhere is not there, or empty. Name the folder"),
        ("memory://some/data/a.jsonl", r"a.jsonl is a file. Name the folder that holds"),
        ("nosuch://x/y", "nosuch://x/y cannot be opened: Protocol not known"),
    ],
)
def test_what_stops_a_url_says_what_to_do(path: str, message: str, tmp_path: Path) -> None:
    put("memory://some/data", "a.jsonl", pair("1"))
    with pytest.raises(SourceError, match=message):
        FolderSource(path=path).snapshot(tmp_path)
    with pytest.raises(TrainingError, match=message):
        base_model_version(path, None)


@pytest.mark.parametrize("path", ["s3://key:secret@bucket/x", "https://host/x?token=secret", "simplecache::s3://b/x"])
def test_credentials_in_a_url_are_refused(path: str) -> None:
    for parse in (lambda: FolderSource(path=path), lambda: Finetune(base_model=path)):
        with pytest.raises(ValidationError, match="credentials belong in the environment"):
            parse()


def test_a_url_of_this_machine_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(pair("1")))
    result = read_source(FolderSource(path=f"file://{tmp_path}"), Path("/nowhere"), lambda _: None)
    assert pa.concat_tables(result.instances(9))["prompt"].to_pylist() == ["1"]


def test_files_whose_store_tells_no_state_are_fetched_every_time(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_TIMES", ())
    put("memory://some/data", "a.jsonl", pair("1"))
    source, memory = FolderSource(path="memory://some/data"), tmp_path / "memory.json"
    first = source.state(tmp_path, memory)
    put("memory://some/data", "a.jsonl", pair("2"))
    assert source.state(tmp_path, memory) != first
    assert fetched == ["a.jsonl"] * 2
    put("memory://some/data", "config.json", {})
    with pytest.raises(TrainingError, match="does not tell when a file changes"):
        base_model_version("memory://some/data", None)


def test_copies_that_no_file_has_any_more_are_removed_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("memory://some/data", "a.jsonl", pair("1"))
    source, memory = FolderSource(path="memory://some/data"), tmp_path / "memory.json"
    source.state(tmp_path, memory)
    put("memory://some/data", "a.jsonl", pair("2"))
    source.state(tmp_path, memory)
    assert len(list((tmp_path / "memory.files").iterdir())) == 2
    monkeypatch.setattr(url_folder, "_KEPT", -1)
    source.state(tmp_path, memory)
    assert len(list((tmp_path / "memory.files").iterdir())) == 1


def test_an_error_of_the_file_system_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put("memory://some/data", "a.jsonl", pair("1"))
    folder = UrlFolder("memory://some/data")
    [file] = folder.files()
    fsspec.filesystem("memory").rm("/some/data/a.jsonl")
    with pytest.raises(StoreError, match=r"memory://some/data: a.jsonl cannot be read: "):
        folder.fetched([file], tmp_path)
