"""Runs asked of Dagster for steps of the plan: what is asked for once, tried again, or under way already."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from smart_assets.lineage.plan import PlanStep
from smart_assets.pipeline.step import AssetPartition
from smart_assets.store.hashing import json_version

REASON_TAG = "smart/reason"
STATE_TAG = "smart/state"
TAG_LENGTH = 250


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no run is asked for."""

    why: str


def request_run(
    instance: dg.DagsterInstance, job: str, steps: Sequence[PlanStep], reason: str, attempts: int
) -> dg.RunRequest | Refusal:
    """A run of some steps of one partition key.

    The state of the steps keys the run: asking twice gives one run. A run that failed is tried again, `attempts` times
    in all, until the state changes; one that a person cancelled is not.
    """
    first = steps[0].key
    state = json_version([[str(step.key), step.state] for step in steps])
    failed = _count(instance, state, dg.DagsterRunStatus.FAILURE)
    again = "it is tried again when something changes, or started by hand"
    if _count(instance, state, dg.DagsterRunStatus.CANCELED):
        return Refusal(f"{first}: its last run was cancelled; {again}")
    if failed >= attempts:
        return Refusal(f"{first}: {failed} runs failed; {again}")
    return dg.RunRequest(
        job_name=job,
        run_key=f"{state}-{failed}",
        asset_selection=[dg.AssetKey(step.key.asset) for step in steps],
        partition_key=first.partition,
        tags={REASON_TAG: reason[:TAG_LENGTH], STATE_TAG: state},
    )


def under_way(instance: dg.DagsterInstance) -> set[AssetPartition]:
    """The partitions that a queued or running run is about to make."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES)))
    return {
        AssetPartition(key.to_user_string(), run.tags.get(PARTITION_NAME_TAG))
        for run in runs
        for key in run.asset_selection or ()
    }


def _count(instance: dg.DagsterInstance, state: str, status: dg.DagsterRunStatus) -> int:
    return instance.get_runs_count(dg.RunsFilter(tags={STATE_TAG: state}, statuses=[status]))
