"""What the collector takes: held against a model of the store's history, with runs under way and time going by."""

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smart_assets.core.errors import StoreError
from smart_assets.store import Manifest, Store
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets_tests.support.artifacts import collect, grow_older, manifest_of, write_and_commit


class History(RuleBasedStateMachine):
    """A store whose days go by; `made` and `touched` say in plain words what it has lived through."""

    @initialize(newest=st.integers(1, 3), days=st.integers(1, 40))
    def begin(self, newest: int, days: int) -> None:
        self.folder = TemporaryDirectory()
        self.store = Store("store", Path(self.folder.name))
        self.retention = Retention(newest=newest, days=days)
        self.day = 0
        self.made: dict[str, list[tuple[int, str]]] = {"a": [], "b": []}  # (day, version), newest last
        self.touched: dict[str, int] = {}  # version -> the day it was last committed
        self.there: set[str] = set()
        self.runs: list[tuple[int, Manifest, ExitStack]] = []

    @rule(partition=st.sampled_from("ab"), content=st.integers(0, 4), killed=st.booleans())
    def make(self, partition: str, content: int, killed: bool) -> None:
        artifact = write_and_commit(self.store, {"x": bytes([content])})
        self.touched[artifact.version] = self.day
        self.there.add(artifact.version)
        if not killed:
            self.store.record(manifest_of(artifact, partition))
            self.made[partition].append((self.day, artifact.version))

    @rule(partition=st.sampled_from("ab"))
    def begin_run(self, partition: str) -> None:
        manifest = self.store.current("raw_tasks", partition)
        if manifest is not None:
            draft = ExitStack()
            draft.enter_context(self.store.draft())
            self.runs.append((self.day, manifest, draft))

    @precondition(lambda self: self.runs)
    @rule()
    def end_run(self) -> None:
        self.runs.pop(0)[2].close()

    @rule(days=st.integers(1, 50))
    def wait(self, days: int) -> None:
        self.day += days
        grow_older(self.store, days)

    @rule()
    def collect(self) -> None:
        collect(self.store, self.retention)
        since = min([self.day - self.retention.days + 1, *(day for day, _, _ in self.runs)])
        kept = {version for version, day in self.touched.items() if day == self.day}
        for history in self.made.values():
            for age, (_, version) in enumerate(reversed(history)):
                replaced = history[len(history) - age][0] if age else self.day
                if age < self.retention.newest or replaced >= since:
                    kept.add(version)
        self.there &= kept

    @invariant()
    def what_is_there(self) -> None:
        if hasattr(self, "store"):
            assert {path.name for path in self.store.root.glob("artifacts/raw_tasks/*")} == self.there
            for _, manifest, _ in self.runs:
                assert self.store.artifact(manifest).exists()

    def teardown(self) -> None:
        for _, _, draft in getattr(self, "runs", []):
            draft.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def record(store: Store, asset: str, content: str, inputs: dict[str, str], **more: object) -> Manifest:
    artifact = write_and_commit(store, {"x": f"{asset} {content}".encode()}, asset)
    partition = "small" if asset == "raw_tasks" else "10|smart"
    manifest = manifest_of(artifact, partition).model_copy(
        update={"inputs": inputs, "fingerprint": f"{asset} {content}", **more}
    )
    store.record(manifest)
    return manifest


def record_chain(store: Store, name: str) -> dict[str, Manifest]:
    """Rows, an ordering, a subset, a checkpoint and its evaluation, each made from those before."""
    raw = record(store, "raw_tasks", name, {}, facets={"validation": f"held out {name}"})
    ordering = record(store, "instance_orderings", name, {"raw_tasks[small]": raw.content_version})
    read = {
        "raw_tasks[small]": raw.content_version,
        "instance_orderings[10|smart]": ordering.content_version,
    }
    subset = record(store, "selected_subset", name, read)
    checkpoint = record(store, "finetuned_checkpoint", name, {"selected_subset[10|smart]": subset.content_version})
    read = {
        "finetuned_checkpoint[10|smart]": checkpoint.content_version,
        "raw_tasks[small]#validation": f"held out {name}",
    }
    made = (raw, ordering, subset, checkpoint, record(store, "eval_results", name, read))
    return {manifest.asset: manifest for manifest in made}


def there(store: Store, made: dict[str, Manifest]) -> set[str]:
    return {asset for asset, manifest in made.items() if store.is_whole(manifest)}


def test_a_kept_model_keeps_the_rows_that_explain_it(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    first = record_chain(store, "first")
    for again in range(3):
        record(store, "raw_tasks", f"later {again}", {})
        record(store, "instance_orderings", f"later {again}", {})
        record(store, "selected_subset", f"later {again}", {})
    grow_older(store, 100)
    collect(store)
    assert there(store, first) == {"raw_tasks", "selected_subset", "finetuned_checkpoint", "eval_results"}
    second = record_chain(store, "second")
    grow_older(store, 100)
    collect(store, pinned=frozenset({first["finetuned_checkpoint"].content_version}))
    assert there(store, first) == {"raw_tasks", "selected_subset", "finetuned_checkpoint"}
    collect(store)
    assert there(store, first) == set()
    assert there(store, second) == set(second)


def test_an_evaluation_keeps_the_rows_held_out_but_not_the_model(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    first = record_chain(store, "first")
    record(store, "raw_tasks", "later", {})
    record(store, "selected_subset", "later", {})
    record(store, "finetuned_checkpoint", "later", {})
    grow_older(store, 100)
    collect(store)
    assert there(store, first) == {"raw_tasks", "instance_orderings", "selected_subset", "eval_results"}


def test_attachments_and_history_stay_and_a_collected_artifact_reads_well(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for content in (b"1", b"2"):
        attachment = write_and_commit(store, {"o": content}, "raw_tasks.origins")
        manifest = manifest_of(write_and_commit(store, {"x": content}))
        store.record(manifest.model_copy(update={"attachments": {"origins": attachment}}))
    grow_older(store, 100)
    assert sorted(collect(store)) == ["raw_tasks.origins: replaced long ago", "raw_tasks: replaced long ago"]
    current, before = store.history("raw_tasks", "sample")
    assert store.is_whole(current)
    assert not store.is_whole(before)
    with pytest.raises(StoreError, match=r"is not in the store any more: removed by `smart gc`, or lost"):
        store.artifact(before)


def test_a_dry_run_lists_the_same_and_removes_nothing(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for content in (b"1", b"22"):
        store.record(manifest_of(write_and_commit(store, {"x": content})))
    grow_older(store, 100)
    listed = find_garbage(store, Retention(newest=1))
    assert [(item.what, item.size) for item in listed] == [("raw_tasks", 1)]
    assert listed == find_garbage(store, Retention(newest=1)) == remove_garbage(listed)
    assert find_garbage(store, Retention(newest=1)) == []


def test_nothing_is_removed_while_a_manifest_cannot_be_read(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    paths = [store.record(manifest_of(write_and_commit(store, {"x": content}))) for content in (b"1", b"2")]
    grow_older(store, 100)
    next(paths[1].parent.glob(f"*{paths[1].stem[-32:]}.json")).write_text("{")
    with pytest.raises(StoreError, match=r"nothing is removed before `smart verify --repair` has moved it away"):
        find_garbage(store, Retention(newest=1))


def test_what_was_replaced_within_the_days_stays_however_old_it_is(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    old = write_and_commit(store, {"x": b"1"})
    store.record(manifest_of(old))
    grow_older(store, 90)
    store.record(manifest_of(write_and_commit(store, {"x": b"2"})))
    grow_older(store, 10)
    assert collect(store, Retention(newest=1, days=30)) == [], "made 100 days ago, and current until 10 days ago"
    assert (store.folder(old) / "x").read_bytes() == b"1"
    grow_older(store, 30)
    assert collect(store, Retention(newest=1, days=30)) == ["raw_tasks: replaced long ago"]


@pytest.mark.parametrize(("newest", "left"), [(1, b"4"), (2, b"34"), (3, b"234"), (9, b"1234")])
def test_so_many_of_each_partition_stay_whatever_their_age(tmp_path: Path, newest: int, left: bytes) -> None:
    store = Store("store", tmp_path)
    for partition in ("a", "b"):
        for content in b"1234":
            artifact = write_and_commit(store, {"x": partition.encode() + bytes([content])})
            store.record(manifest_of(artifact, partition))
    grow_older(store, 100)
    collect(store, Retention(newest=newest, days=30))
    found = sorted((path / "x").read_bytes() for path in store.root.glob("artifacts/raw_tasks/*"))
    assert found == [partition + bytes([content]) for partition in (b"a", b"b") for content in left]


@pytest.mark.parametrize(("days", "stays"), [(29.9, True), (30.1, False)])
def test_what_was_replaced_stays_for_the_days_and_no_longer(tmp_path: Path, days: float, stays: bool) -> None:
    store = Store("store", tmp_path)
    old = write_and_commit(store, {"x": b"1"})
    store.record(manifest_of(old))
    grow_older(store, 100)
    store.record(manifest_of(write_and_commit(store, {"x": b"2"})))
    grow_older(store, days)
    collect(store, Retention(newest=1, days=30))
    assert store.has(old) is stays


def test_an_artifact_is_as_young_as_its_youngest_file(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    artifact = write_and_commit(store, {"x": b"1", "y": b"22", "z": b"333"})
    grow_older(store, 5)
    (store.artifact_folder(artifact.asset, artifact.version) / "y").touch()
    assert find_garbage(store, Retention(newest=1, days=30)) == []


@pytest.mark.parametrize(("days", "stays"), [(0.9, True), (1.1, False)])
def test_what_no_manifest_names_stays_for_a_day(tmp_path: Path, days: float, stays: bool) -> None:
    store = Store("store", tmp_path)
    artifact = write_and_commit(store, {"x": b"1", "y": b"22"})
    grow_older(store, days)
    listed = find_garbage(store, Retention(newest=1, days=30))
    assert [(item.path.name, item.size, item.why) for item in listed] == (
        [] if stays else [(artifact.version, 3, "no manifest names it")]
    )


@pytest.mark.parametrize("name", ["vectors", "training", "files", "evaluation"])
def test_whatever_may_be_made_again_goes_when_nothing_came_back_to_it(tmp_path: Path, name: str) -> None:
    store = Store("store", tmp_path)
    for file, days in (("old", 41), ("used", 39)):
        (store.cache_folder(name) / file).write_bytes(b"12345")
        earlier = (store.cache_folder(name) / file).stat().st_mtime - days * 86_400
        os.utime(store.cache_folder(name) / file, (earlier, earlier))
    (store.cache_folder("models") / "converted").write_bytes(b"1")
    os.utime(store.cache_folder("models") / "converted", (0, 0))
    [item] = find_garbage(store, Retention(newest=1, days=40))
    assert (item.path.name, item.what, item.size, item.why) == ("old", name, 5, "nothing came back to it")


def test_what_was_current_when_a_run_under_way_began_stays(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    read = write_and_commit(store, {"x": b"1"})
    store.record(manifest_of(read))
    grow_older(store, 10)
    with store.draft():
        grow_older(store, 10)
        store.record(manifest_of(write_and_commit(store, {"x": b"2"})))
        grow_older(store, 40)
        assert collect(store, Retention(newest=1, days=30)) == [], "the run may read it still"
        assert (store.folder(read) / "x").read_bytes() == b"1"
    assert collect(store, Retention(newest=1, days=30)) == ["raw_tasks: replaced long ago"]


def test_what_is_taken_into_use_after_the_listing_stays(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for content in (b"1", b"2"):
        store.record(manifest_of(write_and_commit(store, {"x": content})))
    grow_older(store, 100)
    listed = find_garbage(store, Retention(newest=1))
    again = write_and_commit(store, {"x": b"1"})
    assert remove_garbage(listed) == []
    assert (store.folder(again) / "x").read_bytes() == b"1"
