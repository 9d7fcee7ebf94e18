"""Sensors and the schedule: each looks at the plan and asks for runs of what is out of date. No state of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from smart_assets.assets import catalog, raw_tasks, selected_subset
from smart_assets.assets.declaration import Requester
from smart_assets.assets.step import AssetPartition, DesiredState
from smart_assets.core.errors import SettingsError
from smart_assets.defs.agreement import record_current
from smart_assets.defs.dagster_private import (
    InstigatorStatus,
    InstigatorType,
    UnresolvedAssetJobDefinition,
    is_valid_cron_schedule,
)
from smart_assets.defs.orphans import end_orphans
from smart_assets.defs.out_of_date import UP_TO_DATE, SensorAnswers, left_out_of_date, names, nothing_to_ask, reasons
from smart_assets.defs.requests import SkipRun, request_run, under_way
from smart_assets.planning.graph import batches, desired_state, desired_states, read_current_state
from smart_assets.planning.plan import CurrentState, PlanStep, make_plan
from smart_assets.planning.retraining import Due, decide
from smart_assets.settings import Project

Job = UnresolvedAssetJobDefinition
Asked = list[dg.RunRequest] | dg.SkipReason
Look = tuple[list[dg.RunRequest], list[str]]
"""The runs that a tick asks for, and in words what it leaves."""


def build_jobs() -> dict[str, Job]:
    """Return the jobs that sensors and the schedule start, by name; a person may start them too."""
    return {
        name: dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=f"Makes {', '.join(assets)}.")
        for name, assets in catalog.jobs().items()
    }


def build_sensors(project: Project, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """Return the sensors: `task_sources`, `report` and `upkeep`.

    The first keeps subsets up to date with their sources, the second the report. `upkeep` looks after Dagster's own
    records, and fails while `smart.yaml` is not what was loaded.
    """
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
        return _answer(context.log.info, *look_at_sources(project, context.instance))

    @dg.sensor(
        name="report",
        description="Makes the report again when something that it shows has changed.",
        minimum_interval_seconds=automation.watch_seconds,
        job=jobs["update_results"],
        default_status=running if automation.watches or automation.retrain else dg.DefaultSensorStatus.STOPPED,
    )
    def report(context: dg.SensorEvaluationContext) -> Asked:
        return _answer(context.log.info, *look_at_report(project, context.instance))

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
        desired, current_state = desired_states(project), read_current_state(project)
        recorded = record_current(project, context.instance, _whole_plan(desired, current_state), current_state)
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
        description="Asks for training and evaluation of every subset that changed since its last training, and for "
        "every evaluation that is out of date.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def retrain(context: dg.ScheduleEvaluationContext) -> Asked:
        return _answer(context.log.info, *look_at_models(project, context.instance))

    return [retrain]


def look_at_sources(project: Project, instance: dg.DagsterInstance) -> Look:
    """Return the runs of whatever is out of date up to the subsets."""
    return _look(project, instance, "task_sources", "sources and subsets are up to date")


def look_at_report(project: Project, instance: dg.DagsterInstance) -> Look:
    """Return a run of the report where it does not show what there is."""
    return _look(project, instance, "report", "the report shows what there is")


def _look(project: Project, instance: dg.DagsterInstance, requester: Requester, all_made: str) -> Look:
    """Return the runs for every batch that is out of date and whose inputs are not out of date themselves."""
    project.require_unchanged()
    assets = catalog.requested_by(requester)
    now = project.snapshot()
    keys = [key for batch in batches(project) for key in batch]
    current_state = read_current_state(project)
    desired = {key: desired_state(now, key) for key in keys if key.asset in assets}
    plan = _whole_plan([*desired.values()], current_state)
    messages = [f"{step.key}: {step.reasons[0]}" for step in plan if step.status == "blocked"]
    requests: list[dg.RunRequest] = []
    for _, answer in _answers(project, instance, plan):
        if isinstance(answer, dg.RunRequest):
            requests.append(answer)
        else:
            messages.append(answer.why)
    if not requests and not messages:
        every = [desired.get(key) or desired_state(now, key) for key in keys]
        messages = [nothing_to_ask(_whole_plan(every, current_state), all_made)]
    return requests, messages


def _whole_plan(desired: Sequence[DesiredState], current_state: CurrentState) -> list[PlanStep]:
    return make_plan(desired, current_state, frozenset(item.key for item in desired))


def _plan_of(desired: Sequence[DesiredState], current_state: CurrentState, requester: Requester) -> list[PlanStep]:
    """Return the plan of the assets that a sensor or schedule asks for; all others count as they stand."""
    assets = catalog.requested_by(requester)
    return make_plan(desired, current_state, frozenset(item.key for item in desired if item.key.asset in assets))


def _answers(
    project: Project, instance: dg.DagsterInstance, plan: Iterable[PlanStep]
) -> Iterator[tuple[list[PlanStep], dg.RunRequest | SkipRun]]:
    """Yield each batch that is out of date, and the run of it or why there is none now."""
    steps = {step.key: step for step in plan}
    busy = under_way(instance)
    for batch in batches(project):
        due = [steps[key] for key in batch if key in steps and steps[key].to_do]
        if not due:
            continue
        first = due[0].key
        if busy & {step.key for step in due}:
            yield due, SkipRun(f"{first} is under way", for_now=True)
        elif (recently_modified := _recently_modified(project, due)) is not None:
            yield due, SkipRun(recently_modified)
        elif before := {source for step in due for source in step.after} - set(batch):
            yield due, SkipRun(f"{first} waits for {min(before)}", for_now=True)
        else:
            yield due, request_run(instance, due, reasons(due), project.settings.automation.attempts)


def look_at_models(project: Project, instance: dg.DagsterInstance) -> Look:
    """Return the runs of checkpoints and results that are due, and in words why what else is out of date is left."""
    project.require_unchanged()
    desired, current_state = desired_states(project), read_current_state(project)
    results = {step.key: step for step in _plan_of(desired, current_state, "retrain")}
    subsets, report = _sensors(project, instance, desired, current_state)
    decision = decide(project, results, current_state, _about_to_change(subsets))
    requests, messages = _due_now(project, instance, decision.due)
    messages += [f"{names(keys)}: {why}" for why, keys in _by_reason(decision.left).items()]
    named = {*decision.left, *(step.key for due in decision.due for step in due.steps)}
    return requests, messages + left_out_of_date(_whole_plan(desired, current_state), named, (subsets, report))


def _due_now(project: Project, instance: dg.DagsterInstance, due_ones: Sequence[Due]) -> Look:
    """Return the runs of what is due, with as many trainings as a tick may ask for; and why none of the others."""
    automation, busy = project.settings.automation, under_way(instance)
    requests: list[dg.RunRequest] = []
    messages: list[str] = []
    trainings = 0
    for due in due_ones:
        keys = [step.key for step in due.steps]
        if busy & {*keys}:
            messages.append(_with_its_others(f"{keys[0]} is under way", keys))
            trainings += due.trains
        elif due.trains and trainings >= automation.most_trainings:
            messages.append(
                f"{names(keys)}: {due.reason}; {automation.most_trainings} trainings a tick, its turn comes at the next"
            )
        else:
            answer = request_run(instance, due.steps, f"{keys[0]}: {due.reason}", automation.attempts)
            if isinstance(answer, dg.RunRequest):
                requests.append(answer)
                trainings += due.trains
            else:
                messages.append(_with_its_others(answer.why, keys))
    return requests, messages


def _with_its_others(why: str, keys: Sequence[AssetPartition]) -> str:
    """Return what holds up the first of some partitions, and those that are held up with it."""
    return f"{why}; with it {names(keys[1:])}" if len(keys) > 1 else why


def _by_reason(left: Mapping[AssetPartition, str]) -> dict[str, list[AssetPartition]]:
    """Return the partitions that are left as they are for the same reason."""
    keys_by_reason: dict[str, list[AssetPartition]] = {}
    for key, why in left.items():
        keys_by_reason.setdefault(why, []).append(key)
    return keys_by_reason


def _sensors(
    project: Project, instance: dg.DagsterInstance, desired: Sequence[DesiredState], current_state: CurrentState
) -> tuple[SensorAnswers, SensorAnswers]:
    """Return what `task_sources` and `report` would answer now."""
    automation = project.settings.automation
    sensors: tuple[tuple[Requester, bool], ...] = (
        ("task_sources", automation.watches),
        ("report", automation.watches or automation.retrain is not None),
    )
    subsets, report = (
        SensorAnswers(
            name,
            _is_on(instance, name, by_default),
            list(_answers(project, instance, _plan_of(desired, current_state, name))),
        )
        for name, by_default in sensors
    )
    return subsets, report


def _about_to_change(sensor: SensorAnswers) -> frozenset[AssetPartition]:
    """Return the raw tasks and subsets that `task_sources` brings up to date now.

    It is on, and nothing holds them up for good.
    """
    if not sensor.is_on:
        return frozenset()
    stuck = {
        step.key
        for steps, answer in sensor.answers
        for step in steps
        if isinstance(answer, SkipRun) and not answer.for_now
    }
    return frozenset(
        step.key
        for steps, _ in sensor.answers
        for step in steps
        if step.key.asset in (raw_tasks.NAME, selected_subset.NAME)
        and not step.keeps_content
        and not stuck & {step.key, *step.after}
    )


def _is_on(instance: dg.DagsterInstance, sensor: str, by_default: bool) -> bool:
    """Return whether a sensor is switched on: by a person in the UI, else as the settings have it."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    state = next((state.status for state in states if state.instigator_name == sensor), None)
    return by_default if state in (None, InstigatorStatus.DECLARED_IN_CODE) else state is InstigatorStatus.RUNNING


def _answer(log: Callable[[str], None], requests: list[dg.RunRequest], messages: Sequence[str]) -> Asked:
    """Return the requests, with what was left told in the tick's log; or all of that as the reason for none."""
    for line in messages:
        log(line)
    return requests or dg.SkipReason("; ".join(messages) or UP_TO_DATE)


def _recently_modified(project: Project, steps: Iterable[PlanStep]) -> str | None:
    """Return why a source is left alone: its files changed a moment ago, and may be written still."""
    quiet = project.settings.automation.quiet_seconds
    for key in (step.key for step in steps if step.key.asset == raw_tasks.NAME):
        touched = project.settings.sources[str(key.partition)].last_change(project.root)
        age = (datetime.now(UTC) - touched).total_seconds() if touched is not None else quiet
        if age < quiet:
            return f"{key}: files changed {max(0, age):.0f} s ago: waits until they are quiet for {quiet} s"
    return None
