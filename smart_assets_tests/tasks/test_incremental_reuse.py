"""What an earlier reading left is taken over where it is whole and was read alike, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.raw_tasks import preview
from smart_assets.tasks import signatures
from smart_assets.tasks.near_duplicates import Sketcher
from smart_assets_tests.support.projects import rows, write_project, write_tasks
from smart_assets_tests.support.small_source import make_small


def older_rejected(folder: Path) -> None:
    table = pq.read_table(folder / "rejected.parquet")
    pq.write_table(table.drop_columns(["id", "template"]), folder / "rejected.parquet")


def flip(name: str, at: int) -> Any:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 1
        (folder / name).write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("attachment", "damage"),
    [
        pytest.param(False, flip("instances.parquet", 200), id="instances"),
        pytest.param(False, flip("signatures.npy", -1), id="signatures"),
        pytest.param(True, flip("origins.parquet", 10), id="origins"),
        pytest.param(True, flip("files.json", 0), id="files"),
        pytest.param(True, older_rejected, id="rejected of an older version"),
    ],
)
def test_what_is_damaged_is_not_used_and_said(tmp_path: Path, attachment: bool, damage: Any) -> None:
    project = write_project(tmp_path)
    manifest = make_small(project).manifest
    write_tasks(tmp_path / "tasks", {"alpha": rows(1, 39)})
    expected = make_small(
        write_project(tmp_path / "fresh", {"alpha": rows(1, 39), "beta": rows(2, 25), "gamma": rows(3, 12)})
    )
    artifact = manifest.attachments["origins"] if attachment else manifest.artifact
    damage(project.store.folder(artifact))
    log: list[str] = []
    outcome = make_small(project, log)
    assert outcome.manifest.content_version == expected.manifest.content_version
    assert outcome.manifest.made["files reused"] == 0
    assert any("everything is read again" in line for line in log)


@pytest.mark.parametrize(
    ("changes", "reused"),
    [
        pytest.param({"validation": {"fraction": 0.3}}, 2, id="the split's rule"),
        pytest.param(
            {"sources": {"small": {"kind": "folder", "path": "tasks", "license": "MIT"}}}, 2, id="the licence"
        ),
        pytest.param(
            {"sources": {"small": {"kind": "folder", "path": "tasks", "task_prefix": "x/"}}}, 0, id="the prefix"
        ),
    ],
)
def test_rows_are_taken_over_only_where_they_are_read_alike(
    tmp_path: Path, changes: dict[str, Any], reused: int
) -> None:
    manifest = make_small(write_project(tmp_path)).manifest
    changed = write_project(tmp_path, {"alpha": rows(1, 39, templates=2)}, changes)
    foreseen = preview(changed, "small", manifest)
    assert make_small(changed).manifest.made["files reused"] == reused
    assert (foreseen is not None) == bool(reused)
    if foreseen:
        assert (foreseen.added.num_rows, foreseen.removed.num_rows) == (0, 1)


def test_known_prompts_are_not_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(write_project(tmp_path))
    sketched: list[str] = []
    shingles = Sketcher.signatures
    monkeypatch.setattr(
        "smart_assets.tasks.near_duplicates.Sketcher.signatures",
        lambda sketcher, prompts: sketched.extend(prompts) or shingles(sketcher, prompts),
    )
    tasks = {
        "alpha": [*rows(1, 40, templates=2), {"prompt": "new", "response": "r"}, {"prompt": "new", "response": "s"}]
    }
    make_small(
        write_project(tmp_path, tasks, {"sources": {"small": {"kind": "folder", "path": "tasks", "task_prefix": "x/"}}})
    )
    assert sketched == ["new"]


def test_signatures_are_those_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_BATCH_BYTES", 100)
    project = write_project(tmp_path)
    make_small(project)
    write_tasks(tmp_path / "tasks", {"alpha": rows(4, 30)})
    folder = project.store.artifact(make_small(project).manifest)
    prompts = pq.read_table(folder / "instances.parquet")["prompt"].to_pylist()
    sketcher = Sketcher()
    assert np.array_equal(np.load(folder / "signatures.npy"), sketcher.signatures(prompts))
