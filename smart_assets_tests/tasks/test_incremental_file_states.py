"""The state of a source's files: hashes are remembered, and links, pipes and dead disks are told apart."""

import errno
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smart_assets.core.errors import SourceError
from smart_assets.planning.graph import desired_state
from smart_assets.tasks import files
from smart_assets.tasks.files import folder_state, list_folder
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets_tests.support.projects import write_tasks
from smart_assets_tests.support.small_source import SMALL, edit, small_project


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were hashed."""
    found: list[str] = []
    hash_ = files._hash
    monkeypatch.setattr(files, "_hash", lambda file: found.append(file.name) or hash_(file))
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", -(10**18))


def test_hashes_are_remembered_in_a_file(tmp_path: Path, hashes: list[str], settled: None) -> None:
    memory, folder = tmp_path / "memory.json", tmp_path / "in"
    write_tasks(folder, {name: [{"n": name}] for name in "abc"})
    first = folder_state(folder, memory)
    assert hashes == ["a.jsonl", "b.jsonl", "c.jsonl"]
    (folder / "new").write_text((folder / "b.jsonl").read_text().replace("b", "x"))
    (folder / "new").replace(folder / "b.jsonl")  # of the same size
    os.utime(folder / "b.jsonl", ns=(0, (folder / "a.jsonl").stat().st_mtime_ns))
    second = folder_state(folder, memory)
    assert hashes[3:] == ["b.jsonl"]
    assert {name for name in first if first[name] != second[name]} == {"b.jsonl"}
    assert folder_state(folder, memory) == second == folder_state(folder)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["memory.json"]


def test_a_file_of_this_moment_is_not_remembered(tmp_path: Path, hashes: list[str]) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    for _ in range(2):
        folder_state(tmp_path / "in", tmp_path / "memory.json")
    assert hashes == ["a.jsonl", "a.jsonl"]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_time_that_was_set_by_hand_does_not_keep_a_hash_from_being_remembered(
    tmp_path: Path, days: int, monkeypatch: pytest.MonkeyPatch, hashes: list[str]
) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    os.utime(tmp_path / "in" / "a.jsonl", (4e9, 4e9))
    now = time.time_ns() + days * 86_400 * 10**9
    monkeypatch.setattr("smart_assets.tasks.files.time.time_ns", lambda: now)
    for _ in range(2):
        folder_state(tmp_path / "in", tmp_path / "memory.json")
    assert hashes == ["a.jsonl"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"a"', b"[" * 100_000, b'{"1": 1}'])
def test_a_damaged_memory_is_ignored_and_replaced(
    tmp_path: Path, content: bytes, hashes: list[str], settled: None
) -> None:
    memory = tmp_path / "memory.json"
    write_tasks(tmp_path / "in", {"a": [{}]})
    memory.write_bytes(content)
    state = folder_state(tmp_path / "in", memory)
    assert state == folder_state(tmp_path / "in", memory) == folder_state(tmp_path / "in")
    assert hashes == ["a.jsonl", "a.jsonl"]


def test_a_memory_that_cannot_be_written_only_costs_time(tmp_path: Path, settled: None) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    assert folder_state(tmp_path / "in", tmp_path / "nowhere" / "memory.json") == folder_state(tmp_path / "in")


def test_projects_that_share_a_store_remember_their_own_hashes(
    tmp_path: Path, settled: None, hashes: list[str]
) -> None:
    projects = [small_project(tmp_path / name, store=str(tmp_path / "store")) for name in ("one", "other")]
    for name, project in zip("ab", projects, strict=True):
        edit(project.root / "in", {f"{name}.jsonl": json.dumps({"prompt": name, "response": "r"})})
    for project in projects * 2:
        desired_state(project, SMALL)
    assert hashes == ["a.jsonl", "b.jsonl"]


def test_links_in_a_circle_and_pipes_are_left_out(tmp_path: Path) -> None:
    write_tasks(tmp_path / "in" / "deep", {"a": [{}]})
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "pipe.jsonl")
    assert [file.name for file in list_folder(tmp_path / "in").files] == ["deep/a.jsonl"]


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    for name in ("\x1b.jsonl", "\\x1b.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=r"two files whose names look like \\x1b.jsonl. Rename one"):
        list_folder(tmp_path)


def test_the_last_change_is_that_of_files_and_folders_not_of_their_originals(tmp_path: Path) -> None:
    source, began = FolderSource(path="in"), datetime.now(UTC).timestamp() - 0.1  # the clock of files is coarse
    write_tasks(tmp_path / "in" / "sub", {"a": [{}], "b": [{}]})
    os.utime(tmp_path / "in" / "sub" / "a.jsonl", (1, 1))
    changes = [source.last_change(tmp_path)]
    touches = [(tmp_path / "in" / "sub" / "b.jsonl").unlink, (tmp_path / "in" / "x").mkdir]
    for touch in touches:
        wait_for_clock(tmp_path)
        touch()
        changes.append(source.last_change(tmp_path))
    stamps = [change.timestamp() for change in changes if change is not None]
    assert began < stamps[0] < stamps[1] < stamps[2]
    (tmp_path / "in" / "sub" / "notes.txt").touch()
    named = source.last_change(tmp_path)
    wait_for_clock(tmp_path)
    (tmp_path / "in" / "sub" / "notes.txt").write_text("more")  # no task file, so nothing waits for it
    assert source.last_change(tmp_path) == named
    assert HuggingFaceSource(path="nobody/nothing").last_change(tmp_path) is None


def wait_for_clock(folder: Path) -> None:
    """Wait until the clock by which files are stamped has moved on."""
    probe = folder / "probe"
    probe.touch()
    now = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == now:
        probe.touch()


@pytest.mark.parametrize("ask", ["state", "last_change"])
@pytest.mark.parametrize(
    ("folder", "message"),
    [pytest.param("gone", "does not exist", id="gone"), pytest.param("empty", "holds no task files", id="empty")],
)
def test_a_source_that_is_gone_is_no_empty_source(tmp_path: Path, ask: str, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=message):
        getattr(FolderSource(path=folder), ask)(tmp_path)


@pytest.mark.parametrize("ask", ["state", "last_change"])
@pytest.mark.parametrize("kind", [FolderSource, HuggingFaceSource])
def test_a_disk_that_does_not_answer_is_an_error_for_people(
    tmp_path: Path, ask: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    found = os.stat

    def dead(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if str(path) == str(tmp_path / "in"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return found(path, *args, **options)

    monkeypatch.setattr(os, "stat", dead)
    with pytest.raises(SourceError, match=r"in cannot be read: Stale file handle. Grant access to it, or mount"):
        getattr(kind(path="in"), ask)(tmp_path)


@pytest.mark.parametrize("ask", ["state", "last_change"])
@pytest.mark.parametrize("kind", [FolderSource, HuggingFaceSource])
@pytest.mark.parametrize("name", ["folder", "file.jsonl"])
def test_a_link_that_leads_nowhere_is_no_file_that_left(tmp_path: Path, ask: str, kind: Any, name: str) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    (tmp_path / "in" / name).symlink_to(tmp_path / "unmounted")
    with pytest.raises(SourceError, match=rf"in: {name} cannot be examined. Mount its disk, or remove the link."):
        getattr(kind(path="in"), ask)(tmp_path)
