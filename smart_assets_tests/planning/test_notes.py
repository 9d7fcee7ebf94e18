"""What a plan says before anything is embedded: a task in two sources, and budgets beyond the rows."""

from pathlib import Path
from typing import Any

import pytest

from smart_assets.core.errors import SettingsError, SourceError
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.notes import plan_notes
from smart_assets.planning.plan import make_plan
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import in_settings, rows, write_project, write_tasks


def two_sources(folder: Path, first: str = "alpha", second: str = "alpha", **changes: Any) -> Project:
    for name, task, number in (("one", first, 1), ("two", second, 2)):
        write_tasks(folder / name, {task: rows(number, 12)})
    sources = {name: {"kind": "folder", "path": name} for name in ("one", "two")}
    return write_project(folder, {"unused": []}, {"sources": sources, "budgets": [5], **changes})


def notes(project: Project) -> list[str]:
    desired, current_state = desired_states(project), read_current_state(project)
    return plan_notes(
        project, make_plan(desired, current_state, frozenset(item.key for item in desired)), current_state
    )


def test_a_task_in_two_sources_is_told_before_anything_is_read(tmp_path: Path) -> None:
    project = two_sources(tmp_path)
    [note] = notes(project)
    assert note.startswith(
        "the task `alpha` is in the sources `one` and `two`, and a task lies in one: set `task_prefix`"
    )


def test_it_is_refused_when_the_second_source_is_read(tmp_path: Path) -> None:
    project = two_sources(tmp_path, second="beta")
    make(project, "raw_tasks")
    assert notes(project) == []
    write_tasks(tmp_path / "two", {"alpha": rows(2, 12)})
    good = current(project, "raw_tasks", "two")
    with pytest.raises(SourceError, match="the task `alpha` is in the sources `two` and `one`"):
        make(project, "raw_tasks")
    assert current(project, "raw_tasks", "two") == good
    prefixed: dict[str, Any] = {"kind": "folder", "path": "one", "task_prefix": "x/"}
    fixed = in_settings(sources={"two": {"kind": "folder", "path": "two"}, "one": prefixed})(project)
    make(fixed, "raw_tasks")
    assert notes(fixed) == []


def test_a_task_may_move_from_one_source_to_another(tmp_path: Path) -> None:
    project = two_sources(tmp_path, first="beta", second="alpha")
    make(project, "raw_tasks")
    (tmp_path / "two" / "alpha.jsonl").rename(tmp_path / "one" / "alpha.jsonl")
    write_tasks(tmp_path / "two", {"gamma": rows(3, 12)})
    make(project, "raw_tasks")
    assert notes(project) == []


@pytest.mark.parametrize(("budget", "told"), [(10, False), (24, True)])
def test_a_budget_beyond_the_rows_is_told(tmp_path: Path, budget: int, told: bool) -> None:
    project = two_sources(tmp_path, second="beta", budgets=[budget], validation={"fraction": 0.25})
    make(project, "raw_tasks")
    lines = notes(project)
    assert [line.startswith("the budget 24 cannot be made: there are ") for line in lines] == [True] * told


def test_two_datasets_of_one_task_are_refused_with_the_settings(tmp_path: Path) -> None:
    sources: dict[str, Any] = {
        name: {"kind": "huggingface", "path": "a/b", "split": name} for name in ("train", "validation")
    }
    with pytest.raises(SettingsError, match="the sources `train` and `validation` both have the task `b`"):
        write_project(tmp_path, {"unused": []}, {"sources": sources})
    sources["validation"]["task_prefix"] = "v/"
    write_project(tmp_path, {"unused": []}, {"sources": sources})
