"""`smart run`."""

import gc
import time
from dataclasses import replace
from pathlib import Path

import typer

from smart_assets.assets import catalog, mixture_report
from smart_assets.assets.mixture_report import PAGE
from smart_assets.assets.step import AssetPartition
from smart_assets.cli.start import require_instance
from smart_assets.cli.terminal import TerminalDisplay, console, errors, literal
from smart_assets.planning.graph import closure, desired_states, find_partitions, read_current_state
from smart_assets.planning.notes import plan_notes
from smart_assets.planning.plan import make_plan
from smart_assets.promotion.rule import consider
from smart_assets.settings import Project, load_project


def run_selected(config: Path | None, names: list[str]) -> None:
    """Make what is out of date of the named assets and all that they are made from."""
    project = load_project(config)
    _show_notes(project)
    make_current(project, find_partitions(project, names or list(catalog.names())))
    if project.settings.promotion is not None:
        console.print(literal(consider(project).sentence))
    report = project.store.current(mixture_report.NAME, None)
    if report is not None:
        console.print(literal(f"report: {project.store.artifact(report) / PAGE}"))
    console.print(literal(f"UI:     smart dev --config {project.config}"))


def _show_notes(project: Project) -> None:
    """Show what to change before everything is made; what cannot be told yet shows later."""
    # Without details: what changed in rows is looked at when the run comes to it.
    desired, current_state = desired_states(project), replace(read_current_state(project), details=None)
    plan = make_plan(desired, current_state, frozenset(item.key for item in desired))
    for note in plan_notes(project, plan, current_state):
        errors.print(literal(f"note: {note}", "yellow"))


def make_current(
    project: Project, targets: frozenset[AssetPartition], counted: frozenset[AssetPartition] | None = None
) -> None:
    """Run the plan for the targets; exit with 1 where something of `counted` (all by default) could not be made."""
    # What Dagster's import and the pictures leave in memory stays there: looking through it less often for garbage
    # saves a tenth of the time of a short run.
    gc.set_threshold(50_000, 20, 50)
    from smart_assets.defs.run import run_plan

    require_instance(project)
    started = time.monotonic()
    try:
        summary = run_plan(project, closure(project, targets), TerminalDisplay())
    except KeyboardInterrupt:
        console.print(literal("interrupted: what was made stays, and the next run goes on", "yellow"))
        raise typer.Exit(130) from None
    for key, reason in summary.held_up.items():
        errors.print(literal(f"- {key} was not made: {reason}", "yellow"))
    seconds = time.monotonic() - started
    if not summary.made and not summary.failed and not summary.held_up:
        console.print(literal(f"nothing to do: everything is up to date ({seconds:.1f} s)"))
    elif summary.made:
        console.print(literal(f"{len(summary.made)} partitions made in {seconds:.0f} s"))
    stopped = summary.failed.keys() | summary.held_up.keys()
    if stopped if counted is None else stopped & counted:
        raise typer.Exit(1)
