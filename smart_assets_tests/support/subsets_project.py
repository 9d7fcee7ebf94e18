"""A project with subsets of two recipes; deriving them again, and changing what is stored or set."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from smart_assets.assets.parquet import write_table
from smart_assets.assets.step import RunContext
from smart_assets.cli.main import app
from smart_assets.lineage.diff.references import find_subset
from smart_assets.mixture.task_shares import with_seeds
from smart_assets.reproduce.reproduction import Extent, Reproduction, reproduce
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.programs import no_program
from smart_assets_tests.support.projects import rows, write_project

HOSTILE = "[red]hostile[/red] <b>'; DROP |"
TASKS = {HOSTILE: rows(1, 40, templates=2), "beta": rows(2, 25), "gamma": rows(3, 12)}


def write(root: Path, **changes: Any) -> Project:
    lines = [{"t": name, **row} for name, found in TASKS.items() for row in found]
    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}
    return write_project(root, {"all": lines}, {"sources": sources, "budgets": [20], **changes})


def again(
    project: Project, folder: Path, recipe: str = "smart", version: str | None = None, **extent: Any
) -> Reproduction:
    run = RunContext(log=lambda _: None, launch=no_program, device="cpu")
    subset = find_subset(project.store, 20, recipe, version)
    return reproduce(project, subset, folder / "again", Extent(**extent), run)


def tamper(
    project: Project,
    manifest: Manifest,
    file: str,
    change: Callable[[Path], None],
    facets: Mapping[str, str] | None = None,
) -> Manifest:
    """Record another content under the fingerprint of a manifest, as a bug or a hand would leave it."""
    store = project.store
    with store.draft() as draft:
        shutil.copytree(store.artifact(manifest), draft / "content")
        change(draft / "content" / file)
        artifact = store.commit(manifest.asset, draft / "content")
    update = {"content_version": artifact.version, "files": artifact.files, "facets": facets or manifest.facets}
    changed = manifest.model_copy(update=update)
    store.record(changed)
    return changed


def as_made_before_seeds_decided_ties(project: Project, partition: str) -> None:
    """The task budgets with one line a task, for all seeds: those of the first seed."""

    def one_line_a_task(path: Path) -> None:
        table = with_seeds(pq.read_table(path))
        first = pc.equal(pc.fill_null(table["seed"], 0), pc.fill_null(table["seed"][0], 0))
        write_table(table.filter(first).drop_columns("seed"), path)

    manifest = current(project, "selected_subset", partition)
    tampered = tamper(project, manifest, "task_budgets.parquet", one_line_a_task)
    project.store.record(tampered.model_copy(update={"code_version": "2"}))


def state(project: Project) -> dict[Path, tuple[int, int]]:
    paths = (path for path in project.store.root.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def smart(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(project.config)])


def edit(project: Project, old: str, new: str) -> Project:
    text = project.config.read_text()
    assert old in text
    project.config.write_text(text.replace(old, new))
    return load_project(project.config)


def make_subsets(root: Path) -> Path:
    make(write(root), "selected_subset")
    return root
