"""A store on S3: a real server on localhost, whole projects, two machines, kills, collecting, verifying, requests."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smart_assets.core.errors import StoreError
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.plan import make_plan
from smart_assets.settings import Project, load_project
from smart_assets.store import Store
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
from smart_assets_tests.support.make import made_again, make
from smart_assets_tests.support.projects import SMALL_TASKS, write_project, write_tasks
from smart_assets_tests.support.s3_server import s3_server

pytestmark = pytest.mark.slow
pytest.importorskip("s3fs")
pytest.importorskip("moto")
BUCKET = "smart-store"


@pytest.fixture(scope="module", autouse=True)
def s3() -> Generator[None]:
    with s3_server(BUCKET):
        yield


@dataclass
class Requests:
    """The requests sent since the last look."""

    methods: list[str]

    def take(self) -> list[str]:
        taken, self.methods[:] = sorted(self.methods), []
        return taken


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    from aiobotocore.client import AioBaseClient

    sent: list[str] = []
    original = AioBaseClient._make_api_call

    async def counted(self: AioBaseClient, operation: str, parameters: object) -> object:
        sent.append(operation)
        return await original(self, operation, parameters)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counted)
    return Requests(sent)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = write_project(tmp_path_factory.mktemp("here") / "p", changes={"store": f"s3://{BUCKET}/project"})
    make(project, "selected_subset", "similarity_index")
    return project


def elsewhere(project: Project, folder: Path) -> Project:
    """The same project on a machine that has only its settings and tasks."""
    shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns(".smart-mirror"))
    return load_project(folder / "smart.yaml")


def statuses(project: Project) -> set[str]:
    desired = desired_states(project)
    # Training and what comes after it is not made here.
    keys = frozenset(item.key for item in desired if item.key.asset in ("raw_tasks", "task_scores", "selected_subset"))
    return {step.status for step in make_plan(desired, read_current_state(project), keys)}


def test_another_machine_sees_it_current_and_makes_nothing(made: Project, tmp_path: Path) -> None:
    there = elsewhere(made, tmp_path / "there")
    assert statuses(there) == {"current"}
    assert not list(there.store.root.glob("artifacts/*")), "to know it, nothing was fetched"
    assert made_again(make(there, "selected_subset", "similarity_index")) == []
    shutil.rmtree(there.store.root)
    current = Store(there.settings.store, there.root).current("selected_subset", "10|smart")
    assert current is not None
    assert (there.store.artifact(current) / "subset.parquet").exists()


def test_a_plan_lists_manifests_and_tombstones_once(made: Project, requests: Requests) -> None:
    assert statuses(made) == {"current"}
    # Of a folder that is not there, s3fs asks three times.
    assert requests.take() == ["HeadObject"] + ["ListObjectsV2"] * 3


def test_a_change_on_one_machine_is_current_on_the_other(made: Project, tmp_path: Path) -> None:
    here, there = elsewhere(made, tmp_path / "here"), elsewhere(made, tmp_path / "there")
    tasks = {name: [dict(row) for row in rows] for name, rows in SMALL_TASKS.items()}
    tasks["beta"][1]["response"] = "another answer"
    for project in (here, there):
        write_tasks(project.root / "tasks", tasks)
    assert statuses(there) == {"stale", "waiting", "current"} or "stale" in statuses(there)
    assert "raw_tasks[small]" in made_again(make(here, "selected_subset"))
    assert statuses(there) == {"current"}
    assert verify(there.store, print).damages == []


def test_a_new_machine_asks_once_for_all_manifests_and_once_for_each_asset(tmp_path: Path, requests: Requests) -> None:
    here, there = (Store(f"s3://{BUCKET}/asked", tmp_path / machine) for machine in ("one", "two"))
    for asset in ("raw_tasks", "selected_subset"):
        for partition in "abcdef":
            for content in ("old", "new"):
                here.record(
                    manifest_of(write_and_commit(here, {"x": f"{partition} {content}".encode()}, asset), partition)
                )
    requests.take()
    now = there.snapshot()
    found = [now.current(asset, partition) for asset in ("raw_tasks", "selected_subset") for partition in "abcdef"]
    assert all(manifest is not None and now.is_whole(manifest) for manifest in found)
    assert requests.take() == ["GetObject"] * 12 + ["ListObjectsV2"] * 3


def test_a_kill_before_the_manifest_leaves_the_last_state(tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/kill"
    store = Store(url, tmp_path / "one")
    good = write_and_commit(store, {"a": b"good"})
    store.record(manifest_of(good))
    program = f"""
        import os, signal
        from pathlib import Path
        from smart_assets.store import Store
        from smart_assets.store.remote import Remote
        from smart_assets_tests.support.artifacts import manifest_of, write_and_commit

        push = Remote.push

        def dying(self, path, source=None):
            if "manifests" in path.parts:
                os.kill(os.getpid(), signal.SIGKILL)
            push(self, path, source)

        Remote.push = dying
        store = Store({url!r}, Path({str(tmp_path / "one")!r}))
        store.record(manifest_of(write_and_commit(store, {{"a": b"new"}})))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    for machine in ("one", "two"):
        again = Store(url, tmp_path / machine)
        current = again.current("raw_tasks", "sample")
        assert current is not None
        assert current.content_version == good.version
        assert (again.artifact(current) / "a").read_bytes() == b"good"


def test_collecting_and_verifying_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import smart_assets.store.store as module

    url = f"s3://{BUCKET}/care"
    here, there = Store(url, tmp_path / "one"), Store(url, tmp_path / "two")

    class Past(module.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "module.datetime":
            return module.datetime(2001, 1, 1, tzinfo=module.UTC)

    with monkeypatch.context() as patch:
        patch.setattr(module, "datetime", Past)
        artifacts = [write_and_commit(here, {"a": content, "b/c": content}) for content in (b"1", b"2", b"3")]
        for artifact in artifacts:
            here.record(manifest_of(artifact))
    there.folder(artifacts[0])
    retention = Retention(newest=1, days=30)
    assert find_garbage(here, retention) == [], "what was written within a day stays: a manifest may be on its way"
    monkeypatch.setattr("smart_assets.upkeep.gc.DAY", -1.0)  # the server's clock cannot be set back
    gone = remove_garbage(find_garbage(here, retention))
    assert [item.what for item in gone] == ["raw_tasks", "raw_tasks", "raw_tasks (mirror)", "raw_tasks (mirror)"]
    assert [item.what for item in find_garbage(there, retention)] == ["raw_tasks (mirror)"]
    with pytest.raises(StoreError, match=r"removed by `smart gc`, or lost"):
        here.folder(artifacts[0])
    clean = verify(there, print)
    assert (clean.damages, clean.collected, clean.artifacts) == ([], 2, 1)
    assert here.remote is not None
    here.remote.remove(here.artifact_folder("raw_tasks", artifacts[2].version) / "a")
    assert [damage.where for damage in verify(there, print).damages] == ["in the remote store"]
    verify(there, print, repair=True)
    current = there.current("raw_tasks", "sample")
    assert current is not None
    assert not there.is_whole(current)
    verify(here, print, repair=True)
    assert there.is_whole(current), "the machine that still had it gave it back"
    assert verify(there, print).damages == []


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(StoreError, match=r"cannot be listed in the remote store: Could not connect"):
            Store(f"s3://{BUCKET}/none", tmp_path).current("raw_tasks", "sample")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
