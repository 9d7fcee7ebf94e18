"""A small source of task files: written, edited, made without a program, and what the store holds of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets.step import AssetPartition
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.materialize import MaterializeResult, materialize
from smart_assets.planning.plan import PlanStep, make_plan
from smart_assets.settings import Project
from smart_assets.tasks.changes import COLUMNS
from smart_assets_tests.support.make import current, run_context
from smart_assets_tests.support.programs import no_program
from smart_assets_tests.support.projects import write_project

SMALL = AssetPartition("raw_tasks", "small")


def make_small(project: Project, log: list[str] | None = None) -> MaterializeResult:
    """Make the source of a project, and nothing else."""
    lines = [] if log is None else log
    return materialize(project, SMALL, run_context(no_program, lines.append))


def planned(project: Project) -> PlanStep:
    """What is planned for the source."""
    return make_plan(desired_states(project), read_current_state(project), frozenset([SMALL]))[0]


def small_project(folder: Path, tasks: Path | None = None, **changes: Any) -> Project:
    """A project over a folder of tasks, its own or another one's."""
    made = write_project(
        folder,
        {"unused": []},
        {"sources": {"small": {"kind": "folder", "path": str(tasks or folder / "in")}}, **changes},
    )
    (tasks or folder / "in").mkdir(exist_ok=True)
    return made


def edit(folder: Path, changes: Mapping[str, str | None]) -> None:
    for name, content in changes.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(content)


def content_of(project: Project) -> pa.Table:
    manifest = current(project, "raw_tasks", "small")
    return pq.read_table(project.store.artifact(manifest) / "instances.parquet", columns=COLUMNS)
