"""Sensors and the schedule: each looks at the plan and asks for runs of what is out of date. No state of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType
from dagster._utils.schedules import is_valid_cron_schedule

from smart_assets.defs.agreement import record_current
from smart_assets.defs.orphans import end_orphans
from smart_assets.defs.requests import JOBS, Refusal, request_run, under_way
from smart_assets.errors import SettingsError
from smart_assets.lineage.graph import batches, wanted_state, what_is_present
from smart_assets.lineage.graph import wanted as wanted_of
from smart_assets.lineage.plan import PlanStep, Present, make_plan
from smart_assets.lineage.retraining import decide
from smart_assets.pipeline.step import AssetPartition, Wanted
from smart_assets.settings import Project
from smart_assets.tasks.intake import last_change

Job = UnresolvedAssetJobDefinition
Asked = list[dg.RunRequest] | dg.SkipReason

TO_SUBSETS = JOBS["update_sources"] + JOBS["update_subsets"]
TO_RESULTS = ("base_model_results", "finetuned_checkpoint", "eval_results")
UP_TO_DATE = "everything is up to date"


def build_jobs() -> dict[str, Job]:
    """The jobs that sensors and the schedule start, by name; a person may start them too."""
    return {
        name: dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=f"Makes {', '.join(assets)}.")
        for name, assets in JOBS.items()
    }


def build_sensors(project: Project, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """`task_sources` keeps subsets up to date with their sources, `report` the report; `upkeep` looks after Dagster's
    own records, and fails while `smart.yaml` is not what was loaded."""
    automation = project.settings.automation
    running = dg.DefaultSensorStatus.RUNNING

    @dg.sensor(
        name="task_sources",
        jobs=[jobs["update_sources"], jobs["update_subsets"]],
        description="Looks at the sources, and asks for what is out of date up to the selected subsets.",
        minimum_interval_seconds=automation.watch_seconds,
        default_status=running if automation.watches else dg.DefaultSensorStatus.STOPPED,
    )
    def task_sources(context: dg.SensorEvaluationContext) -> Asked:
        return _ask(project, context, TO_SUBSETS)

    @dg.sensor(
        name="report",
        description="Makes the report again when something that it shows has changed.",
        minimum_interval_seconds=automation.watch_seconds,
        job=jobs["update_results"],
        default_status=running if automation.watches or automation.retrain else dg.DefaultSensorStatus.STOPPED,
    )
    def report(context: dg.SensorEvaluationContext) -> Asked:
        return _ask(project, context, ("mixture_report",))

    @dg.sensor(
        name="upkeep",
        description="Fails while smart.yaml is not what the code location was loaded from: reload it then. Ends runs "
        "whose process died, and records here what the store holds already.",
        minimum_interval_seconds=60,
        default_status=running,
    )
    def upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        project.require_unchanged()
        done = [f"ended the dead run {run_id}" for run_id in end_orphans(context.instance)]
        wanted, present = wanted_state(project), what_is_present(project)
        plan = make_plan(wanted, present, frozenset(item.key for item in wanted))
        recorded = record_current(project, context.instance, plan, present)
        done += [f"recorded {key} as the store holds it" for key in recorded]
        return dg.SkipReason("; ".join(done) or "smart.yaml is what was loaded, and Dagster shows what the store holds")

    return [task_sources, report, upkeep]


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
    def retrain(context: dg.ScheduleEvaluationContext) -> Asked:
        return _retrain(project, context)

    return [retrain]


def _ask(project: Project, context: dg.SensorEvaluationContext, assets: Sequence[str]) -> Asked:
    """Runs for every batch that is out of date and whose inputs are not out of date themselves."""
    project.require_unchanged()
    wanted = [wanted_of(project, key) for batch in batches(project) for key in batch if key.asset in assets]
    plan = make_plan(wanted, what_is_present(project), frozenset(item.key for item in wanted))
    told = [f"{step.key}: {step.reasons[0]}" for step in plan if step.status == "blocked"]
    requests: list[dg.RunRequest] = []
    for _, answer in _answers(project, context.instance, plan):
        if isinstance(answer, dg.RunRequest):
            requests.append(answer)
        else:
            told.append(answer.why)
    return _told(context.log.info, requests, told)


def _answers(
    project: Project, instance: dg.DagsterInstance, plan: Iterable[PlanStep]
) -> Iterator[tuple[list[PlanStep], dg.RunRequest | Refusal]]:
    """Each batch that is out of date, and the run of it or why there is none now."""
    steps = {step.key: step for step in plan}
    busy = under_way(instance)
    for batch in batches(project):
        due = [steps[key] for key in batch if key in steps and steps[key].to_do]
        if not due:
            continue
        first = due[0].key
        if busy & {step.key for step in due}:
            yield due, Refusal(f"{first} is under way", for_now=True)
        elif (restless := _restless(project, due)) is not None:
            yield due, Refusal(restless)
        elif before := {source for step in due for source in step.after} - set(batch):
            yield due, Refusal(f"{first} waits for {min(before)}", for_now=True)
        else:
            yield due, request_run(instance, due, _reasons(due), project.settings.automation.attempts)


def _retrain(project: Project, context: dg.ScheduleEvaluationContext) -> Asked:
    """Runs for the checkpoints and results that are due, and in words why the others are not."""
    project.require_unchanged()
    instance, automation = context.instance, project.settings.automation
    wanted, present = wanted_state(project), what_is_present(project)
    only = frozenset(item.key for item in wanted if item.key.asset in TO_RESULTS)
    results = {step.key: step for step in make_plan(wanted, present, only)}
    decision = decide(project, results, present, _about_to_change(project, instance, wanted, present))
    busy = under_way(instance)
    told = [f"{key}: {why}" for key, why in decision.left.items()]
    requests: list[dg.RunRequest] = []
    trainings = 0
    for due in decision.due:
        first = due.steps[0].key
        if busy & {step.key for step in due.steps}:
            told.append(f"{first} is under way")
            trainings += due.trains
        elif due.trains and trainings >= automation.most_trainings:
            told.append(f"{first}: {automation.most_trainings} trainings a tick, its turn comes at the next")
        else:
            answer = request_run(instance, due.steps, f"{first}: {due.reason}", automation.attempts)
            if isinstance(answer, dg.RunRequest):
                requests.append(answer)
                trainings += due.trains
            else:
                told.append(answer.why)
    return _told(context.log.info, requests, told)


def _about_to_change(
    project: Project, instance: dg.DagsterInstance, wanted: Sequence[Wanted], present: Present
) -> frozenset[AssetPartition]:
    """The subsets that `task_sources` brings up to date now: it is on, and nothing holds them up for good."""
    if not _is_on(instance, "task_sources", project.settings.automation.watches):
        return frozenset()
    plan = make_plan(wanted, present, frozenset(item.key for item in wanted if item.key.asset in TO_SUBSETS))
    answers = list(_answers(project, instance, plan))
    stuck = {step.key for due, found in answers for step in due if isinstance(found, Refusal) and not found.for_now}
    return frozenset(
        step.key
        for step in plan
        if step.key.asset == "selected_subset" and step.to_do and not stuck & {step.key, *step.after}
    )


def _is_on(instance: dg.DagsterInstance, sensor: str, by_default: bool) -> bool:
    """Whether a sensor is switched on: by a person in the UI, else as the settings have it."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    state = next((state.status for state in states if state.instigator_name == sensor), None)
    return by_default if state in (None, InstigatorStatus.DECLARED_IN_CODE) else state is InstigatorStatus.RUNNING


def _told(log: Callable[[str], None], requests: list[dg.RunRequest], told: Sequence[str]) -> Asked:
    """The requests, with what was left told in the tick's log; or all of that as the reason for none."""
    for line in told:
        log(line)
    return requests or dg.SkipReason("; ".join(told) or UP_TO_DATE)


def _restless(project: Project, steps: Iterable[PlanStep]) -> str | None:
    """Why a source is left alone: its files changed a moment ago, and may be written still."""
    quiet = project.settings.automation.quiet_seconds
    for key in (step.key for step in steps if step.key.asset == "raw_tasks"):
        touched = last_change(project.settings.sources[str(key.partition)], project.root)
        age = (datetime.now(UTC) - touched).total_seconds() if touched is not None else quiet
        if age < quiet:
            return f"{key}: files changed {max(0, age):.0f} s ago: waits until they are quiet for {quiet} s"
    return None


def _reasons(steps: Iterable[PlanStep]) -> str:
    return "; ".join(f"{step.key}: {', '.join(step.reasons)}" for step in steps if step.status != "waiting")
