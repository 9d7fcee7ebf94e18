"""The same text under two tasks or sources: said by the run, in the manifest, once in a mixture, seen by the check."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.checks import artifact_checks
from smart_assets.assets.checks.artifact_checks import rows_are_distinct
from smart_assets.assets.records import SubsetParameters, SubsetSummary
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make, read_rows, run_context
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.projects import in_settings, rows, write_project, write_tasks

SUBSET = "selected_subset[12|equal]"
KEY = "12|equal"


def project_of(folder: Path, *, repeats: int, **changes: Any) -> Project:
    """Two sources; `copy` repeats so many rows of `alpha`, and has others of its own."""
    alpha, own = rows(1, 12), rows(5, 12)
    write_tasks(folder / "one", {"alpha": alpha, "beta": rows(2, 12)})
    write_tasks(folder / "two", {"copy": [*alpha[:repeats], *own[repeats:]]})
    return write_project(
        folder,
        {"unused": []},
        {
            "sources": {name: {"kind": "folder", "path": name} for name in ("one", "two")},
            "validation": {"fraction": 0},
            "contamination": {"exclude": False},
            "budgets": [12],
            "recipes": ["equal"],
            **changes,
        },
    )


def texts(project: Project) -> list[tuple[str, str]]:
    said = {
        row["id"]: (row["prompt"], row["response"])
        for source in ("one", "two")
        for row in read_rows(project, "raw_tasks", "instances.parquet", source)
    }
    return [said[row["id"]] for row in read_rows(project, "selected_subset", "subset.parquet", KEY)]


def test_a_text_under_two_sources_is_told_and_taken_once(tmp_path: Path) -> None:
    project = project_of(tmp_path, repeats=12, budgets=[12, 24])
    lines: list[str] = []
    make(project, "selected_subset", run=run_context(log=lines.append))
    assert any("taken once: 12 texts under `alpha` and `copy`" in line for line in lines)
    assert len(set(texts(project))) == 12
    assert SubsetSummary.read(current(project, "selected_subset", KEY)).repeated_texts == {"alpha and copy": 12}
    all_rows = SubsetSummary.read(current(project, "selected_subset", "24|equal"))
    assert all_rows.exhausted_tasks == ["copy"]
    result = rows_are_distinct(project, KEY)
    assert (result.passed, result.sentence) == (True, "no row and no text stands twice")


def test_repeat_texts_takes_them_as_before(tmp_path: Path) -> None:
    recipes = {"equal": {"preset": "equal", "repeat_texts": True}}
    project = project_of(tmp_path, repeats=12, recipes=recipes, budgets=[36])
    lines: list[str] = []
    make(project, "selected_subset", run=run_context(log=lines.append))
    assert any("under each of them, as `repeat_texts` says: 12 texts" in line for line in lines)
    result = rows_are_distinct(project, "36|equal")
    assert result.passed
    assert "12 texts stand several times, as `repeat_texts` allows" in result.sentence
    manifest = current(project, "selected_subset", "36|equal")
    assert SubsetParameters.read(manifest).texts_once is None
    assert "repeat_texts" not in manifest.parameters["recipe"]


def test_without_repeats_nothing_of_a_manifest_changes(tmp_path: Path) -> None:
    project = project_of(tmp_path, repeats=0)
    made = make(project, "selected_subset")[SUBSET].manifest
    assert "texts_once" not in made.parameters
    assert SubsetSummary.read(made).repeated_texts is None
    repeating = in_settings(recipes={"equal": {"preset": "equal", "repeat_texts": True}})(project)
    assert make(repeating, "selected_subset")[SUBSET].unchanged


def test_a_subset_with_repeats_of_before_is_out_of_date(tmp_path: Path) -> None:
    project = project_of(tmp_path, repeats=12, recipes={"equal": {"preset": "equal", "repeat_texts": True}})
    make(project, "selected_subset")
    now = in_settings(recipes=["equal"])(project)
    assert whole_plan(now)[SUBSET].reasons == ("texts that stand under several tasks are taken once: None -> True",)


@pytest.mark.parametrize("same", ["prompt", "text"])
def test_the_check_looks_at_texts(tmp_path: Path, same: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path, repeats=12)
    if same == "prompt":
        copied = [row | {"response": "another answer"} for row in rows(1, 12)]
        write_tasks(tmp_path / "two", {"copy": copied})
    make(project, "selected_subset")
    every = pa.concat_tables(
        [
            pq.read_table(project.store.artifact(current(project, "raw_tasks", source)) / "instances.parquet")
            for source in ("one", "two")
        ]
    )
    subset = every.select(["id", "task"]).append_column("seed", pa.nulls(every.num_rows, pa.int64()))
    before = artifact_checks._subset  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(artifact_checks, "_subset", lambda *asked: (subset, before(*asked)[1]))
    result = rows_are_distinct(project, KEY)
    assert result.passed is (same == "prompt")
    assert same == "prompt" or result.sentence == "12 texts stand several times: 12 texts under `alpha` and `copy`"
