"""Making partitions of a small project below Dagster, and reading what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from smart_assets.assets.step import RunContext
from smart_assets.core.progress import Log
from smart_assets.documents.audit_pages import with_pages
from smart_assets.planning.graph import batches, closure, find_partitions
from smart_assets.planning.materialize import Complete, MaterializeResult, materialize
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets_tests.support.programs import Launch, Programs


def quiet(line: str) -> None:
    """Take a line of the log."""


def run_context(launch: Launch | None = None, log: Log = quiet, run_id: str | None = None) -> RunContext:
    """How tests run a step: without the programs and without a log, unless given."""
    return RunContext(log=log, launch=launch or Programs(), device="cpu", run_id=run_id)


def make(
    project: Project, *targets: str, run: RunContext | None = None, complete: Complete | None = with_pages
) -> dict[str, MaterializeResult]:
    """Materialize targets and what they are made from, as `smart run --select` does; without targets, everything."""
    run = run or run_context()
    order = [key for batch in batches(project) for key in batch]
    keys: Sequence[object] | set[object] = order
    if targets:
        keys = closure(project, find_partitions(project, list(targets)))
    return {str(key): materialize(project, key, run, complete) for key in order if key in keys}


def made_again(outcomes: Mapping[str, MaterializeResult]) -> list[str]:
    return [name for name, outcome in outcomes.items() if not outcome.unchanged]


def current(project: Project, asset: str, partition: str | None = None) -> Manifest:
    """The manifest of a partition that was made."""
    manifest = project.store.current(asset, partition)
    assert manifest is not None
    return manifest


def read_rows(project: Project, asset: str, file: str, partition: str | None = None) -> list[dict[str, Any]]:
    """The rows of a Parquet file of a partition that was made."""
    return pq.read_table(project.store.artifact(current(project, asset, partition)) / file).to_pylist()
