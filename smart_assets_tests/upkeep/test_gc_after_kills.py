"""What killed runs leave, what waits in the cache for nobody, and what the commands say of it all."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer

from smart_assets.cli.upkeep import collect_garbage, verify_store
from smart_assets.evaluation.answer_cache import AnswerCache
from smart_assets.store import Store
from smart_assets_tests.support.artifacts import collect, grow_older, manifest_of, write_and_commit
from smart_assets_tests.support.projects import write_project


def test_drafts_of_dead_runs_go_and_of_living_ones_stay(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    program = f"""
        import os, signal
        from pathlib import Path
        from smart_assets.store import Store
        with Store("store", Path({str(tmp_path)!r})).draft() as folder:
            (folder / "dead").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=os.environ, check=False)
    with store.draft() as living, store.draft() as elsewhere:
        (living / "alive").write_text("half")
        assert collect(store) == [], "what is younger than a day is looked at by nobody"
        grow_older(store, 3)
        assert collect(store) == ["drafts: a killed run left it"] * 2
        assert (living / "alive").exists()
        lock = elsewhere.with_suffix(".lock")
        lock.unlink()
        lock.write_text("another machine")
        grow_older(store, 3)
        assert collect(store) == []
        grow_older(store, 30)
        assert collect(store) == ["drafts: a killed run left it"] * 2
        assert (living / "alive").exists()
    assert list(store.drafts.folder.iterdir()) == []


def test_answers_of_models_that_nobody_evaluates_go(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for name in ("old", "in_use"):
        AnswerCache(store.cache_folder("evaluation") / f"{name}.sqlite", print).close()
    grow_older(store, 40)
    AnswerCache(store.cache_folder("evaluation") / "in_use.sqlite", print).close()
    assert collect(store) == ["evaluation: nothing came back to it"]
    assert [path.name for path in store.cache_folder("evaluation").iterdir()] == ["in_use.sqlite"]


def test_vectors_that_nobody_came_for_go(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    segment = store.cache_folder("vectors") / "small" / "encoder" / "segment.npy"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"1")
    grow_older(store, 20)
    assert collect(store) == []
    grow_older(store, 20)
    assert collect(store) == ["vectors: nothing came back to it"]


def test_a_kill_leaves_no_half_artifact(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    for content in (b"1", b"2"):
        store.record(manifest_of(write_and_commit(store, {"x": content, "y": content})))
    grow_older(store, 100)
    program = f"""
        import os, shutil, signal
        from pathlib import Path
        from smart_assets.upkeep.gc import find_garbage, remove_garbage
        from smart_assets.store import Store
        from smart_assets.store.settings import Retention

        def die_half_way(folder, **_):
            next(folder.iterdir()).unlink()
            os.kill(os.getpid(), signal.SIGKILL)

        shutil.rmtree = die_half_way
        remove_garbage(find_garbage(Store("store", Path({str(tmp_path)!r})), Retention(newest=1)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = (store.root / "artifacts" / "raw_tasks").iterdir()
    assert sorted(path.name for path in left.iterdir()) == ["x", "y"]
    assert len(list(store.drafts.folder.iterdir())) == 1


def test_the_commands_say_what_they_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = write_project(tmp_path)
    for content in (b"1", b"22", b"333", b"4444"):
        folder = project.store.folder(write_and_commit(project.store, {"x": content}))
        project.store.record(manifest_of(write_and_commit(project.store, {"x": content})))
    grow_older(project.store, 100)
    for dry_run, said in ((True, "would free 3 bytes"), (False, "freed 3 bytes"), (False, "freed 0 bytes")):
        collect_garbage(project.config, dry_run)
        assert f"{said}; kept: the newest 2 of each partition" in capsys.readouterr().out
    verify_store(project.config, False)
    assert "nothing damaged: 4 manifests and 2 files of 2 artifacts read, 7 bytes; 2 of the past were collected" in (
        capsys.readouterr().out
    )
    (folder / "x").write_bytes(b"5555")
    with pytest.raises(typer.Exit) as ended:
        verify_store(project.config, False)
    assert ended.value.exit_code == 1
    assert "x  has changed: its size is right, its bytes differ" in capsys.readouterr().out
