"""`smart init`, `smart sample` and `smart dev`."""

import json
import os
import sys
from importlib.resources import files
from pathlib import Path

import typer

from smart_assets.cli.terminal import console, literal
from smart_assets.core.errors import SettingsError
from smart_assets.settings import Project, load_project
from smart_assets.settings.project import CONFIG_VARIABLE

# Beside smart.yaml; DAGSTER_HOME is the project's folder, and Dagster reads its dagster.yaml there.
INSTANCE_FILES = {"dagster.yaml": "dagster.yaml", "workspace.yaml": "workspace.yaml", "gitignore": ".gitignore"}
SAMPLE_FOLDER = "tasks/sample"
_NO_LICENCE = "    # license: null"  # the line of the template


def template(name: str) -> str:
    """Return the text of a file that `smart init` writes."""
    return files("smart_assets.cli").joinpath("templates", name).read_text(encoding="utf-8")


def init_project(folder: Path, sample: bool) -> None:
    """Write the files of a new project; what is there already is left alone.

    Raises:
        SettingsError: the folder has a smart.yaml, or cannot be written.
    """
    config = folder / "smart.yaml"
    if config.exists():
        raise SettingsError(f"{config} is there already: edit it, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_instance_files(folder)
        config.write_text(_with_licence(template("smart.yaml"), _asked_licence()), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}") from error
    console.print(literal(f"{config} is written."))
    if sample:
        write_sample_tasks(folder / SAMPLE_FOLDER, seed=23)
        console.print(literal(f"Next: cd {folder} && smart run --select selected_subset"))
    else:
        console.print(literal(f"Put task files into {folder / SAMPLE_FOLDER}, or name your own under `sources:`."))


def _asked_licence() -> str:
    """Return the licence of the rows, asked for where somebody can answer; empty where it is not known."""
    if not sys.stdin.isatty():
        return ""
    question = "Licence of the tasks' rows, as SPDX has it (CC-BY-4.0) or in words; empty where it is not known"
    return str(typer.prompt(question, default="", show_default=False)).strip()


def _with_licence(settings: str, licence: str) -> str:
    """Return the template's settings with the licence of its source; JSON's quotes are YAML's too."""
    return settings.replace(_NO_LICENCE, f"    license: {json.dumps(licence)}") if licence else settings


def write_instance_files(folder: Path) -> None:
    """Write the Dagster files that are not there yet."""
    for name, target in INSTANCE_FILES.items():
        if not (folder / target).exists():
            (folder / target).write_text(template(name), encoding="utf-8")


def require_instance(project: Project) -> None:
    """Make sure that the project's folder can be a Dagster home."""
    if not (project.root / "dagster.yaml").exists():
        (project.root / "dagster.yaml").write_text(template("dagster.yaml"), encoding="utf-8")


def write_sample_tasks(folder: Path, seed: int) -> None:
    """Write the bundled tasks."""
    from smart_assets.sample import write_sample

    summary = write_sample(folder, seed)
    console.print(literal(f"{summary.total} rows of {len(summary.rows)} tasks are in {folder}."))


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
