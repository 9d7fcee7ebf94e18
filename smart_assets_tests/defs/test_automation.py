"""The sensors and the schedule in a real Dagster instance: what they ask for, hold back, try again and explain."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import create_run_for_test

from smart_assets.defs.agreement import record_current
from smart_assets.defs.build import build_definitions
from smart_assets.defs.orphans import WORKER_TAG
from smart_assets.defs.requests import STATE_TAG
from smart_assets.planning.graph import read_current_state
from smart_assets.settings import Project
from smart_assets_tests.support.dagster_runs import ended
from smart_assets_tests.support.make import make
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.projects import in_settings, in_tasks, own_copy, write_project

MOMENT = datetime(2030, 1, 1, 3, tzinfo=UTC)
another_task = in_tasks(lambda tasks: tasks.update(delta=tasks.pop("gamma")))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "project"  # the report's title is the folder's name
    automation = {"quiet_seconds": 0, "retrain": "0 3 * * *", "timezone": "Europe/Berlin"}
    make(write_project(folder, changes={"automation": automation}), "mixture_report")
    return folder


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Project:
    return own_copy(made_once, tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


def tick(project: Project, instance: dg.DagsterInstance, name: str = "task_sources") -> Any:
    definitions = build_definitions(project)
    sensor = next(one for one in definitions.sensors or [] if one.name == name)
    return sensor(dg.build_sensor_context(instance=instance, definitions=definitions))


def scheduled(project: Project, instance: dg.DagsterInstance) -> Any:
    [schedule] = build_definitions(project).schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    return schedule(dg.build_schedule_context(instance, scheduled_execution_time=MOMENT))


def test_the_sensor_is_quiet_asks_once_for_a_change_and_says_why(
    project: Project, instance: dg.DagsterInstance
) -> None:
    quiet = tick(project, instance)
    assert isinstance(quiet, dg.SkipReason)
    assert quiet.skip_message == "everything is up to date"
    path = project.root / "tasks" / "alpha.jsonl"
    path.write_text(path.read_text() + json.dumps({"prompt": "something else entirely", "response": "x"}) + "\n")
    [first] = tick(project, instance)
    assert (first.job_name, first.partition_key) == ("update_sources", "small")
    assert "source `small`: task `alpha` has 1 new row" in first.tags["smart/reason"]
    [again] = tick(project, instance)  # as after a restart: it has no memory
    assert again.run_key == first.run_key


def test_what_fails_is_tried_again_within_bounds_and_what_is_cancelled_is_not(
    project: Project, instance: dg.DagsterInstance
) -> None:
    another_task(project)
    keys: list[str] = []
    for _ in range(project.settings.automation.attempts):
        [request] = tick(project, instance)
        keys.append(request.run_key)
        ended(instance, request, dg.DagsterRunStatus.FAILURE)
    assert len(set(keys)) == 3
    assert (
        "raw_tasks[small]: 3 runs failed; it is tried again when something changes"
        in tick(project, instance).skip_message
    )
    (project.root / "tasks" / "beta.jsonl").unlink()
    [request] = tick(project, instance)
    assert request.tags[STATE_TAG] not in keys[0]
    ended(instance, request, dg.DagsterRunStatus.CANCELED)
    assert "its last run was cancelled" in tick(project, instance).skip_message


def test_a_run_under_way_is_not_asked_for_twice(project: Project, instance: dg.DagsterInstance) -> None:
    another_task(project)
    [request] = tick(project, instance)
    create_run_for_test(
        instance,
        job_name="update_sources",
        tags={"dagster/partition": "small"},
        asset_selection=frozenset(request.asset_selection),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "raw_tasks[small] is under way" in tick(project, instance).skip_message


def test_a_vanished_or_emptied_folder_is_reported_and_deletes_nothing(
    project: Project, instance: dg.DagsterInstance
) -> None:
    before = project.store.current("raw_tasks", "small")
    for path in (project.root / "tasks").glob("*"):
        path.unlink()
    assert "holds no task files" in tick(project, instance).skip_message
    shutil.rmtree(project.root / "tasks")
    assert "does not exist" in tick(project, instance).skip_message
    assert project.store.current("raw_tasks", "small") == before


def test_a_source_is_left_alone_while_its_files_are_written(project: Project, instance: dg.DagsterInstance) -> None:
    another_task(project)
    patient = in_settings(automation={"quiet_seconds": 3600})(project)
    assert "waits until they are quiet for 3600 s" in tick(patient, instance).skip_message
    assert tick(in_settings(automation={"quiet_seconds": 0})(project), instance)[0].partition_key == "small"


def test_the_schedule_trains_what_changed_and_says_why(project: Project, instance: dg.DagsterInstance) -> None:
    assert scheduled(project, instance).skip_message == "everything is up to date"
    another_task(project)
    make(project, "selected_subset")
    requests = scheduled(project, instance)
    assert {request.job_name for request in requests} == {"update_results"}
    assert [key.to_user_string() for key in requests[0].asset_selection] == ["finetuned_checkpoint", "eval_results"]
    assert "rows of its subset changed" in requests[0].tags["smart/reason"]
    # A failed training leaves the old checkpoint current and is asked for again at the next tick, within bounds.
    before = project.store.current("finetuned_checkpoint", requests[0].partition_key)
    for _ in range(project.settings.automation.attempts):
        [request] = [one for one in scheduled(project, instance) if one.partition_key == requests[0].partition_key]
        ended(instance, request, dg.DagsterRunStatus.FAILURE)
    again = scheduled(project, instance)
    asked = [] if isinstance(again, dg.SkipReason) else [one.partition_key for one in again]
    assert requests[0].partition_key not in asked
    assert project.store.current("finetuned_checkpoint", requests[0].partition_key) == before


def test_a_tick_has_its_most_and_what_failed_too_often_takes_no_place(
    project: Project, instance: dg.DagsterInstance
) -> None:
    another_task(project)
    make(project, "selected_subset")
    automation = yaml.safe_load(project.config.read_text())["automation"]
    project = in_settings(automation={**automation, "most_trainings": 1, "attempts": 1})(project)
    asked: list[str] = []
    evaluated: list[dg.RunRequest] = []
    while isinstance(requests := scheduled(project, instance), list):
        trainings = [one for one in requests if one.partition_key is not None]
        assert len(trainings) <= 1
        asked += [one.partition_key for one in trainings]
        evaluated += [one for one in requests if one.partition_key is None]
        for request in requests:
            ended(instance, request, dg.DagsterRunStatus.FAILURE)
    assert len(asked) == len(set(asked)) > 1
    assert len(evaluated) == 1  # the base model's evaluation is no training, and takes no place either
    assert requests.skip_message.count("1 run failed") == len(asked) + 1


def test_the_schedule_waits_for_subsets_that_the_sensor_makes_and_not_for_others(
    project: Project, instance: dg.DagsterInstance
) -> None:
    another_task(project)
    make(project, "selected_subset")
    (project.root / "tasks" / "beta.jsonl").unlink()  # and now subsets are out of date again
    assert "its subset is out of date, and is made first" in scheduled(project, instance).skip_message
    for _ in range(project.settings.automation.attempts):  # the source cannot be made: subsets count as they stand
        [request] = tick(project, instance)
        ended(instance, request, dg.DagsterRunStatus.FAILURE)
    assert scheduled(project, instance)


def test_a_state_that_comes_again_is_asked_for_anew(project: Project, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(project.root / ".smart" / "manifests")
    [first] = tick(project, instance)
    ended(instance, first, dg.DagsterRunStatus.SUCCESS)
    [again] = tick(project, instance)
    assert again.run_key != first.run_key


def test_a_whole_job_that_did_not_start_yet_is_under_way(project: Project, instance: dg.DagsterInstance) -> None:
    another_task(project)
    tags = {"dagster/partition": "small"}
    create_run_for_test(instance, job_name="update_sources", tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    assert "raw_tasks[small] is under way" in tick(project, instance).skip_message


def test_a_run_that_was_written_down_and_never_queued_holds_nothing_up_for_ever(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_task(project)
    [request] = tick(project, instance)
    tags = {"dagster/partition": "small"}
    create_run_for_test(instance, job_name="update_sources", tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    monkeypatch.setattr("smart_assets.defs.requests.LONGEST_BEFORE_START", timedelta())
    assert [again.run_key for again in tick(project, instance)] == [request.run_key]


def test_the_schedule_has_its_cron_and_zone_and_starts_with_the_sensor(project: Project) -> None:
    definitions = build_definitions(project)
    [schedule] = definitions.schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "Europe/Berlin")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    sensor = next(one for one in definitions.sensors or [] if one.name == "task_sources")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    text = yaml.safe_load(project.config.read_text())
    watched_by_hand = in_settings(automation={**text["automation"], "watch": False})(project)
    sensor = next(one for one in build_definitions(watched_by_hand).sensors or [] if one.name == "task_sources")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


def plan_of(project: Project) -> list[Any]:
    return list(whole_plan(project).values())


def recorded(project: Project, instance: dg.DagsterInstance) -> list[Any]:
    return record_current(project, instance, plan_of(project), read_current_state(project))


def stale_in_dagster(project: Project, instance: dg.DagsterInstance) -> set[str]:
    """What Dagster's own resolver calls missing or stale, as the UI shows it."""
    from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
    from dagster._core.loader import LoadingContextForTest

    graph = build_definitions(project).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {
        str(step.key)
        for step in plan_of(project)
        if resolver.get_status(dg.AssetKey(step.key.asset), step.key.partition) is not StaleStatus.FRESH
    }


def test_what_the_plan_calls_current_is_fresh_in_dagster(project: Project, instance: dg.DagsterInstance) -> None:
    """A store that another machine filled is shown as it is; a changed training row leaves evaluations fresh."""
    everything = {str(step.key) for step in plan_of(project)}
    assert stale_in_dagster(project, instance) == everything
    assert {str(key) for key in recorded(project, instance)} == everything
    assert stale_in_dagster(project, instance) == set()
    assert recorded(project, instance) == []

    in_tasks(lambda tasks: tasks["beta"][1].update(response="another answer"))(project)
    make(project, "selected_subset")
    recorded(project, instance)
    to_do = {str(step.key) for step in plan_of(project) if step.status != "current"}
    assert "task_scores" not in to_do
    assert stale_in_dagster(project, instance) <= to_do


def test_upkeep_ends_dead_runs_and_records_the_store(project: Project, instance: dg.DagsterInstance) -> None:
    import platform

    dead = create_run_for_test(
        instance,
        job_name="update_sources",
        tags={WORKER_TAG: f"{platform.node()} 999999999 1"},
        status=dg.DagsterRunStatus.STARTED,
    )
    told = tick(project, instance, "upkeep").skip_message
    assert f"ended the dead run {dead.run_id}" in told
    assert "recorded raw_tasks[small] as the store holds it" in told
    run = instance.get_run_by_id(dead.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert "Dagster shows what the store holds" in tick(project, instance, "upkeep").skip_message
