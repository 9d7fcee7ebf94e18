"""What gets a name has its bytes on the disk before, and the name after."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.declaration import Table
from smart_assets.core.errors import SmartError
from smart_assets.core.files import move, new_folder, write_beside, written
from smart_assets.core.locks import locked, try_lock
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.index import build_index, write_index
from smart_assets.embedding.settings import Index
from smart_assets.forgetting.redact import _without_texts
from smart_assets.sample.collection import write_sample
from smart_assets.store import Store
from smart_assets.store.log import append, records
from smart_assets.training.saved_steps import SavedSteps
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
from smart_assets_tests.support.disk import Disk


def _file(tmp_path: Path) -> Path:
    with written(tmp_path / "a" / "b" / "x.txt") as draft:
        draft.write_text("x")
    return tmp_path / "a" / "b" / "x.txt"


def _folder(tmp_path: Path) -> Path:
    with new_folder(tmp_path / "x") as draft:
        (draft / "sub").mkdir()
        (draft / "sub" / "y").write_text("y")
    return tmp_path / "x"


def _for_a_user(tmp_path: Path) -> Path:
    write_beside(tmp_path / "x.txt", lambda draft: draft.write_text("x") and None)
    return tmp_path / "x.txt"


def _saved_step(tmp_path: Path) -> Path:
    with SavedSteps(tmp_path).adding(7) as folder:
        (folder / "weights").write_text("w")
    return tmp_path / "step-000000007"


def _segment(tmp_path: Path) -> Path:
    cache = VectorCache(tmp_path / "cache", "v1", print, tmp_path / "links", 1)
    cache.put(["a", "b"], np.eye(2, dtype=np.float32))
    [path] = (tmp_path / "cache" / "v1").iterdir()
    return path


def _index(tmp_path: Path) -> Path:
    write_index(build_index(np.eye(4, dtype=np.float32), Index(), "cpu"), tmp_path / "faiss.index")
    return tmp_path / "faiss.index"


def _sample(tmp_path: Path) -> Path:
    pytest.importorskip("babel")
    write_sample(tmp_path / "sample")
    return max((tmp_path / "sample").iterdir())


def _redacted(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    rows = pa.table({"id": ["a", "b"], "prediction": ["x", "y"]})
    pq.write_table(rows, path)
    _without_texts(path, Table(path.name, rows.schema, texts=frozenset({"prediction"})), pa.array(["a"]))
    assert pq.read_table(path)["prediction"].to_pylist() == [None, "y"]
    return path


def _artifact(tmp_path: Path) -> Path:
    store = Store("store", tmp_path)
    return store.folder(write_and_commit(store, {"a.txt": b"x", "sub/b.txt": b"y"}))


def _manifest(tmp_path: Path) -> Path:
    store = Store("store", tmp_path)
    return store.record(manifest_of(write_and_commit(store, {"a.txt": b"x"})))


def _record(tmp_path: Path) -> Path:
    return append(Store("store", tmp_path), "decided", {"by": "Ann"})


def _fetched_manifest(tmp_path: Path) -> Path:
    mine, other = (Store("memory://durable/p", tmp_path / name) for name in ("mine", "other"))
    path = mine.record(manifest_of(write_and_commit(mine, {"a.txt": b"x"})))
    fetched = other.root / path.relative_to(mine.root)
    other.read(fetched)
    return fetched


def _fetched_artifact(tmp_path: Path) -> Path:
    mine, other = (Store("memory://durable/q", tmp_path / name) for name in ("mine", "other"))
    return other.folder(write_and_commit(mine, {"a.txt": b"x", "sub/b.txt": b"y"}))


def _fetched_record(tmp_path: Path) -> Path:
    mine, other = (Store("memory://durable/r", tmp_path / name) for name in ("mine", "other"))
    path = append(mine, "decided", {"by": "Ann"})
    records(other, "decided")
    return other.root / path.relative_to(mine.root)


@pytest.mark.parametrize(
    "write",
    [
        _file,
        _folder,
        _for_a_user,
        _saved_step,
        _segment,
        _index,
        _sample,
        _redacted,
        _artifact,
        _manifest,
        _record,
        _fetched_manifest,
        _fetched_artifact,
        _fetched_record,
    ],
    ids=lambda write: write.__name__[1:],
)
def test_bytes_are_on_the_disk_before_a_name_and_the_name_after(
    tmp_path: Path, disk: Disk, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path)
    disk.require_durable(path)
    assert not list(path.parent.glob(".*")), "nothing half-written stays"


def test_folders_that_are_made_on_the_way_are_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    path = _file(tmp_path)
    for folder in (tmp_path, tmp_path / "a", path.parent):
        assert ("sync", folder.stat().st_ino) in disk.calls
    (tmp_path / "y").write_text("y")
    move(tmp_path / "y", tmp_path / "new" / "deep" / "y")
    for folder in (tmp_path / "new", tmp_path / "new" / "deep"):
        assert ("sync", folder.stat().st_ino) in disk.calls


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_ends_too_early_leaves_what_was_there(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x").write_text("before")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"), written(tmp_path / "x") as draft:
        draft.write_text("after")
    with pytest.raises(SmartError, match=r"x cannot be written: No space left on device"):
        write_beside(tmp_path / "x", lambda draft: draft.write_text("after") and None)
    monkeypatch.undo()
    assert (tmp_path / "x").read_text() == "before"
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_system_that_syncs_no_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    assert _file(tmp_path).read_text() == "x"


def test_a_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from smart_assets.core.locks import locked, try_lock
        held = try_lock(Path({str(tmp_path / "tried")!r}))
        with locked(Path({str(tmp_path / "waited")!r})):
            print("held", flush=True)
            time.sleep(600)
    """)
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert try_lock(tmp_path / "tried") is None
    assert try_lock(tmp_path / "waited") is None, "both kinds keep each other out"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "waited"):
        mine = try_lock(tmp_path / "tried")
    assert mine is not None
    assert try_lock(tmp_path / "tried") is None
    mine.release()
    again = try_lock(tmp_path / "tried")
    assert again is not None
    again.release()
