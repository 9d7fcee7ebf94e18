"""Making one partition: what its manifest tells of the circumstances, and what the log says of nothing to do."""

import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import SmartError, UpstreamMissingError
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets_tests.support.make import current, run_context
from smart_assets_tests.support.projects import write_project, write_tasks

RAW = AssetPartition("raw_tasks", "small")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path / "project")


def made(project: Project, **more: Any) -> Manifest:
    return materialize(project, RAW, run_context(**more)).manifest


def test_a_manifest_tells_when_and_where_it_was_made(project: Project) -> None:
    begun = datetime.now(UTC)
    told = made(project, run_id="run-7").made
    assert (datetime.fromisoformat(told["at"]) - begun).total_seconds() > -1
    assert (told["device"], told["run_id"], told["machine"]) == ("cpu", "run-7", platform.machine())
    assert told["python"] == platform.python_version()
    assert told["settings_version"] == project.settings_version
    assert told["packages"]["pyarrow"] == version("pyarrow")
    assert {"smart-assets", "dagster", "torch", "numpy"} <= told["packages"].keys()
    assert None not in told["packages"].values()
    assert 0 < told["seconds"] < 600
    assert told["peak_memory_bytes"] > 20 * 2**20


def test_the_commit_of_the_project_s_folder_is_told_where_it_is_a_checkout(project: Project) -> None:
    assert made(project).made.get("git_commit") is None
    git = ["git", "-C", str(project.root), "-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    write_tasks(project.root / "tasks", {"delta": [{"prompt": "one more", "response": "row"}]})
    assert re.fullmatch("[0-9a-f]{40}", head)
    assert made(project).made["git_commit"] == head


def test_nothing_to_do_is_said_and_nothing_is_written(project: Project) -> None:
    first = made(project)
    lines: list[str] = []
    result = materialize(project, RAW, run_context(log=lines.append))
    assert (result.unchanged, result.manifest) == (True, first)
    assert lines == [f"raw_tasks[small] is current ({first.content_version[:12]}): nothing to do"]
    assert len(project.store.history("raw_tasks", "small")) == 1


def test_the_same_content_made_again_is_said(project: Project) -> None:
    first = made(project)
    path = project.root / "tasks" / "alpha.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    lines: list[str] = []
    result = materialize(project, RAW, run_context(log=lines.append))
    assert not result.unchanged
    assert result.manifest.content_version == first.content_version
    assert any("was made again and its content is what it was" in line for line in lines)
    path.write_text(path.read_text().replace("item 3:", "item three:"))
    lines.clear()
    assert made(project, log=lines.append).content_version != first.content_version
    assert not any("was made again" in line for line in lines)


def test_what_is_added_at_the_end_is_recorded(project: Project) -> None:
    def complete(_: Project, manifest: Manifest, log: Any) -> Manifest:
        log("completed")
        return manifest.model_copy(update={"facets": {**manifest.facets, "more": "added"}})

    lines: list[str] = []
    result = materialize(project, RAW, run_context(log=lines.append), complete)
    assert "completed" in lines
    assert current(project, "raw_tasks", "small") == result.manifest
    assert result.manifest.facets["more"] == "added"


def test_what_is_not_made_is_named_one_or_several(project: Project) -> None:
    key = AssetPartition("selected_subset", "10|smart")
    with pytest.raises(UpstreamMissingError, match=r"raw_tasks\[small\], .*, which were never made: materialize them"):
        materialize(project, key, run_context())
    vectors = AssetPartition("instance_orderings", "small")
    with pytest.raises(UpstreamMissingError, match=r"prompt_embeddings\[small\], which was never made: materialize it"):
        materialize(project, vectors, run_context())


def test_a_partition_that_the_settings_do_not_give_is_refused_with_those_they_do(project: Project) -> None:
    with pytest.raises(SmartError, match=r"gives raw_tasks no partition 'large'; it gives small"):
        materialize(project, AssetPartition("raw_tasks", "large"), run_context())
