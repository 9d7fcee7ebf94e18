"""A subset whose seeds have their own tasks: its figures, the report, `smart sql`, and subsets of older code."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smart_assets.assets.reading.report_content import task_rows, trained_tasks
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.core.formatting import mean_count
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.subsets_project import again, as_made_before_seeds_decided_ties, smart, write

SEEDS = [0, 5, 6]  # they order the three tasks differently


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seeds")
    finetune = {"base_model": "tiny-model", "seeds": SEEDS}
    make(write(root, recipes=["equal"], budgets=[1, 20], finetune=finetune), "selected_subset")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return own_copy(made, tmp_path)


def budgets_of(project: Project, partition: str) -> dict[tuple[int, str], int]:
    folder = project.store.artifact(current(project, "selected_subset", partition))
    rows: list[dict[str, Any]] = pq.read_table(folder / "task_budgets.parquet").to_pylist()
    return {(row["seed"], row["task"]): row["budget"] for row in rows}


def test_figures_are_those_of_one_row_set(project: Project) -> None:
    manifest = current(project, "selected_subset", "1|equal")
    figures = ("row sets", "tasks", "effective tasks", "largest task budget")
    assert [manifest.summary[name] for name in figures] == [3, 1, 1.0, 1]
    inputs = Inputs(project.store, {AssetPartition("selected_subset", "1|equal"): manifest})
    takers = {
        seed: {task for (one, task), rows in budgets_of(project, "1|equal").items() if one == seed and rows}
        for seed in SEEDS
    }
    assert len(set.union(*takers.values())) > 1
    assert {seed: trained_tasks(inputs, "1|equal", seed) for seed in SEEDS} == takers
    rows = task_rows(inputs, "1|equal")
    assert sum(rows.values()) == pytest.approx(1)
    assert set(rows) == set.union(*takers.values()), "no mean is rounded to no row"


@pytest.mark.parametrize(
    ("rows", "text"), [(1200, "1,200"), (12.5, "12.5"), (1 / 3, "0.33"), (0, "0"), (2 / 3 + 1 / 3 + 1e-12, "1")]
)
def test_a_mean_of_rows_is_no_round_number(rows: float, text: str) -> None:
    assert mean_count(rows) == text


def test_the_view_has_the_budgets_of_each_seed_and_reads_older_tables(project: Project) -> None:
    as_made_before_seeds_decided_ties(project, "1|equal")
    found = connect(project, print).execute("SELECT budget_total, seed, sum(budget) FROM task_budgets GROUP BY ALL")
    assert set(found.fetchall()) == {(1, None, 1), *((20, seed, 20) for seed in SEEDS)}


def test_budgets_that_older_code_gave_to_all_seeds_differ_where_a_seed_has_others(
    project: Project, tmp_path: Path
) -> None:
    budgets = budgets_of(project, "20|equal")
    other = {(seed, task): budget for (seed, task), budget in budgets.items() if budget != budgets[0, task]}
    assert other
    as_made_before_seeds_decided_ties(project, "20|equal")
    found = again(project, tmp_path, "equal")
    assert not found.holds
    assert found.subset.first is None
    assert {(one.seed, one.task): (one.reproduced or {})["budget"] for one in found.subset.budgets} == other
    assert {one.columns for one in found.subset.budgets} == {("budget",)}
    assert any("made by code version 2" in note for note in found.notes)
    shown = smart(project, "reproduce", "20", "equal")
    assert shown.exit_code == 1
    assert "seed" in shown.output
