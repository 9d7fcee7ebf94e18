"""`smart dev`."""

import os
import sys
from pathlib import Path

from smart_assets.cli.start import require_instance
from smart_assets.settings import load_project
from smart_assets.settings.project import CONFIG_VARIABLE


def start_dagster(config: Path | None, port: int) -> None:
    """Become `dagster dev` for the project: UI and daemon on 127.0.0.1, history in the project's folder."""
    from dagster import DagsterInstance

    from smart_assets.defs.orphans import end_orphans

    project = load_project(config)
    require_instance(project)
    os.environ["DAGSTER_HOME"] = str(project.root)
    os.environ[CONFIG_VARIABLE] = str(project.config)
    with DagsterInstance.get() as instance:
        end_orphans(instance)
    os.chdir(project.root)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "smart_assets.definitions", "-h", "127.0.0.1"]
    os.execv(sys.executable, [*command, "-p", str(port)])
