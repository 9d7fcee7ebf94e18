"""The store: content decides, nothing half-written is ever current, and a remote store is the same store."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.core.errors import StoreError
from smart_assets.store import Store
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
from smart_assets_tests.support.disk import Disk

names = st.text("abc/", min_size=1, max_size=6).filter(lambda name: all(part for part in name.split("/")))


@settings(max_examples=30, deadline=None)
@given(files=st.dictionaries(names, st.binary(max_size=20), min_size=1, max_size=3))
def test_version_is_of_content_alone(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    keys = list(files)
    if any(other.startswith(key + "/") for key in keys for other in keys):
        return  # a file cannot also be a folder
    first = write_and_commit(Store("a", tmp_path_factory.mktemp("one")), files)
    second = write_and_commit(Store("b", tmp_path_factory.mktemp("two")), dict(reversed(files.items())))
    assert first == second
    changed = {**files, keys[0]: files[keys[0]] + b"!"}
    assert write_and_commit(Store("c", tmp_path_factory.mktemp("three")), changed).version != first.version


def test_equal_content_is_stored_once_and_never_overwritten(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    artifact = write_and_commit(store, {"a.txt": b"x"})
    inode = (store.folder(artifact) / "a.txt").stat().st_ino
    assert write_and_commit(store, {"a.txt": b"x"}) == artifact
    assert (store.folder(artifact) / "a.txt").stat().st_ino == inode


def test_newest_manifest_is_current_even_when_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import smart_assets.store.store as module

    store = Store("store", tmp_path)
    one, two = write_and_commit(store, {"a": b"1"}), write_and_commit(store, {"a": b"2"})
    store.record(manifest_of(two))

    class Past(module.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "module.datetime":
            return module.datetime(2001, 1, 1, tzinfo=module.UTC)

    monkeypatch.setattr(module, "datetime", Past)
    for artifact in (one, two, one):
        store.record(manifest_of(artifact))
        current = store.current("raw_tasks", "sample")
        assert current is not None
        assert current.content_version == artifact.version
    assert len(store.history("raw_tasks", "sample")) == 4


@pytest.mark.parametrize("partition", ["400|smart", "a/b", "..x", "ü", "%2F"])
def test_partition_names_never_leave_their_folder(tmp_path: Path, partition: str) -> None:
    store = Store("store", tmp_path)
    path = store.record(manifest_of(write_and_commit(store, {"a": b"1"}), partition))
    assert path.parent.parent == store.root / "manifests" / "raw_tasks"
    assert store.current("raw_tasks", partition) is not None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    artifact = write_and_commit(store, {"a.txt": b"x"})
    (store.folder(artifact) / "a.txt").unlink()
    with pytest.raises(StoreError, match=r"a\.txt is missing or cut short though a manifest names it"):
        store.folder(artifact)


def test_an_artifact_is_on_the_disk_before_its_manifest_is_there(tmp_path: Path, disk: Disk) -> None:
    """A loss of power keeps what was synced; a manifest must not be there before what it names."""
    store = Store("store", tmp_path)
    artifact = write_and_commit(store, {"a.txt": b"x", "sub/b.txt": b"y"})
    manifest = store.record(manifest_of(artifact))
    folder = store.folder(artifact)
    named = disk.calls.index(("name", str(manifest)))
    for path in (folder / "a.txt", folder / "sub" / "b.txt", folder / "sub", folder, folder.parent, manifest):
        assert ("sync", path.stat().st_ino) in disk.calls[:named], path
    assert disk.calls.index(("name", str(folder))) < named


def test_an_empty_draft_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="needs at least one file"):
        write_and_commit(Store("store", tmp_path), {})


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    store.record(manifest_of(write_and_commit(store, {"a": b"1"}))).write_text("{")
    with pytest.raises(StoreError, match="cannot be read: `smart verify --repair` moves it away"):
        store.current("raw_tasks", "sample")


def test_an_unwritable_store_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written .*set another `store:`"):
        Store("file/store", tmp_path)


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere://x` cannot be opened"):
        Store("nowhere://x", tmp_path)


def test_a_remote_store_is_seen_from_another_machine(tmp_path: Path) -> None:
    here, there = Store("memory://bucket/p", tmp_path / "one"), Store("memory://bucket/p", tmp_path / "two")
    artifact = write_and_commit(here, {"a.txt": b"x", "sub/b.txt": b"y"})
    here.record(manifest_of(artifact, "400|smart"))
    current = there.current("raw_tasks", "400|smart")
    assert current is not None
    assert (there.artifact(current) / "sub" / "b.txt").read_bytes() == b"y"
    assert there.current("raw_tasks", "other") is None
    (there.artifact(current) / "a.txt").unlink()
    assert (there.artifact(current) / "a.txt").read_bytes() == b"x", "what the mirror lost is fetched again"


def test_a_remote_store_that_lost_a_file_names_it(tmp_path: Path) -> None:
    import fsspec

    here, there = Store("memory://lost/p", tmp_path / "one"), Store("memory://lost/p", tmp_path / "two")
    artifact = write_and_commit(here, {"a.txt": b"x"})
    fsspec.filesystem("memory").rm("/lost/p/artifacts", recursive=True)
    with pytest.raises(StoreError, match=r"a\.txt is not in the remote store any more: removed by `smart gc`, or lost"):
        there.folder(artifact)


@pytest.mark.parametrize("stage", ["draft", "artifact"])
def test_a_kill_leaves_the_last_good_state(tmp_path: Path, stage: str) -> None:
    store = Store("store", tmp_path)
    good = write_and_commit(store, {"a": b"good"})
    store.record(manifest_of(good))
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from smart_assets.store import Store
        store = Store("store", Path({str(tmp_path)!r}))
        with store.draft() as folder:
            content = folder / "content"
            content.mkdir()
            (content / "a").write_bytes(b"new")
            if {stage!r} == "artifact":
                store.commit("raw_tasks", content)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    current = store.current("raw_tasks", "sample")
    assert current is not None
    assert (store.artifact(current) / "a").read_bytes() == b"good"
