"""`evaluate.unseen_tasks`: their rows are in no subset of any recipe, and are evaluated like all others."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.assets import catalog
from smart_assets.assets.checks.artifact_checks import budgets_hold, no_evaluation_text, rows_are_distinct
from smart_assets.assets.reading.rows import read_split
from smart_assets.assets.reading.unseen_tasks import seen_tasks
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.core.errors import SelectionError
from smart_assets.planning.graph import partitions
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.make import made_again, make
from smart_assets_tests.support.projects import write_project

RECIPES = {
    "smart": "smart",
    "proportional": "proportional",
    "equal": "equal",
    "random": "random",
    "equal_greedy": {"task_budgets": "equal", "instances": "facility_location"},
}
GRID = [f"{budget}|{recipe}" for budget in (10, 20) for recipe in RECIPES]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subsets of all tasks."""
    folder = tmp_path_factory.mktemp("unseen")
    make(write_project(folder, changes={"recipes": RECIPES}), "selected_subset")
    return folder


@pytest.fixture
def root(made_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_once, tmp_path / "project")
    return tmp_path / "project"


def with_unseen(root: Path, *names: str, **changes: Any) -> Project:
    path = root / "smart.yaml"
    settings = {**yaml.safe_load(path.read_text()), "evaluate": {"unseen_tasks": list(names)}, **changes}
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return load_project(path)


def tasks_of(project: Project, asset: str, file: str, partition: str | None = None) -> set[str]:
    manifest = project.store.current(asset, partition)
    assert manifest is not None
    return set(pq.read_table(project.store.artifact(manifest) / file)["task"].to_pylist())


def test_no_recipe_selects_a_row_of_an_unseen_task(root: Path) -> None:
    project = with_unseen(root, "gamma")
    outcomes = make(project, "selected_subset")
    assert made_again(outcomes) == ["task_scores", *(f"selected_subset[{key}]" for key in GRID)]
    assert tasks_of(project, "task_scores", "scores.parquet") == {"alpha", "beta"}
    for key in GRID:
        assert tasks_of(project, "selected_subset", "subset.parquet", key) <= {"alpha", "beta"}
        assert tasks_of(project, "selected_subset", "task_budgets.parquet", key) == {"alpha", "beta"}
        for result in (budgets_hold, no_evaluation_text, rows_are_distinct):
            assert result(project, key).passed
    held_out = read_split(project, inputs(project), "validation")
    assert "gamma" in held_out["task"].to_pylist()


def test_a_subset_made_before_a_task_was_unseen_fails_its_check(root: Path) -> None:
    result = no_evaluation_text(with_unseen(root, "alpha"), "20|equal")
    assert not result.passed
    subset = pq.read_table(subset_path(load_project(root / "smart.yaml"), "20|equal"))
    rows_of_alpha = subset.filter(pc.equal(subset["task"], "alpha")).num_rows
    assert result.figures["held-out rows in the subset"] == rows_of_alpha
    assert result.warning is False
    # Rows that may not be trained on stop it, whatever text is kept.
    kept = with_unseen(root, "alpha", contamination={"exclude": False})
    result = no_evaluation_text(kept, "20|equal")
    assert (result.passed, result.warning) == (False, False), "rows that may not be trained on stop it whatever is kept"


def subset_path(project: Project, partition: str) -> Path:
    manifest = project.store.current("selected_subset", partition)
    assert manifest is not None
    return project.store.artifact(manifest) / "subset.parquet"


def inputs(project: Project) -> Inputs:
    manifest = project.store.current("raw_tasks", "small")
    assert manifest is not None
    return Inputs(project.store, {AssetPartition("raw_tasks", "small"): manifest})


def test_the_subset_is_that_of_a_project_without_the_task(root: Path, tmp_path: Path) -> None:
    project = with_unseen(root, "beta")
    make(project, "selected_subset")
    other = tmp_path / "other"
    shutil.copytree(root / "tasks", other / "tasks")
    (other / "tasks" / "beta.jsonl").unlink()
    shutil.copy(root / "smart.yaml", other)
    without = with_unseen(other)
    make(without, "selected_subset")
    for key in GRID:
        assert subset_path(project, key).read_bytes() == subset_path(without, key).read_bytes()


def test_without_unseen_tasks_nothing_is_made_again(root: Path) -> None:
    project = with_unseen(root)
    assert made_again(make(project, "selected_subset")) == []
    for asset in catalog.names():
        for key in partitions(project, asset):
            assert "unseen_tasks" not in str(catalog.asset(asset).step.desired(project, key.partition).parameters)


def test_the_order_of_the_names_does_not_count(root: Path) -> None:
    make(with_unseen(root, "gamma", "alpha", budgets=[10]), "selected_subset")
    assert made_again(make(with_unseen(root, "alpha", "gamma", "alpha"), "selected_subset")) == []


@pytest.mark.parametrize("target", ["task_scores", "selected_subset"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["gama"], r"no source has: 'gama' \(names like it: gamma\); correct the names", id="like another"),
        pytest.param(["gamma", "zzz"], r"'zzz' \(names like it: none\)", id="like none"),
        pytest.param(["alpha", "beta", "gamma"], "names all 3 tasks, so that none is left", id="all"),
    ],
)
def test_names_that_cannot_be(root: Path, target: str, names: list[str], message: str) -> None:
    project = with_unseen(root, *names, recipes=["random"])
    with pytest.raises(SelectionError, match=message):
        make(project, target)


@given(st.sets(st.text(), min_size=1), st.data())
def test_seen_and_unseen_are_all_tasks(tasks: set[str], data: st.DataObject) -> None:
    unseen = data.draw(st.sets(st.sampled_from(sorted(tasks)), max_size=len(tasks) - 1))
    assert seen_tasks(unseen, tasks) == sorted(tasks - unseen)
