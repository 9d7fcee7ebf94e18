"""All definitions of a project."""

import os
from collections.abc import Mapping

import dagster as dg

from smart_assets.defs.assets import build_assets
from smart_assets.defs.automation import build_jobs, build_schedules, build_sensors
from smart_assets.defs.checks import build_checks
from smart_assets.defs.executors import build_executor
from smart_assets.defs.notify import build_notifiers
from smart_assets.defs.promotion import build_promotion_sensor
from smart_assets.defs.resources import ComputeDevice
from smart_assets.settings import Project


def build_definitions(project: Project, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """Assets, checks, sensors, the schedule, resources and the executor that `smart.yaml` asks for."""
    # Idle threads of torch that spin starve the program beside them; it reads this when it is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    jobs = build_jobs()
    promotion = build_promotion_sensor(project)
    return dg.Definitions(
        assets=build_assets(project),
        asset_checks=build_checks(project),
        jobs=list(jobs.values()),
        sensors=[*build_sensors(project, jobs), *([promotion] if promotion else []), *build_notifiers(project)],
        schedules=build_schedules(project, jobs),
        resources={
            "device": ComputeDevice(
                setting=project.settings.device,
                claims=project.settings.executor == "in_process",  # else a step's process ends before its run
            ),
            "pipes": dg.PipesSubprocessClient(),
        },
        loggers=loggers,
        executor=build_executor(project),
    )
