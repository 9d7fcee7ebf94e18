"""Links in a source's folder: those inside it are no second files, those out of it are refused, and trees end."""

import os
from pathlib import Path
from typing import Any

import pytest

from smart_assets.core.errors import SourceError
from smart_assets.store import Store
from smart_assets.tasks import walk
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets.tasks.source_kind import Snapshot
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
from smart_assets_tests.support.projects import write_tasks

ROW = [{"prompt": "p", "response": "r"}]


def look(folder: Path, **changes: Any) -> Snapshot:
    return FolderSource(path=str(folder), **changes).snapshot(Path("/nowhere"))


def names(snapshot: Snapshot) -> list[str]:
    return [file.path for file in snapshot.files]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tasks(tmp_path / "in" / "deep", {"a": ROW})
    write_tasks(tmp_path / "outside", {"b": ROW})
    return tmp_path / "in"


@pytest.mark.parametrize("kind", [FolderSource, HuggingFaceSource])
@pytest.mark.parametrize(("name", "target"), [("b.jsonl", "outside/b.jsonl"), ("more", "outside"), ("all", "")])
def test_a_link_out_is_refused_by_name(folder: Path, name: str, target: str, kind: Any) -> None:
    (folder / name).symlink_to(folder.parent / target)
    with pytest.raises(SourceError, match=rf"in: {name}/? leads out of it. Set `follow_links: true` .* or remove"):
        kind(path=str(folder)).snapshot(Path("/nowhere"))


def test_a_link_out_to_what_is_not_read_anyway_is_only_named(folder: Path) -> None:
    (folder.parent / "README.md").write_text("x")
    (folder / "README.md").symlink_to(folder.parent / "README.md")
    snapshot = look(folder)
    assert names(snapshot) == ["deep/a.jsonl"]
    assert [(file.name, "leads out" in file.reason) for file in snapshot.not_read] == [("README.md", True)]


def test_links_out_are_followed_where_the_settings_say_so(folder: Path) -> None:
    (folder / "c.jsonl").symlink_to(folder.parent / "outside" / "b.jsonl")
    (folder / "more").symlink_to(folder.parent / "outside")
    snapshot = look(folder, follow_links=True)
    assert names(snapshot) == ["c.jsonl", "deep/a.jsonl"]
    assert [file.name for file in snapshot.not_read] == ["more/b.jsonl"]


def test_a_link_to_a_file_or_folder_inside_is_no_second_task(folder: Path) -> None:
    (folder / "again.jsonl").symlink_to("deep/a.jsonl")
    (folder / "latest").symlink_to("deep")
    (folder / "deep" / "up").symlink_to("..")
    snapshot = look(folder)
    assert names(snapshot) == ["deep/a.jsonl"]
    assert [file.name for file in snapshot.not_read] == ["again.jsonl", "deep/up/", "latest/"]
    assert {file.reason for file in snapshot.not_read} == {"a link to what stands under its own name"}


def test_a_link_to_what_is_hidden_inside_is_the_file(folder: Path) -> None:
    """As folders of download caches are: names are links to files in a hidden folder."""
    write_tasks(folder / ".blobs", {"1f2e": ROW})
    (folder / "b.jsonl").symlink_to(".blobs/1f2e.jsonl")
    (folder / "c.jsonl").symlink_to(".blobs/1f2e.jsonl")
    snapshot = look(folder)
    assert names(snapshot) == ["b.jsonl", "deep/a.jsonl"]
    assert [file.name for file in snapshot.not_read] == [".blobs/", "c.jsonl"]


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "up").symlink_to(folder.parent)
    (folder.parent / "outside" / "down").symlink_to(folder)
    assert names(look(folder, follow_links=True)) == ["deep/a.jsonl", "up/outside/b.jsonl"]
    (folder / "self.jsonl").symlink_to("self.jsonl")
    with pytest.raises(SourceError, match=r"self.jsonl cannot be examined"):
        look(folder, follow_links=True)


def test_a_tree_without_an_end_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_MOST_ENTRIES", 20)
    for number in range(21):
        (folder / f"{number}.txt").touch()
    with pytest.raises(SourceError, match=r"more than 20 files and folders\. Correct the path"):
        look(folder)


def test_hidden_files_and_pipes_are_named(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "c.jsonl").touch()
    (folder / "._a.jsonl").touch()
    os.mkfifo(folder / "pipe.jsonl")
    reasons = {file.name: file.reason.partition(":")[0] for file in look(folder).not_read}
    assert reasons == {"._a.jsonl": "hidden", ".git/": "hidden", "pipe.jsonl": "no file of bytes"}


def test_a_store_in_the_folder_is_refused(folder: Path) -> None:
    store = Store(str(folder / "kept"), folder)
    store.record(manifest_of(write_and_commit(store, {"a.jsonl": b"{}"})))
    with pytest.raises(SourceError, match=r"in: kept/ is a store, .*Set `path` .* or `store:` to a folder outside"):
        look(folder)
