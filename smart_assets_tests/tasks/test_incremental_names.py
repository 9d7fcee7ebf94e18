"""What names of files say is part of a source's state: it decides rows as the bytes do."""

import json
from pathlib import Path

from smart_assets.settings import Project
from smart_assets_tests.support.make import current, read_rows
from smart_assets_tests.support.small_source import content_of, edit, make_small, planned, small_project

ROW = json.dumps({"prompt": "p", "response": "r"})
OTHER = json.dumps({"prompt": "q", "response": "r"})


def status(project: Project) -> str:
    return planned(project).status


def tasks(project: Project) -> list[str]:
    return sorted(content_of(project)["task"].to_pylist())


def test_a_split_that_comes_beside_a_file_gives_its_rows_another_task(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"b_train.jsonl": ROW, "c.jsonl": OTHER})
    make_small(project)
    assert tasks(project) == ["b_train", "c"]
    edit(tmp_path / "in", {"b_test.jsonl": OTHER})
    assert status(project) == "stale", "though no file that is read has changed"
    assert planned(project).reasons == ("tasks or columns that the names of files give changed",)
    manifest = make_small(project).manifest
    assert tasks(project) == ["b", "c"]
    assert (manifest.made["files read"], manifest.made["files reused"]) == (1, 1)
    assert status(project) == "current"


def test_files_that_are_not_read_change_no_state(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"b/train.jsonl": ROW})
    make_small(project)
    edit(tmp_path / "in", {"b/test.jsonl": OTHER, "README.md": "x"})
    assert status(project) == "current"
    edit(tmp_path / "in", {"b/train.jsonl": OTHER})
    manifest = make_small(project).manifest
    folder = project.store.folder(manifest.attachments["origins"])
    not_read = json.loads((folder / "files.json").read_text())["not_read"]
    assert [file["name"] for file in not_read] == ["README.md", "b/test.jsonl"]
    assert all(file["reason"] for file in not_read)


def test_settings_that_came_later_are_recorded_where_they_are_set(tmp_path: Path) -> None:
    """So what was made before they came stays current."""
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"a.jsonl": ROW})
    make_small(project)
    parameters = current(project, "raw_tasks", "small").parameters
    assert {"split", "splits", "follow_links", "max_unpacked_times"}.isdisjoint(parameters["source"])
    assert "names" not in parameters
    sources = {"small": {"kind": "folder", "path": str(tmp_path / "in"), "splits": "ignore"}}
    other = small_project(tmp_path, sources=sources)
    assert status(other) == "stale"
    make_small(other)
    assert current(other, "raw_tasks", "small").parameters["source"]["splits"] == "ignore"
    assert len(read_rows(other, "raw_tasks", "instances.parquet", "small")) == 1
