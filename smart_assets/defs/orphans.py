"""Runs whose process died: Dagster's default launcher never notices, and they would hold their place in a pool.

With the in-process executor each run is tagged with the process that works on it. When this project is started again,
runs that are under way on this machine in a process that is no more are marked as failed, and their places in pools are
freed.
"""

import os
import platform
from pathlib import Path

import dagster as dg

from smart_assets.defs.dagster_private import IN_PROGRESS_RUN_STATUSES

WORKER_TAG = "smart/worker"


def claim_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag a run with this process: machine, process id and the time it started, since ids come again."""
    instance.add_run_tags(run_id, {WORKER_TAG: f"{platform.node()} {os.getpid()} {_started(os.getpid())}"})


def end_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark the dead runs of this machine as failed; gives their ids."""
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES))):
        node, _, process = run.tags.get(WORKER_TAG, "").partition(" ")
        pid, _, started = process.partition(" ")
        if node == platform.node() and _started(int(pid)) != started:
            instance.report_run_failed(run, f"the process {pid} that worked on this run is no more")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where there is none, or one that only waits to be
    reaped: in a container that may take for ever."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]
