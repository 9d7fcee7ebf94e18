"""Files that change while they are read, or cannot be read any more: what the manifest and the plan say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from smart_assets.assets import raw_tasks
from smart_assets.assets.raw_tasks import preview
from smart_assets.core.errors import SourceError
from smart_assets.planning.graph import desired_state
from smart_assets.tasks import files, formats
from smart_assets_tests.support.small_source import SMALL, content_of, edit, make_small, planned, small_project


def test_a_file_that_changes_while_it_is_read_and_back_is_read_again(tmp_path: Path) -> None:
    project, path = small_project(tmp_path), tmp_path / "in" / "a.jsonl"
    contents = [json.dumps({"prompt": prompt, "response": "r"}) for prompt in "pq"]
    path.write_text(contents[0])
    read_file = formats.read_file

    def read_other(path: Path, *rest: Any) -> Iterator[Any]:
        path.write_text(contents[1])
        yield from list(read_file(path, *rest))
        path.write_text(contents[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "read_file", read_other)
        make_small(project)
    edit(tmp_path / "in", {"b.jsonl": contents[1]})
    assert make_small(project).manifest.made["files read"] == 2
    assert content_of(project).equals(fresh_content(tmp_path))


def fresh_content(folder: Path) -> pa.Table:
    project = small_project(folder / "fresh", folder / "in")
    make_small(project)
    return content_of(project)


def test_the_manifest_tells_what_was_read_not_what_was_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project(tmp_path)
    before, after = (json.dumps({"prompt": prompt, "response": "r"}) for prompt in "pq")
    edit(tmp_path / "in", {"a.jsonl": before})
    read_source = raw_tasks.read_source

    def changed_first(*args: Any) -> Any:
        edit(tmp_path / "in", {"a.jsonl": after})
        return read_source(*args)

    monkeypatch.setattr(raw_tasks, "read_source", changed_first)
    assert make_small(project).manifest.outside == desired_state(project, SMALL).outside
    assert planned(project).status == "current"
    edit(tmp_path / "in", {"a.jsonl": before})
    assert planned(project).status == "stale"


def test_a_file_that_changes_while_it_is_read_leaves_the_source_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, read_file = small_project(tmp_path), formats.read_file
    edit(tmp_path / "in", {"a.jsonl": json.dumps({"prompt": "p", "response": "r"})})

    def read_and_grow(path: Path, *rest: Any) -> Iterator[Any]:
        yield from list(read_file(path, *rest))
        path.write_text(path.read_text() + "\n")

    with monkeypatch.context() as patch:
        patch.setattr(formats, "read_file", read_and_grow)
        assert make_small(project).manifest.outside == {"a.jsonl": ""}
    assert planned(project).status == "stale"
    make_small(project)
    assert planned(project).status == "current"


def test_a_file_that_cannot_be_read_any_more_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, hash_ = small_project(tmp_path), files._hash
    row = json.dumps({"prompt": "p", "response": "r"})
    edit(tmp_path / "in", {"a.jsonl": row, "b.jsonl": row.replace("p", "q")})
    manifest = make_small(project).manifest
    monkeypatch.setattr(files, "_hash", lambda file: "" if file.name == "b.jsonl" else hash_(file))
    message = "b.jsonl cannot be read, and could be when it was read last. Grant access"
    step = planned(project)
    assert step.status == "blocked"
    assert message in step.reasons[0]
    with pytest.raises(SourceError, match=message):
        preview(project, "small", manifest)
    never = small_project(tmp_path / "never", tmp_path / "in")
    assert make_small(never).manifest.summary["rows"] == 1
    assert planned(never).status == "current"


def test_a_plan_says_that_reading_will_fail(tmp_path: Path) -> None:
    project, row = small_project(tmp_path), json.dumps({"prompt": "p", "response": "r"})
    edit(tmp_path / "in", {"a.jsonl": row})
    make_small(project)
    edit(tmp_path / "in", {"sub/a.jsonl": row})
    new, failure = planned(project).reasons
    assert new == "1 file new: sub/a.jsonl"
    assert failure.startswith("source `small`: reading it will fail: ")
    assert "the files a.jsonl and sub/a.jsonl both give the task 'a'" in failure


def test_two_files_of_one_task_are_refused_though_one_is_not_read(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"a.jsonl": json.dumps({"prompt": "p", "response": "r"})})
    make_small(project)
    edit(tmp_path / "in", {"sub/a.jsonl": json.dumps({"prompt": "q", "response": "r"})})
    with pytest.raises(SourceError, match=r"a.jsonl and sub/a.jsonl both give the task 'a'"):
        make_small(project)
