"""Checks and runs of Dagster, as a test starts and reads them."""

from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from dagster._core.test_utils import create_run_for_test

from smart_assets.defs.build import build_definitions
from smart_assets.planning.plan import PlanStep
from smart_assets.settings import Project
from smart_assets.store import Store


class Lines:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.logged: list[str] = []
        self.warned: list[str] = []
        self.errors: dict[str, str | None] = {}

    def begin(self, step: PlanStep) -> None:
        self.begun.append(str(step.key))

    def log(self, line: str) -> None:
        self.logged.append(line)

    def warn(self, line: str) -> None:
        self.warned.append(line)

    def end(self, step: PlanStep, error: str | None) -> None:
        self.errors[str(step.key)] = error


def run_check(project: Project, name: str, asset: str, partition: str) -> dg.AssetCheckEvaluation:
    """Materialize an asset that is current, so that nothing is made, and see what its check says of the store."""
    definitions = build_definitions(project)
    result = dg.materialize(
        [*definitions.assets, *definitions.asset_checks],  # type: ignore[misc]
        selection=[asset],
        partition_key=partition,
        instance=dg.DagsterInstance.ephemeral(),
        resources=dict(definitions.resources or {}),
        raise_on_error=False,
    )
    [evaluation] = [one for one in result.get_asset_check_evaluations() if one.check_name == name]
    made = result.get_asset_check_evaluations()
    assert result.success == all(one.passed or one.severity == dg.AssetCheckSeverity.WARN for one in made)
    return evaluation


def tamper_table(store: Store, asset: str, partition: str, file: str, change: Any) -> None:
    manifest = store.current(asset, partition)
    assert manifest is not None
    path = store.artifact(manifest) / file
    pq.write_table(change(pq.read_table(path)), path)
    # The manifest is forged too: a file of another size would be noticed and made again.
    files = [one.model_copy(update={"size": (path.parent / one.path).stat().st_size}) for one in manifest.files]
    store.record(manifest.model_copy(update={"files": tuple(files)}))


def ended(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    create_run_for_test(instance, job_name="update_sources", tags=dict(request.tags), status=status)
