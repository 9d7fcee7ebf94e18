"""What a plan cannot carry out, told before anything is embedded: tasks in two sources, and budgets beyond the rows."""

from collections import defaultdict
from collections.abc import Iterator

from smart_assets.assets import evaluation_overlap, raw_tasks
from smart_assets.assets.raw_tasks import claimed_tasks, current_tasks, shared_task
from smart_assets.assets.reading.task_listing import list_tasks
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.core.errors import SmartError
from smart_assets.planning.graph import partitions
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project

_MOST_TASKS = 5


def plan_notes(project: Project, plan: list[PlanStep], current_state: CurrentState) -> list[str]:
    """Return what to change before the plan is run, in sentences."""
    to_read = {step.key.partition for step in plan if step.key.asset == raw_tasks.NAME and step.status != "current"}
    return [*_shared_tasks(project, to_read, current_state), *_budgets(project, plan, to_read, current_state)]


def _shared_tasks(project: Project, to_read: set[str | None], current_state: CurrentState) -> Iterator[str]:
    """Yield the tasks that several sources have: by their rows where these are read, else by their files' names."""
    sources: defaultdict[str, list[str]] = defaultdict(list)
    for source in project.settings.sources:
        manifest = current_state.current(AssetPartition(raw_tasks.NAME, source))
        try:
            if manifest is not None and source not in to_read:
                tasks = current_tasks(project.store, manifest)
            else:
                tasks = claimed_tasks(project, source)
        except SmartError:  # the plan says why it cannot be read
            continue
        for task in tasks:
            sources[task].append(source)
    shared = [shared_task(task, *names) for task, names in sorted(sources.items()) if len(names) > 1]
    yield from shared[:_MOST_TASKS]
    if len(shared) > _MOST_TASKS:
        yield f"and {len(shared) - _MOST_TASKS:,} more tasks are in several sources"


def _budgets(
    project: Project, plan: list[PlanStep], to_read: set[str | None], current_state: CurrentState
) -> Iterator[str]:
    """Yield the budgets that are larger than the rows to train on, where all sources are read."""
    if to_read or not any(step.to_do for step in plan):
        return
    keys = [key for asset in (raw_tasks.NAME, evaluation_overlap.NAME) for key in partitions(project, asset)]
    manifests = {key: current_state.current(key) for key in keys}
    made = Inputs(project.store, {key: manifest for key, manifest in manifests.items() if manifest is not None})
    try:
        tasks = list_tasks(project, made).tasks
    except SmartError:
        return
    seen = [task for task in tasks if task.task not in project.settings.evaluate.unseen_tasks]
    rows = sum(task.training for task in seen)
    for budget in project.settings.budgets:
        if budget > rows:
            yield (
                f"the budget {budget:,} cannot be made: there are {rows:,} rows to train on; "
                "choose a smaller budget, or add rows"
            )
