"""Verifying finds every kind of damage, and repairing leaves a store in which a run makes what was lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from smart_assets.store import Store
from smart_assets.store.log import append, now
from smart_assets.store.redaction import Redaction, log_of
from smart_assets.tasks.tombstones import TombstoneRecord, write_record
from smart_assets.upkeep.verify import Verified, verify
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit

FILES = {"a.txt": b"first", "sub/b.txt": b"second"}


def check(store: Store, repair: bool = False) -> Verified:
    return verify(store, lambda _: None, repair)


def put(store: Store, partition: str = "sample") -> Path:
    """Make the files current in a partition; gives the artifact's folder."""
    artifact = write_and_commit(store, FILES)
    store.record(manifest_of(artifact, partition))
    return store.folder(artifact)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: (folder / "a.txt").unlink(), "is missing"),
    "cut": (lambda folder: (folder / "sub/b.txt").write_bytes(b"sec"), "is cut short: 3 bytes of 6"),
    "grown": (lambda folder: (folder / "a.txt").write_bytes(b"first!"), "has grown: 6 bytes of 5"),
    "changed": (lambda folder: (folder / "a.txt").write_bytes(b"First"), "has changed: its size is right"),
    "folder in its place": (
        lambda folder: ((folder / "a.txt").unlink(), (folder / "a.txt").mkdir()),
        "is missing",
    ),
    "gone": (shutil.rmtree, "is missing"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_made_again(tmp_path: Path, kind: str) -> None:
    store = Store("store", tmp_path)
    folder = put(store)
    assert check(store).damages == []
    spoil, told = DAMAGES[kind]
    spoil(folder)
    assert told in check(store).damages[0].what
    assert not (store.root / "damaged").exists(), "looking changes nothing"
    repaired = check(store, repair=True)
    assert repaired.damages
    current = store.current("raw_tasks", "sample")
    assert current is not None
    assert not store.is_whole(current)
    if kind != "gone":
        [aside] = (store.root / "damaged").iterdir()
        assert aside.name.endswith(f"raw_tasks-{current.content_version}")
    put(store)
    assert check(store).damages == []


def test_a_file_that_does_not_belong_is_moved_out_and_the_artifact_stays(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    folder = put(store)
    (folder / "sub" / ".DS_Store").write_bytes(b"x")
    repaired = check(store, repair=True)
    assert [(damage.path.name, damage.what) for damage in repaired.damages] == [
        (".DS_Store", "does not belong to the artifact")
    ]
    current = store.current("raw_tasks", "sample")
    assert current is not None
    assert store.is_whole(current)
    assert check(store).damages == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_text("{"), "cannot be read"),
        (lambda path: path.write_text(path.read_text().replace("a.txt", "c.txt")), "its list of files is not"),
        (lambda path: path.rename(path.with_name(path.name[:24] + "0" * 32 + ".json")), "and its file's name 000"),
        (lambda path: path.rename(path.with_name("notes.json")), "its name is not that of a manifest"),
        (lambda path: path.write_text(path.read_text().replace("sample", "other")), "whose folder is another"),
        (
            lambda path: path.write_text(path.read_text().replace('"parameters": {}', '"parameters": {"budget": 7}')),
            "are not those of its fingerprint",
        ),
    ],
    ids=["cut", "altered", "renamed", "foreign", "of another partition", "of other parameters"],
)
def test_a_manifest_that_cannot_be_relied_on_gives_way_to_the_one_before(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    store = Store("store", tmp_path)
    put(store)
    good = store.current("raw_tasks", "sample")
    spoil(store.record(manifest_of(write_and_commit(store, {**FILES, "new": b"x"}))))
    [damage] = check(store).damages
    assert told in damage.what
    check(store, repair=True)
    assert store.current("raw_tasks", "sample") == good
    assert check(store).damages == []
    assert len(list((store.root / "damaged").iterdir())) == 1


def test_what_was_collected_is_no_damage(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    shutil.rmtree(put(store))
    store.record(manifest_of(write_and_commit(store, {"x": b"x"})))
    result = check(store)
    assert (result.damages, result.collected, result.artifacts, result.manifests) == ([], 1, 1, 2)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Store, Store, Path]:
    """Two mirrors of one remote store, both with the artifact, and the path of a file of it under their roots."""
    url = f"memory://verify/{tmp_path.name}"
    here, there = Store(url, tmp_path / "one"), Store(url, tmp_path / "two")
    folder = put(here)
    current = there.current("raw_tasks", "sample")
    assert current is not None
    there.artifact(current)
    return here, there, (folder / "a.txt").relative_to(here.root)


def remote_file(tmp_path: Path, path: Path) -> str:
    return f"/verify/{tmp_path.name}/{path.as_posix()}"


def test_a_good_copy_replaces_the_damaged_one(tmp_path: Path, machines: tuple[Store, Store, Path]) -> None:
    here, there, file = machines
    remote = fsspec.filesystem("memory")
    (here.root / file).write_bytes(b"First")
    assert [damage.where for damage in check(here).damages] == ["in the mirror"]
    assert check(there).damages == []
    check(here, repair=True)
    assert (here.root / file).read_bytes() == b"first"
    remote.pipe_file(remote_file(tmp_path, file), b"First")
    assert [damage.where for damage in check(here).damages] == ["in the remote store"]
    check(there, repair=True)
    assert remote.cat_file(remote_file(tmp_path, file)) == b"first"
    assert check(here).damages == check(there).damages == []


def test_where_no_good_copy_is_left_every_machine_sees_it(tmp_path: Path, machines: tuple[Store, Store, Path]) -> None:
    here, _, file = machines
    (here.root / file).write_bytes(b"First")
    fsspec.filesystem("memory").rm(remote_file(tmp_path, file))
    assert len(check(here, repair=True).damages) == 2
    new = Store(here.url, tmp_path / "three")
    for store in (here, new):
        current = store.current("raw_tasks", "sample")
        assert current is not None
        assert not store.is_whole(current)
    put(new)
    assert check(here).damages == check(new).damages == []


def test_a_manifest_that_only_the_mirror_spoiled_is_fetched_again(machines: tuple[Store, Store, Path]) -> None:
    here, there, _ = machines
    [manifest] = here.root.glob("manifests/*/*/*.json")
    manifest.write_text("{")
    check(here, repair=True)
    assert here.current("raw_tasks", "sample") == there.current("raw_tasks", "sample")


def test_a_manifest_spoiled_in_the_remote_is_current_nowhere(
    tmp_path: Path, machines: tuple[Store, Store, Path]
) -> None:
    here, there, _ = machines
    good = here.current("raw_tasks", "sample")
    path = here.record(manifest_of(write_and_commit(here, {"x": b"x"})))
    path.write_text("{")
    fsspec.filesystem("memory").pipe_file(remote_file(tmp_path, path.relative_to(here.root)), b"{")
    check(there, repair=True)
    assert here.current("raw_tasks", "sample") == there.current("raw_tasks", "sample") == good


def test_a_file_among_the_manifests_of_the_remote_that_is_none_is_moved_away(
    tmp_path: Path, machines: tuple[Store, Store, Path]
) -> None:
    here, there, _ = machines
    good = here.current("raw_tasks", "sample")
    [manifest] = here.root.glob("manifests/*/*/*.json")
    stray = remote_file(tmp_path, manifest.with_name("copy of it.json").relative_to(here.root))
    fsspec.filesystem("memory").pipe_file(stray, b"{}")
    [damage] = check(there, repair=True).damages
    assert "its name is not that of a manifest" in damage.what
    assert check(here).damages == []
    assert here.current("raw_tasks", "sample") == there.current("raw_tasks", "sample") == good


@pytest.mark.parametrize(
    ("ids", "because", "sound"),
    [
        pytest.param(["real"], ["of it"], True, id="what was forgotten"),
        pytest.param(["real", "also real"], ["of it", "of the other"], True, id="by two tombstones"),
        pytest.param(["real", "forged"], ["of it"], False, id="a row more"),
        pytest.param(["forged"], ["of it"], False, id="another row"),
        pytest.param(["real", "also real"], ["of it"], False, id="a row of a tombstone that it does not name"),
        pytest.param(["real"], ["of nothing"], False, id="no tombstone of the name"),
    ],
)
def test_a_redaction_needs_a_tombstone_of_each_row(
    tmp_path: Path, ids: list[str], because: list[str], sound: bool
) -> None:
    store = Store("store", tmp_path)
    folder = put(store)
    tombstones = {
        "of it": TombstoneRecord(at=now(), action="forget", who="Ann", ids=("real",)),
        "of the other": TombstoneRecord(at=now(), action="forget", who="Ann", ids=("also real",)),
    }
    for tombstone in tombstones.values():
        write_record(store, tombstone)
    keys = tuple(tombstones[name].key if name in tombstones else name for name in because)
    redaction = Redaction(
        at=now(), asset="raw_tasks", version=folder.name, replaced_by=None, ids=tuple(ids), because=keys
    )
    append(store, log_of("raw_tasks", folder.name), redaction.model_dump(mode="json"))
    shutil.rmtree(folder)
    told = [] if sound else ["says that rows are forgotten which no tombstone names"]
    assert [damage.what for damage in check(store).damages] == told


def test_all_that_is_read_is_counted_and_what_went_is_told_apart(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    collected, redacted, whole = (
        write_and_commit(store, {"x": name.encode(), "sub/y": b"1"}) for name in ("collected", "redacted", "whole")
    )
    origins = write_and_commit(store, {"o": b"origins"}, "raw_tasks.origins")
    for artifact in (collected, redacted, whole):
        store.record(manifest_of(artifact).model_copy(update={"attachments": {"origins": origins}}))
    tombstone = TombstoneRecord(at=now(), action="forget", who="Ann", task="beta")
    write_record(store, tombstone)
    redaction = Redaction(
        at=now(),
        asset="raw_tasks",
        version=redacted.version,
        replaced_by=write_and_commit(store, {"x": b"rest"}),
        ids=("a row of the task", "another"),
        because=(tombstone.key,),
    )
    append(store, log_of("raw_tasks", redacted.version), redaction.model_dump(mode="json"))
    for artifact in (collected, redacted):
        shutil.rmtree(store.folder(artifact))
    result = check(store)
    assert result.damages == result.repairs == []
    assert (result.manifests, result.artifacts, result.files) == (3, 3, 4)
    assert result.size == len("whole") + 1 + len("origins") + len("rest")
    assert (result.collected, result.redacted) == (1, 1)
    (store.folder(origins) / "o").write_bytes(b"Origins")
    assert [damage.path.name for damage in check(store).damages] == ["o"], "attachments are read, too"


def test_a_damaged_rest_of_a_redacted_artifact_is_damage(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    folder = put(store)
    tombstone = TombstoneRecord(at=now(), action="forget", who="Ann", ids=("a",))
    write_record(store, tombstone)
    rest = write_and_commit(store, {"x": b"rest"})
    redaction = Redaction(
        at=now(), asset="raw_tasks", version=folder.name, replaced_by=rest, ids=("a",), because=(tombstone.key,)
    )
    append(store, log_of("raw_tasks", folder.name), redaction.model_dump(mode="json"))
    shutil.rmtree(folder)
    assert check(store).damages == []
    (store.folder(rest) / "x").write_bytes(b"Rest")
    assert [damage.what[:11] for damage in check(store).damages] == ["has changed"]


def test_each_repair_is_told(tmp_path: Path, machines: tuple[Store, Store, Path]) -> None:
    here, there, file = machines
    artifact = file.parent
    (here.root / file).write_bytes(b"First")
    moved, fetched = check(here, repair=True).repairs
    assert moved.startswith(f"{here.root / artifact}: moved to {here.root / 'damaged'}")
    assert "smart run" not in moved
    assert fetched == f"{here.root / artifact}: fetched again from the remote store"
    fsspec.filesystem("memory").pipe_file(remote_file(tmp_path, file), b"First")
    assert check(there, repair=True).repairs == [f"{there.root / artifact}: pushed again from the mirror"]
    [manifest] = here.root.glob("manifests/*/*/*.json")
    manifest.write_text("{")
    assert check(here, repair=True).repairs == [f"{manifest}: fetched again from the remote store"]
    stray = (here.root / artifact) / "stray"
    stray.write_text("x")
    [told] = check(here, repair=True).repairs
    assert told.startswith(f"{stray}: moved to {here.root / 'damaged'}")


def test_what_is_moved_away_says_what_is_made_again_or_falls_back(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    folder = put(store)
    (folder / "a.txt").write_bytes(b"First")
    (folder / "stray").write_text("x")
    [told] = check(store, repair=True).repairs
    assert told.startswith(f"{folder}: moved to ")
    assert told.endswith("; `smart run` makes raw_tasks again")
    [aside] = (store.root / "damaged").iterdir()
    assert sorted(path.name for path in aside.iterdir()) == ["a.txt", "stray", "sub"]
    [manifest] = store.root.glob("manifests/*/*/*.json")
    manifest.write_text("{")
    [told] = check(store, repair=True).repairs
    assert told.startswith(f"{manifest}: moved to ")
    assert told.endswith("; its partition falls back to the one before")
    assert check(store).manifests == 0


def test_the_progress_is_of_all_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import itertools

    store = Store("store", tmp_path)
    for number in range(4):
        store.record(manifest_of(write_and_commit(store, {"x": bytes([number]) * 500_000, "y": b"1"}), str(number)))
    clock = itertools.count(0, 10)
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    lines: list[str] = []
    verify(store, lines.append)
    assert lines
    assert all(line.startswith("reading the store: ") for line in lines)
