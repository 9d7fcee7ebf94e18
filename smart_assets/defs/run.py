"""Running the plan in this process: every out-of-date batch as one Dagster run, with its history in the instance."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import dagster as dg

from smart_assets.defs.build import build_definitions
from smart_assets.lineage.graph import batches, current_manifests, wanted
from smart_assets.lineage.plan import PlanStep, make_plan
from smart_assets.pipeline.step import AssetPartition, Wanted
from smart_assets.settings import Project


class Display(Protocol):
    """Where a run of the plan tells what it does."""

    def begin(self, step: PlanStep) -> None:
        """A step is about to be made."""
        ...

    def log(self, line: str) -> None:
        """A line of a step's log."""
        ...

    def end(self, step: PlanStep, error: str | None) -> None:
        """A step ended well, or with an error."""
        ...


@dataclass(slots=True)
class RunSummary:
    """What a run of the plan came to: every out-of-date partition is in one of the three."""

    made: list[AssetPartition] = field(default_factory=list[AssetPartition])
    failed: dict[AssetPartition, str] = field(default_factory=dict[AssetPartition, str])
    held_up: dict[AssetPartition, str] = field(default_factory=dict[AssetPartition, str])


def run_plan(project: Project, only: frozenset[AssetPartition], display: Display) -> RunSummary:
    """Make every out-of-date partition of `only`, inputs first; what fails holds up only what is made from it.

    History goes to the Dagster instance of the project's folder, where the UI shows it.
    """
    os.environ["DAGSTER_HOME"] = str(project.root)
    job = build_definitions(project, {"console": _logger(display)}).resolve_implicit_global_asset_job_def()
    summary = RunSummary()
    with dg.DagsterInstance.get() as instance:
        for batch in batches(project):
            for steps in _runs(project, [key for key in batch if key in only], summary):
                for step in steps:
                    display.begin(step)
                result = job.execute_in_process(
                    instance=instance,
                    asset_selection=[dg.AssetKey(step.key.asset) for step in steps],
                    partition_key=steps[0].key.partition,
                    run_config={"loggers": {"console": {}}},
                    raise_on_error=False,
                )
                _take_down(steps, _errors(result), summary, display)
                if _interrupted(result):
                    raise KeyboardInterrupt
    return summary


def _runs(project: Project, batch: Sequence[AssetPartition], summary: RunSummary) -> list[list[PlanStep]]:
    """The out-of-date steps of a batch, as at most one run; what a failure holds up is noted instead."""
    wants = [wanted(project, key) for key in batch]
    # Planned now, not before the run: what was made in the meantime may have changed nothing.
    plan = make_plan(wants, current_manifests(project), frozenset(batch))
    steps: list[PlanStep] = []
    for step, want in zip(plan, wants, strict=True):
        reason = step.reasons[0] if step.status == "blocked" else _held_up(want, summary)
        if reason is not None:
            summary.held_up[step.key] = reason
        elif step.to_do:
            steps.append(step)
    return [steps] if steps else []


def _held_up(want: Wanted, summary: RunSummary) -> str | None:
    stopped = [item.source for item in want.inputs if item.source in summary.failed.keys() | summary.held_up.keys()]
    return f"{stopped[0]} is not up to date" if stopped else None


def _take_down(steps: Sequence[PlanStep], errors: dict[str, str], summary: RunSummary, display: Display) -> None:
    stopped = False
    for step in steps:
        error = errors.get(step.key.asset)
        if error is not None:
            summary.failed[step.key] = error
        elif stopped and step.after:
            summary.held_up[step.key] = f"{step.after[0]} is not up to date"
            continue
        else:
            summary.made.append(step.key)
        stopped = stopped or error is not None
        display.end(step, error)


def _errors(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Asset -> why it failed: its own error, or the check that it did not pass."""
    errors: dict[str, str] = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key is not None:
            failure = event.step_failure_data
            told = failure.user_failure_data.description if failure.user_failure_data else None
            errors[event.step_key] = told or failure.error.message.strip() if failure.error else "no reason given"
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            errors[check.asset_key.to_user_string()] = f"the check {check.check_name} failed: {check.description}"
    return errors


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether somebody stopped the run: then what comes after it is not begun."""
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    while failures:
        error = failures.pop()
        if error is not None:
            if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                return True
            failures += [error.cause, error.context]
    return False


class _ToDisplay(logging.Handler):
    """Passes on what steps say, and leaves out Dagster's own events."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        meta = getattr(record, "dagster_meta", {})
        line = str(meta.get("orig_message", record.getMessage()))
        if meta.get("dagster_event") is None and not line.startswith("[pipes]"):
            self._display.log(line)


def _logger(display: Display) -> dg.LoggerDefinition:
    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("smart", level=logging.INFO)
        logger.addHandler(_ToDisplay(display))
        return logger

    return terminal
