"""Runs asked of Dagster for steps of the plan: what is asked for once, tried again, or under way already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition
from smart_assets.core.safe_text import in_line
from smart_assets.defs.dagster_private import NOT_FINISHED_STATUSES, PARTITION_NAME_TAG
from smart_assets.planning.plan import PlanStep
from smart_assets.store.hashing import json_version

REASON_TAG = "smart/reason"
STATE_TAG = "smart/state"
TAG_LENGTH = 250
LONGEST_BEFORE_START = timedelta(minutes=10)  # between a run's record and its place in the queue


@dataclass(frozen=True, slots=True)
class SkipRun:
    """Why no run is asked for."""

    why: str
    for_now: bool = False  # it goes on by itself


def request_run(
    instance: dg.DagsterInstance, steps: Sequence[PlanStep], reason: str, attempts: int
) -> dg.RunRequest | SkipRun:
    """A run of some steps of one partition key.

    The state of the steps keys the run: asking twice gives one run. A run that failed is tried again, `attempts` times
    in all, until the state changes; one that a person cancelled is not. A state that comes again after a run dealt with
    it, as in a store that was emptied, is asked for anew.
    """
    first = steps[0].key
    state = json_version([[str(step.key), step.state] for step in steps])
    failed, made = (_count(instance, state, dg.DagsterRunStatus[name]) for name in ("FAILURE", "SUCCESS"))
    again = "it is tried again when something changes, or started by hand"
    if _count(instance, state, dg.DagsterRunStatus.CANCELED):
        return SkipRun(f"{first}: its last run was cancelled; {again}")
    if failed >= attempts:
        return SkipRun(f"{first}: {failed} run{'s' * (failed != 1)} failed; {again}")
    return dg.RunRequest(
        job_name=catalog.asset(first.asset).job,
        run_key=f"{state}-{failed}-{made}",
        asset_selection=[dg.AssetKey(step.key.asset) for step in steps],
        partition_key=first.partition,
        tags={REASON_TAG: in_line(reason)[:TAG_LENGTH], STATE_TAG: state},
    )


def under_way(instance: dg.DagsterInstance) -> set[AssetPartition]:
    """The partitions that a queued or running run is about to make.

    A run that was written down and never queued, its process killed between the two, does not hold up others for ever.
    """
    begun = [status for status in NOT_FINISHED_STATUSES if status is not dg.DagsterRunStatus.NOT_STARTED]
    runs = [
        *instance.get_runs(dg.RunsFilter(statuses=begun)),
        *instance.get_runs(
            dg.RunsFilter(
                statuses=[dg.DagsterRunStatus.NOT_STARTED], created_after=datetime.now(UTC) - LONGEST_BEFORE_START
            )
        ),
    ]
    assets_of: dict[str, tuple[str, ...]] = {**catalog.jobs()}
    return {
        AssetPartition(key.to_user_string(), run.tags.get(PARTITION_NAME_TAG))
        for run in runs
        for key in run.asset_selection or map(dg.AssetKey, assets_of.get(run.job_name, ()))  # a whole job names none
    }


def _count(instance: dg.DagsterInstance, state: str, status: dg.DagsterRunStatus) -> int:
    return instance.get_runs_count(dg.RunsFilter(tags={STATE_TAG: state}, statuses=[status]))
