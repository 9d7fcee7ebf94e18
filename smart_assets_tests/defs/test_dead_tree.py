"""kill -9 of the whole `smart dev` tree in the middle of a training: the next start ends the dead run, and the next
tick or `smart run` completes the work."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import dagster as dg
import pytest

from smart_assets.defs.orphans import WORKER_TAG
from smart_assets.settings import Project
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
SMART = Path(sys.executable).with_name("smart")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose two checkpoints train for some time each, one after the other, at every minute if due."""
    project = write_project(
        tmp_path / "project",
        changes={
            "budgets": [20, 30],
            "recipes": ["random"],
            "finetune": {
                "base_model": str(make_tiny_model(tmp_path / "model", chat=False)),
                "epochs": 100,
                "effective_batch": 4,
                "micro_batch": 2,
                "precision": "float32",
            },
            "automation": {"retrain": "* * * * *", "quiet_seconds": 0},
        },
    )
    subprocess.run([SMART, "run", "--config", project.root, "--select", "selected_subset"], check=True)
    return project


@pytest.fixture
def start(project: Project) -> Generator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts `smart dev`; whatever is left of it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def dev() -> subprocess.Popen[bytes]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = str(listener.getsockname()[1])
        command = [SMART, "dev", "--config", project.root, "--port", port]
        started.append(subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL))
        return started[-1]

    yield dev
    for process in started:
        kill_tree(process)


def test_a_killed_tree_is_completed_by_the_next_tick(
    project: Project, start: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = run_until_training_and_kill(project, start, monkeypatch)
    start()
    wait_until(lambda: statuses(dead) == {dg.DagsterRunStatus.FAILURE}, 60)
    wait_until(lambda: trained(project) == 2, 480)


def test_a_killed_tree_is_completed_by_smart_run(
    project: Project, start: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = run_until_training_and_kill(project, start, monkeypatch)
    subprocess.run([SMART, "run", "--config", project.root, "--select", "finetuned_checkpoint"], check=True)
    assert statuses(dead) == {dg.DagsterRunStatus.FAILURE}
    assert trained(project) == 2


def run_until_training_and_kill(
    project: Project, start: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """Let the schedule start the trainings, kill everything; gives the runs that nobody ended: one was at work. The
    other waited for its place in the pool, or on a busy machine was still to be started."""
    monkeypatch.setenv("DAGSTER_HOME", str(project.root))
    tree = start()
    wait_until(lambda: bool(claimed() and training(tree)), 240)
    time.sleep(6)  # past its imports, into its steps
    assert training(tree), "it was over before it could be killed"
    kill_tree(tree)
    assert trained(project) == 0
    dead = claimed()
    assert dead
    return dead


def claimed() -> set[str]:
    started = [run for run in runs() if run.status is dg.DagsterRunStatus.STARTED and WORKER_TAG in run.tags]
    return {run.run_id for run in started if dg.AssetKey("finetuned_checkpoint") in (run.asset_selection or ())}


def runs() -> list[dg.DagsterRun]:
    with dg.DagsterInstance.get() as instance:
        return list(instance.get_runs(dg.RunsFilter(job_name="update_results")))


def statuses(run_ids: set[str]) -> set[dg.DagsterRunStatus]:
    return {run.status for run in runs() if run.run_id in run_ids}


def trained(project: Project) -> int:
    return sum(project.store.current("finetuned_checkpoint", f"{budget}|random") is not None for budget in (20, 30))


def descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except OSError:
                continue  # it ended meanwhile
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def training(tree: subprocess.Popen[bytes]) -> list[int]:
    def command(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return [pid for pid in descendants(tree.pid) if b"smart_assets.training" in command(pid)]


def kill_tree(tree: subprocess.Popen[bytes]) -> None:
    for pid in descendants(tree.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended meanwhile
    tree.wait()


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.5)
