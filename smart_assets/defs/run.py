"""Running the plan in this process: every out-of-date batch as one Dagster run, with its history in the instance."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import dagster as dg

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition
from smart_assets.defs.agreement import record_current
from smart_assets.defs.build import build_definitions
from smart_assets.defs.checks import SENTENCE
from smart_assets.defs.dagster_private import SerializableErrorInfo, says_step_is_skipped
from smart_assets.defs.orphans import end_orphans
from smart_assets.planning.graph import batches, desired_state, desired_states, read_current_state
from smart_assets.planning.plan import PlanStep, make_plan
from smart_assets.settings import Project

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__


class Display(Protocol):
    """Where a run of the plan tells what it does."""

    def begin(self, step: PlanStep) -> None:
        """Show that a step is about to be made."""
        ...

    def log(self, line: str) -> None:
        """Show a line of a step's log."""
        ...

    def warn(self, line: str) -> None:
        """Show a line that must not be missed."""
        ...

    def end(self, step: PlanStep, error: str | None) -> None:
        """Show that a step ended well, or with an error."""
        ...


@dataclass(slots=True)
class RunSummary:
    """What a run of the plan came to. What waited for an input that did not change is in none of the three."""

    made: list[AssetPartition] = field(default_factory=list[AssetPartition])
    failed: dict[AssetPartition, str] = field(default_factory=dict[AssetPartition, str])
    held_up: dict[AssetPartition, str] = field(default_factory=dict[AssetPartition, str])

    def stopped(self, inputs: Iterable[AssetPartition]) -> AssetPartition | None:
        """Return the first input that this run was to bring up to date and could not."""
        return next((key for key in inputs if key in self.failed or key in self.held_up), None)


def run_plan(project: Project, only: frozenset[AssetPartition], display: Display) -> RunSummary:
    """Make every out-of-date partition of `only`, inputs first; what fails holds up only what is made from it.

    History goes to the Dagster instance of the project's folder, where the UI shows it.
    """
    os.environ["DAGSTER_HOME"] = str(project.root)
    job = build_definitions(project, {"console": _logger(display)}).resolve_implicit_global_asset_job_def()
    summary = RunSummary()
    with dg.DagsterInstance.get() as instance:
        end_orphans(instance)
        for batch in batches(project):
            steps = _out_of_date(project, [key for key in batch if key in only], summary)
            if not steps:
                continue
            for step in steps:
                display.begin(step)
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(step.key.asset) for step in steps],
                partition_key=steps[0].key.partition,
                run_config={"loggers": {"console": {}}},
                raise_on_error=False,
            )
            _record_results(steps, result, summary, display)
            if _interrupted(result):
                raise KeyboardInterrupt
        current_state = read_current_state(project)
        record_current(project, instance, make_plan(desired_states(project), current_state, only), current_state)
    return summary


def _out_of_date(project: Project, batch: Sequence[AssetPartition], summary: RunSummary) -> list[PlanStep]:
    """Return the steps of a batch that are to be made; what cannot be made is noted instead."""
    wants = [desired_state(project, key) for key in batch]
    # Planned now, not before the run: what was made in the meantime may have changed nothing.
    current_state = read_current_state(project)
    plan = make_plan(wants, current_state, frozenset(batch))
    steps: list[PlanStep] = []
    for step, want in zip(plan, wants, strict=True):
        if step.status == "blocked":
            summary.held_up[step.key] = step.reasons[0]
        elif step.to_do:
            # A source that cannot be read now still has its last rows: what is made from them goes on.
            usable = {
                key
                for key in summary.held_up
                if catalog.asset(key.asset).partitioned_by == "source" and current_state.current(key) is not None
            }
            inputs = [item.source for item in want.inputs if not item.optional and item.source not in usable]
            stopped = summary.stopped(inputs)
            if stopped is None:
                steps.append(step)
            else:
                summary.held_up[step.key] = f"{stopped} is not up to date"
    return steps


def _record_results(
    steps: Sequence[PlanStep], result: dg.ExecuteInProcessResult, summary: RunSummary, display: Display
) -> None:
    """Note what became of each step: an asset is made when Dagster recorded it and none of its checks failed."""
    recorded = {
        event.asset_key: event.materialization.metadata["unchanged"].value
        for event in result.all_events
        if event.is_step_materialization
    }
    errors = _errors(result, [step.key.asset for step in steps])
    for step in steps:
        error = errors.get(step.key.asset)
        stopped = summary.stopped(step.after)
        if error is None and dg.AssetKey(step.key.asset) not in recorded:
            if stopped is not None:
                summary.held_up[step.key] = f"{stopped} is not up to date"
                continue
            error = "the run ended before it"
        if error is not None:
            summary.failed[step.key] = error
        elif not recorded[dg.AssetKey(step.key.asset)]:
            summary.made.append(step.key)
        display.end(step, error)


def _errors(result: dg.ExecuteInProcessResult, assets: Sequence[str]) -> dict[str, str]:
    """Asset -> why it failed: its own error, that of a check, or the check that it did not pass; warnings are none."""
    errors: dict[str, str] = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key is not None:
            failure = event.step_failure_data
            description = failure.user_failure_data.description if failure.user_failure_data else None
            reason = description or _first_cause(failure.error)
            reason = "interrupted" if _INTERRUPTED in reason else reason
            # The step of a check is called by its asset and its own name.
            owners = [asset for asset in assets if event.step_key == asset or event.step_key.startswith(f"{asset}_")]
            errors.setdefault(max(owners, key=len, default=event.step_key), reason)
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            asset = check.asset_key.to_user_string()
            errors.setdefault(asset, f"the check {check.check_name} failed: {check.metadata[SENTENCE].value}")
    return errors


def _first_cause(error: SerializableErrorInfo | None) -> str:
    """Return what an error that is none of ours comes down to, without the names that Dagster wraps it in."""
    if error is None:
        return "no reason was given"
    while (inner := error.cause or error.context) is not None:
        error = inner
    return f"an error of the program, which the UI shows in full: {error.message.strip()}"


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether somebody stopped the run: then what comes after it is not begun."""
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    while failures:
        error = failures.pop()
        if error is not None:
            if error.cls_name == _INTERRUPTED:
                return True
            failures += [error.cause, error.context]
    return False


class _ToDisplay(logging.Handler):
    """Passes on what steps say and that one waits, and leaves out Dagster's other events."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        meta = getattr(record, "dagster_meta", {})
        line = str(meta.get("orig_message", record.getMessage()))
        event = meta.get("dagster_event")
        if event is not None and "blocked by limit for pool" in (event.message or ""):
            self._display.log("waits for its place in a pool: another run is at work there, see the UI")
        elif event is None and not line.startswith("[pipes]") and not says_step_is_skipped(line):
            (self._display.warn if record.levelno >= logging.WARNING else self._display.log)(line)


def _logger(display: Display) -> dg.LoggerDefinition:
    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("smart", level=logging.INFO)
        logger.addHandler(_ToDisplay(display))
        return logger

    return terminal
