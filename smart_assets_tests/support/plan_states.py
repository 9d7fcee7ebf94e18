"""States that the plan knows, each made from a project where everything is up to date."""

import shutil
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import create_run_for_test

from smart_assets.defs.automation import look_at_models
from smart_assets.settings import Project
from smart_assets_tests.support.dagster_runs import ended
from smart_assets_tests.support.make import make
from smart_assets_tests.support.projects import in_settings, in_tasks, rows

Prepare = Callable[[Project, dg.DagsterInstance, pytest.MonkeyPatch], Project | None]
new_task = in_tasks(lambda tasks: tasks.update(delta=rows(4, 12)))


def automation(**changes: Any) -> Callable[[Project], Project]:
    return lambda project: in_settings(
        automation={**yaml.safe_load(project.config.read_text())["automation"], **changes}
    )(project)


def with_new_rows(**changes: Any) -> Prepare:
    """A task more, its subsets made, and other settings of `automation`."""

    def prepare(project: Project, *_: Any) -> Project:
        new_task(project)
        make(project, "selected_subset")
        return automation(**changes)(project)

    return prepare


def with_new_files(**changes: Any) -> Prepare:
    """A task more that was not read yet, and other settings of `automation`."""
    return lambda project, *_: automation(**changes)(new_task(project))


def settings(**changes: Any) -> Prepare:
    return lambda project, *_: in_settings(**changes)(project)


def code_version(module: Any) -> Prepare:
    return lambda project, _, patch: patch.setattr(module, "CODE_VERSION", "99")


def without_manifests(asset: str, partition: str | None) -> Prepare:
    return lambda project, *_: shutil.rmtree(project.store.manifest_folder(asset, partition))


def without_files(asset: str, partition: str) -> Prepare:
    def prepare(project: Project, *_: Any) -> None:
        manifest = project.store.current(asset, partition)
        assert manifest is not None
        shutil.rmtree(project.store.artifact(manifest))

    return prepare


def without_source(project: Project, *_: Any) -> None:
    shutil.rmtree(project.root / "tasks")


def after_runs(status: dg.DagsterRunStatus) -> Prepare:
    """All runs that the schedule asks for end so, as often as they may be tried."""

    def prepare(project: Project, instance: dg.DagsterInstance, _: Any) -> Project:
        changed = with_new_rows()(project, instance, _)
        assert changed is not None
        for _attempt in range(changed.settings.automation.attempts):
            for request in look_at_models(changed, instance)[0]:
                ended(instance, request, status)
        return changed

    return prepare


def under_way(project: Project, instance: dg.DagsterInstance, patch: Any) -> Project:
    changed = with_new_rows()(project, instance, patch)
    assert changed is not None
    for request in look_at_models(changed, instance)[0]:
        tags = dict(request.tags) | ({"dagster/partition": request.partition_key} if request.partition_key else {})
        create_run_for_test(
            instance,
            job_name="update_results",
            tags=tags,
            asset_selection=frozenset(request.asset_selection or []),
            status=dg.DagsterRunStatus.STARTED,
        )
    return changed
