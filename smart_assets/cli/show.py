"""`smart status` and `smart tasks`."""

from pathlib import Path

from smart_assets.cli.terminal import console, plain, print_table
from smart_assets.errors import UpstreamMissingError
from smart_assets.lineage.graph import wanted_state, what_is_present
from smart_assets.lineage.plan import make_plan
from smart_assets.pipeline.report_content import gather_tasks
from smart_assets.pipeline.step import Inputs
from smart_assets.settings import Project, load_project


def show_status(config: Path | None, everything: bool) -> None:
    """Print the plan, a line for each partition that is not current, and how many are."""
    project = load_project(config)
    wanted = wanted_state(project)
    present = what_is_present(project)
    current = present.current
    plan = make_plan(wanted, present, frozenset(item.key for item in wanted))
    rows: list[list[object]] = []
    for step in plan:
        if everything or step.status != "current":
            manifest = current(step.key)
            made = manifest.made["at"] if manifest else ""
            version = manifest.content_version[:12] if manifest else ""
            rows.append([step.key, step.status, version, made, "; ".join(step.reasons)])
    if rows:
        print_table(["asset", "status", "version", "made (UTC)", "why"], rows)
    up_to_date = sum(step.status == "current" for step in plan)
    console.print(plain(f"{up_to_date} of {len(plan)} partitions are up to date"))


def show_tasks(config: Path | None) -> None:
    """Print the tasks with their rows and weights, most rows first."""
    project = load_project(config)
    inputs = everything_made(project)
    if not any(key.asset == "raw_tasks" for key in inputs.manifests):
        raise UpstreamMissingError("raw_tasks was never made: `smart run --select raw_tasks` reads the sources")
    tasks = gather_tasks(project, inputs)
    recipes = list(dict.fromkeys(recipe for task in tasks for recipe in task.mixture_weights))
    rows = [
        [
            task.source,
            task.task,
            task.train_rows,
            task.validation_rows,
            task.rejected_rows,
            *(f"{task.mixture_weights[name]:.2%}" if name in task.mixture_weights else "" for name in recipes),
        ]
        for task in sorted(tasks, key=lambda task: (-task.train_rows, task.task))
    ]
    print_table(["source", "task", "training", "held out", "rejected", *recipes], rows)
    _show_proposals(inputs)


def _show_proposals(inputs: Inputs) -> None:
    """A line for each objective: how uneven its weights are, and what M' it proposes."""
    scores = inputs.find("task_scores")
    summary = scores.summary if scores is not None else {"objectives": {}}
    for objective, figures in summary["objectives"].items():
        if "proposed max tasks" in figures:  # scores of an older version lack it until they are made again
            worth, proposed = figures["effective tasks"], figures["proposed max tasks"]
            line = f"at temperature 1 the weights are worth {worth:g} equal tasks of {summary['tasks']:,}"
            console.print(plain(f"{objective}: {line}; `max_tasks: auto` takes {proposed:,}"))


def everything_made(project: Project) -> Inputs:
    """The current manifests of all partitions that were ever made."""
    current = what_is_present(project).current
    found = {item.key: current(item.key) for item in wanted_state(project)}
    return Inputs(project.store, {key: manifest for key, manifest in found.items() if manifest is not None})
