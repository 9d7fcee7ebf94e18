"""Sensors and the schedule: each looks at the plan and asks for runs of what is out of date. No state of their own."""

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._utils.schedules import is_valid_cron_schedule

from smart_assets.errors import SettingsError
from smart_assets.lineage.graph import BY_SOURCE, batches, wanted_state, what_is_present
from smart_assets.lineage.plan import PlanStep, make_plan
from smart_assets.pipeline.step import AssetPartition
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version

Job = UnresolvedAssetJobDefinition

# Assets of one job must have the same partitions, or none: hence three jobs and not one.
JOBS = {
    "update_sources": tuple(BY_SOURCE),
    "update_subsets": ("task_scores", "selected_subset"),
    "update_results": ("base_model_results", "finetuned_checkpoint", "eval_results", "mixture_report"),
}
TO_SUBSETS = JOBS["update_sources"] + JOBS["update_subsets"]
TO_RESULTS = ("base_model_results", "finetuned_checkpoint", "eval_results")


def build_jobs() -> dict[str, Job]:
    """The jobs that sensors and the schedule start, by name; a person may start them too."""
    return {
        name: dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=f"Makes {', '.join(assets)}.")
        for name, assets in JOBS.items()
    }


def build_sensors(project: Project, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """`task_sources` keeps subsets up to date with their sources; `settings_unchanged` fails while `smart.yaml` is not
    what was loaded."""
    automation = project.settings.automation
    running = dg.DefaultSensorStatus.RUNNING

    @dg.sensor(
        name="task_sources",
        jobs=[jobs["update_sources"], jobs["update_subsets"]],
        description="Looks at the sources, and asks for what is out of date up to the selected subsets.",
        minimum_interval_seconds=automation.watch_seconds,
        default_status=running if automation.watch else dg.DefaultSensorStatus.STOPPED,
    )
    def task_sources(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return _requests(project, context.instance, TO_SUBSETS)

    @dg.sensor(
        name="settings_unchanged",
        description="Fails while smart.yaml is not what the code location was loaded from: reload it then.",
        minimum_interval_seconds=30,
        default_status=running,
        job=jobs["update_sources"],
    )
    def settings_unchanged() -> dg.SkipReason:
        project.require_unchanged()
        return dg.SkipReason("smart.yaml is what this code location was loaded from")

    @dg.sensor(
        name="report",
        description="Makes the report again when something that it shows has changed.",
        minimum_interval_seconds=automation.watch_seconds,
        job=jobs["update_results"],
        default_status=running if automation.watch or automation.retrain else dg.DefaultSensorStatus.STOPPED,
    )
    def report(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return _requests(project, context.instance, ("mixture_report",))

    return [task_sources, report, settings_unchanged]


def build_schedules(project: Project, jobs: Mapping[str, Job]) -> list[dg.ScheduleDefinition]:
    """`retrain`, where `automation.retrain` gives a cron expression."""
    automation = project.settings.automation
    if automation.retrain is None:
        return []
    if not is_valid_cron_schedule(automation.retrain):
        raise SettingsError(f"automation.retrain: {automation.retrain!r} is no cron expression of five fields")

    @dg.schedule(
        name="retrain",
        cron_schedule=automation.retrain,
        execution_timezone=automation.timezone,
        job=jobs["update_results"],
        description="Asks for training and evaluation of every subset that changed since its last training.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def retrain(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return _requests(project, context.instance, TO_RESULTS, context.scheduled_execution_time.isoformat())

    return [retrain]


def _requests(
    project: Project, instance: dg.DagsterInstance, assets: Sequence[str], moment: str = ""
) -> list[dg.RunRequest] | dg.SkipReason:
    """Runs for every batch that is out of date and whose inputs are not out of date themselves."""
    project.require_unchanged()
    wanted = wanted_state(project)
    only = frozenset(item.key for item in wanted if item.key.asset in assets)
    plan = {step.key: step for step in make_plan(wanted, what_is_present(project), only)}
    busy = _under_way(instance)
    requests: list[dg.RunRequest] = []
    waiting: list[str] = []
    for batch in batches(project):
        steps = [plan[key] for key in batch if key in plan and plan[key].to_do]
        outside = {source for step in steps for source in step.after} - set(batch)
        if outside or busy & {step.key for step in steps}:
            waiting.append(str(steps[0].key))
        elif steps:
            requests.append(_request(steps, moment))
    if requests:
        return requests
    told = [f"under way, or waiting for inputs: {', '.join(waiting)}"] if waiting else []
    told += [f"{step.key}: {step.reasons[0]}" for step in plan.values() if step.status == "blocked"]
    return dg.SkipReason("; ".join(told) or "everything is up to date")


def _request(steps: Sequence[PlanStep], moment: str) -> dg.RunRequest:
    reasons = "; ".join(f"{step.key}: {', '.join(step.reasons)}" for step in steps if step.status != "waiting")
    first = steps[0].key
    return dg.RunRequest(
        job_name=next(name for name, assets in JOBS.items() if first.asset in assets),
        # The same state asks once a moment: what failed is not started over and over until something changes.
        run_key=json_version([[str(step.key), step.state] for step in steps] + [moment]),
        asset_selection=[dg.AssetKey(step.key.asset) for step in steps],
        partition_key=first.partition,
        tags={"smart/reason": reasons[:250]},
    )


def _under_way(instance: dg.DagsterInstance) -> set[AssetPartition]:
    """The partitions that a queued or running run is about to make."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES)))
    return {
        AssetPartition(key.to_user_string(), run.tags.get(PARTITION_NAME_TAG))
        for run in runs
        for key in run.asset_selection or ()
    }
