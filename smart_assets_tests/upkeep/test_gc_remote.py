"""A remote store and its mirrors: each machine collects its own, and nothing that another takes into use."""

from datetime import timedelta
from pathlib import Path

import pytest

from smart_assets.core.errors import StoreError
from smart_assets.store import Store
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets_tests.support.artifacts import collect, grow_older, manifest_of, write_and_commit


def test_a_remote_store_and_every_mirror_of_it(tmp_path: Path) -> None:
    import fsspec

    here, there = Store("memory://gc/p", tmp_path / "one"), Store("memory://gc/p", tmp_path / "two")
    artifacts = [write_and_commit(here, {"x": content}) for content in (b"1", b"2")]
    manifests = [here.record(manifest_of(artifact)) for artifact in artifacts]
    there.folder(artifacts[0])
    for path in manifests:
        there.read(there.root / path.relative_to(here.root))
    memory = fsspec.filesystem("memory")
    memory.rm(f"/gc/p/{manifests[0].relative_to(here.root).as_posix()}")  # another machine moved it away
    memory.store[f"/gc/p/artifacts/raw_tasks/{artifacts[0].version}/x"].created -= timedelta(days=100)
    for store in (here, there):
        grow_older(store, 100)
    mirrored = ["raw_tasks (mirror): no manifest names it", "manifests (mirror): the remote store has it no more"]
    assert collect(there) == ["raw_tasks: no manifest names it", *mirrored]
    assert collect(here) == mirrored
    assert collect(there) == collect(here) == []
    assert [path.rsplit("/", 2)[1] for path in memory.find("/gc/p/artifacts")] == [artifacts[1].version]
    for store in (here, there):
        assert store.history("raw_tasks", "sample") == [manifest_of(artifacts[1])]
        assert [path.name for path in store.root.glob("manifests/*/*/*")] == [manifests[1].name]


def test_what_is_taken_into_use_after_the_listing_stays_in_a_remote_too(tmp_path: Path) -> None:
    import fsspec

    url = f"memory://gc-use/{tmp_path.name}"
    here, there = Store(url, tmp_path / "one"), Store(url, tmp_path / "two")
    here.record(manifest_of(write_and_commit(here, {"x": b"1"})))
    wanted_again, unused = (write_and_commit(here, {"x": content}) for content in (b"2", b"3"))
    for name, file in fsspec.filesystem("memory").store.items():
        if name.startswith(f"/gc-use/{tmp_path.name}/artifacts/"):
            file.created -= timedelta(days=100)
            file.modified -= timedelta(days=100)
    listed = find_garbage(here, Retention(newest=1))
    assert {item.path.name for item in listed} == {wanted_again.version, unused.version}
    again = write_and_commit(there, {"x": b"2"})  # another machine, whose manifest is on its way
    assert [item.path.name for item in remove_garbage(listed)] == [unused.version]
    assert (Store(url, tmp_path / "three").folder(again) / "x").read_bytes() == b"2"


def test_a_remote_that_shows_nothing_loses_nothing(tmp_path: Path) -> None:
    import fsspec

    store = Store("memory://gc-empty/p", tmp_path)
    artifact = write_and_commit(store, {"x": b"1"})
    manifest = store.record(manifest_of(artifact))
    store.read(manifest)
    grow_older(store, 100)
    fsspec.filesystem("memory").rm("/gc-empty/p", recursive=True)  # or the wrong bucket, or rights that list nothing
    with pytest.raises(StoreError, match=r"holds no manifest though this machine's mirror does.*nothing is removed"):
        collect(store)
    assert manifest.exists()
