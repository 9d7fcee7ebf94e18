"""Where a store's files lie: its folder and a remote give the same answers to the same questions."""

import os
import time
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest

from smart_assets.core.errors import StoreError
from smart_assets.store import Store
from smart_assets.store.places import Place
from smart_assets.store.remote import ListedRemote, Remote


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Path]:
    """A place with files `a/one` (1 byte) and `a/b/two` (2 bytes), and its root."""
    store = Store(f"memory://places/{tmp_path.name}" if request.param == "remote" else "store", tmp_path)
    for name, content in (("a/one", b"1"), ("a/b/two", b"22")):
        path = store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if store.remote is not None:
            store.remote.push(path)
            path.unlink()
    return store.remote or store.local, store.root


def sizes(place: Place, folder: Path, root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): found.size for path, found in place.files(folder).items()}


def test_files_are_listed_with_their_sizes_and_times(place: tuple[Place, Path]) -> None:
    there, root = place
    assert sizes(there, root / "a", root) == {"a/one": 1, "a/b/two": 2}
    assert sizes(there, root / "a" / "one", root) == {"a/one": 1}
    assert there.files(root / "nowhere") == {}
    assert all(abs(found.modified - time.time()) < 100 for found in there.files(root / "a").values())


def test_the_hash_is_that_of_the_bytes(place: tuple[Place, Path]) -> None:
    there, root = place
    assert there.sha256(root / "a" / "b" / "two") == sha256(b"22").hexdigest()
    with pytest.raises((OSError, StoreError), match="nowhere"):
        there.sha256(root / "a" / "nowhere")


def test_a_folder_is_moved_with_all_that_is_in_it(place: tuple[Place, Path]) -> None:
    there, root = place
    there.move(root / "a", root / "damaged" / "aside")
    assert sizes(there, root / "damaged", root) == {"damaged/aside/one": 1, "damaged/aside/b/two": 2}
    assert there.files(root / "a") == {}


def test_one_file_is_moved(place: tuple[Place, Path]) -> None:
    there, root = place
    there.move(root / "a" / "one", root / "damaged" / "one")
    assert sizes(there, root / "damaged", root) == {"damaged/one": 1}
    assert sizes(there, root / "a", root) == {"a/b/two": 2}


def test_what_was_written_after_the_listing_is_not_removed(place: tuple[Place, Path]) -> None:
    there, root = place
    newest = max(found.modified for found in there.files(root / "a").values())
    assert not there.remove(root / "a", newest - 1), "one file that is newer is enough"
    assert sizes(there, root / "a", root) == {"a/one": 1, "a/b/two": 2}
    assert there.remove(root / "a", newest), "what is as old as it was listed goes"
    assert there.files(root / "a") == {}


def test_without_a_time_a_file_or_folder_goes_whatever_its_age(place: tuple[Place, Path]) -> None:
    there, root = place
    assert there.remove(root / "a" / "one")
    assert sizes(there, root / "a", root) == {"a/b/two": 2}
    assert there.remove(root / "a")
    assert there.files(root).keys() & {root / "a" / "one", root / "a" / "b" / "two"} == set()


def test_the_newest_file_of_a_folder_decides_wherever_it_is_listed(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for newer in ("a", "z"):
        folder = store.root / "kept"
        folder.mkdir(exist_ok=True)
        for name in ("a", "z"):
            (folder / name).write_text(name)
            os.utime(folder / name, (1_000, 2_000 if name == newer else 1_000))
        assert not store.local.remove(folder, 1_500.0)
        assert sorted(path.name for path in folder.iterdir()) == ["a", "z"]


def test_nothing_of_what_is_removed_stays_among_the_drafts(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    (store.root / "folder").mkdir()
    (store.root / "folder" / "x").write_text("x")
    (store.root / "file").write_text("x")
    assert store.local.remove(store.root / "folder")
    assert store.local.remove(store.root / "file")
    assert store.local.remove(store.root / "never there")
    assert list(store.drafts.folder.iterdir()) == []


def test_a_link_is_a_file_of_its_own(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    (store.root / "links").mkdir()
    (store.root / "links" / "broken").symlink_to("nowhere")
    assert len(store.local.files(store.root / "links")) == 1


def remote_of(tmp_path: Path) -> tuple[Remote, Path]:
    root = tmp_path / "mirror"
    return Remote(f"memory://remote/{tmp_path.name}", root), root


def write(remote: Remote, root: Path, name: str, content: bytes = b"x") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    remote.push(path)


def test_another_file_is_pushed_in_the_place_of_one(tmp_path: Path) -> None:
    remote, root = remote_of(tmp_path)
    write(remote, root, "a/x", b"mirror")
    (tmp_path / "draft").write_bytes(b"draft")
    remote.push(root / "a" / "x", tmp_path / "draft")
    remote.pull(root / "a" / "x", tmp_path / "deep" / "pulled")
    assert (tmp_path / "deep" / "pulled").read_bytes() == b"draft"


def test_names_are_those_of_one_folder_now(tmp_path: Path) -> None:
    remote, root = remote_of(tmp_path)
    assert remote.names(root / "a") == []
    write(remote, root, "a/x")
    assert remote.names(root / "a") == ["x"]
    write(remote, root, "a/y")
    assert sorted(remote.names(root / "a")) == ["x", "y"]


def test_what_is_not_there_any_more_is_named(tmp_path: Path) -> None:
    remote, root = remote_of(tmp_path)
    with pytest.raises(StoreError, match=r"a/x is not in the remote store any more: removed by `smart gc`, or lost"):
        remote.pull(root / "a" / "x", tmp_path / "pulled")


def test_a_listed_remote_says_what_was_there_when_it_was_first_asked(tmp_path: Path) -> None:
    remote, root = remote_of(tmp_path)
    for name in ("manifests/raw/p/1.json", "manifests/raw/q/2.json", "manifests/subset/p/3.json"):
        write(remote, root, name)
    for name in ("artifacts/raw/v1/x", "artifacts/raw/v1/sub/y", "artifacts/subset/v2/z"):
        write(remote, root, name)
    listed = ListedRemote(remote)
    assert listed.names(root / "manifests" / "raw" / "p") == ["1.json"]
    write(remote, root, "manifests/raw/p/4.json")
    assert listed.names(root / "manifests" / "raw" / "p") == ["1.json"]
    assert listed.names(root / "manifests" / "subset" / "p") == ["3.json"]
    assert {path.name for path in listed.files(root / "artifacts" / "raw" / "v1")} == {"x", "y"}
    assert {path.name for path in listed.files(root / "artifacts" / "subset" / "v2")} == {"z"}
    assert listed.names(root / "artifacts" / "raw" / "v1") == ["x"], "not what lies deeper"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"LastModified": "2026-01-02T03:04:05+00:00"}, 1767323045.0),
        ({"mtime": 12.5}, 12.5),
        ({"mtime": 12, "created": 99}, 12.0),
        ({"updated": None, "created": 7}, 7.0),
    ],
    ids=["text", "number", "the first of several", "one that is empty"],
)
def test_the_time_of_a_file_is_read_as_each_file_system_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, object], expected: float
) -> None:
    remote, root = remote_of(tmp_path)
    name = f"/remote/{tmp_path.name}/a/x"
    memory = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(memory, "find", lambda *_, **__: {name: {"size": 3, **entry}})
    [(path, found)] = remote.files(root / "a").items()
    assert (path, found.size, found.modified) == (root / "a" / "x", 3, expected)


def test_what_a_file_system_raises_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, root = remote_of(tmp_path)
    memory = type(fsspec.filesystem("memory"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no rights")

    for method, call, words in (
        ("put_file", lambda: remote.push(root / "a" / "x"), "cannot be written in the remote store: no rights"),
        ("ls", lambda: remote.names(root / "a"), "cannot be listed in the remote store: no rights"),
        ("find", lambda: remote.files(root / "a"), "cannot be listed in the remote store: no rights"),
        ("rm", lambda: remote.remove(root / "a"), "cannot be removed from the remote store: no rights"),
    ):
        monkeypatch.setattr(memory, method, refuse)
        with pytest.raises(StoreError, match=words):
            call()
