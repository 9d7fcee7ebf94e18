"""Runs at once: processes that make the same project, and the garbage collector among them, never spoil the store."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smart_assets.assets import catalog
from smart_assets.planning.graph import partitions
from smart_assets.settings import Project
from smart_assets.store import Store
from smart_assets.store.inventory import recorded
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.artifacts import grow_older, manifest_of, write_and_commit
from smart_assets_tests.support.projects import SMALL_TASKS, write_project, write_tasks

PROCESSES = 4
_TOGETHER = """
import sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
{imports}
(folder / f"ready-{{name}}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
{work}
"""


def together(folder: Path, programs: list[tuple[str, str]]) -> None:
    """Run programs (imports, work), each in a process of its own, that begin their work at the same moment."""
    folder.mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _TOGETHER.format(imports=imports, work=work), str(folder), str(index)],
            stderr=subprocess.PIPE,
            env=os.environ,
            text=True,
        )
        for index, (imports, work) in enumerate(programs)
    ]
    while len(list(folder.glob("ready-*"))) < len(started) and all(one.poll() is None for one in started):
        time.sleep(0.01)
    (folder / "go").touch()
    errors = [one.communicate(timeout=300)[1] for one in started]
    assert [one.returncode for one in started] == [0] * len(started), "\n".join(errors)


def make_at_once(project: Project, folder: Path) -> dict[str, str]:
    """Make the project in all processes; gives the content version of every partition that was made."""
    imports = "from smart_assets.settings import load_project\nfrom smart_assets_tests.support.make import make"
    work = f"make(load_project(Path({str(project.config)!r})), 'selected_subset', 'similarity_index')"
    together(folder, [(imports, work)] * PROCESSES)
    keys = [key for asset in catalog.names() for key in partitions(project, asset)]
    found = {str(key): project.store.current(key.asset, key.partition) for key in keys}
    for history in recorded(project.store):
        versions = [item.manifest.content_version for item in history[:PROCESSES] if item.manifest]
        assert len(set(versions)) <= 2, "one state before, and one after"
    result = verify(project.store, print)
    assert result.damages == []
    assert list(project.store.drafts.folder.iterdir()) == []
    return {name: manifest.content_version for name, manifest in found.items() if manifest is not None}


@pytest.mark.slow
def test_processes_that_make_one_project_at_once(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    first = make_at_once(project, tmp_path / "first")
    assert len(first) == 10
    tasks = {name: [dict(row) for row in rows] for name, rows in SMALL_TASKS.items()}
    tasks["alpha"][3]["prompt"] = "an entirely different question about clouds above quiet water"
    write_tasks(project.root / "tasks", tasks)
    second = make_at_once(project, tmp_path / "second")
    assert first.keys() == second.keys()
    assert first["raw_tasks[small]"] != second["raw_tasks[small]"]


def test_the_collector_takes_nothing_from_runs_at_once(tmp_path: Path) -> None:
    """Old artifacts are collected while runs make the very same contents again."""
    store = Store("store", tmp_path)
    writing = """
import random
from smart_assets.store import Store
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
draws = random.Random(int(name))
store = Store("store", folder.parent)
"""
    work = """
for _ in range(60):
    partition = draws.choice("ab")
    store.record(manifest_of(write_and_commit(store, {"x": draws.choice("012345").encode() * 50}), partition))
    current = store.current("raw_tasks", partition)
    assert len((store.artifact(current) / "x").read_bytes()) == 50
"""
    collecting = """
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets.store import Store
from smart_assets.store.settings import Retention
store = Store("store", folder.parent)
"""
    collect = """
gone = 0
while time.time() - (folder / "go").stat().st_mtime < 1.5:
    gone += len(remove_garbage(find_garbage(store, Retention(newest=1, days=1))))
(folder / "gone").write_text(str(gone))
"""
    gone = 0
    for turn in range(3):
        for content in b"012345":
            store.record(manifest_of(write_and_commit(store, {"x": bytes([content]) * 50}), "old"))
        grow_older(store, 200)
        folder = tmp_path / f"turn-{turn}"
        together(folder, [(writing, work)] * 2 + [(collecting, collect)])
        gone += int((folder / "gone").read_text())
        assert verify(store, print).damages == []
    assert gone > 0


def test_manifests_written_at_once_all_stay_in_a_row(tmp_path: Path) -> None:
    """With a clock that stands still every name is taken already."""
    store = Store("store", tmp_path)
    write_and_commit(store, {"x": b"x"})
    standing = """
import smart_assets.store.store as module
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit

class Standing(module.datetime):
    @classmethod
    def now(cls, tz=None):
        return module.datetime(2026, 1, 1, tzinfo=module.UTC)

store = module.Store("store", folder.parent)
manifest = manifest_of(write_and_commit(store, {"x": b"x"}))
module.datetime = Standing
"""
    together(tmp_path / "turn", [(standing, "for _ in range(150): store.record(manifest)")] * 3)
    assert len(store.history("raw_tasks", "sample")) == 450
