"""Subsets derived again in an empty store: equal, or tampered and where they differ; and the command."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.assets.parquet import write_table
from smart_assets.core.errors import SmartError
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.reproduce.tables import first_difference
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.subsets_project import again, smart, state, tamper


@pytest.fixture
def project(subsets_folder: Path, tmp_path: Path) -> Project:
    return own_copy(subsets_folder, tmp_path)


def subset_rows(project: Project, recipe: str) -> list[dict[str, Any]]:
    folder = project.store.artifact(current(project, "selected_subset", f"20|{recipe}"))
    return pq.read_table(folder / "subset.parquet").to_pylist()


@pytest.mark.parametrize("recipe", ["smart", "random"])
def test_a_subset_is_what_its_recipe_gives_and_the_store_stays_as_it_is(
    project: Project, tmp_path: Path, recipe: str
) -> None:
    before = state(project)
    found = again(project, tmp_path, recipe)
    assert found.holds
    assert found.subset.identical
    assert found.subset.stored == found.subset.reproduced
    assert found.notes == ()
    assert state(project) == before
    made = {path.name for path in (tmp_path / "again" / "artifacts").iterdir()}
    anew = {"selected_subset", "evaluation_overlap"} | (
        {"instance_orderings", "task_scores"} if recipe == "smart" else set()
    )
    links = {path.relative_to(tmp_path / "again" / "artifacts").parts[0] for path in made_links(tmp_path / "again")}
    assert made - links == anew, "what is proved is made anew; only rows and vectors are given"
    shutil.rmtree(tmp_path / "again")
    assert state(project) == before


def made_links(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink()]


def test_a_tampered_ordering_shows_as_the_first_row_that_differs(project: Project, tmp_path: Path) -> None:
    honest = subset_rows(project, "smart")

    def swap(path: Path) -> None:
        table = pq.read_table(path).to_pylist()
        ours = [row for row in table if row["task"] == "beta"]
        ours[0]["id"], ours[-1]["id"] = ours[-1]["id"], ours[0]["id"]
        write_table(pa.Table.from_pylist(table, pq.read_schema(path)), path)

    tamper(project, current(project, "instance_orderings", "small"), "orderings.parquet", swap)
    make(project, "selected_subset")
    tampered = subset_rows(project, "smart")
    expected = next(place for place, pair in enumerate(zip(tampered, honest, strict=True)) if pair[0] != pair[1])
    found = again(project, tmp_path)
    assert not found.holds
    first = found.subset.first
    assert first is not None
    assert (first.position, first.columns) == (expected, ("id",))
    assert (first.stored, first.reproduced) == (tampered[expected], honest[expected])
    assert (found.subset.only_stored, found.subset.only_reproduced) == (1, 1)
    assert found.subset.budgets == ()
    scores, orderings = found.steps
    assert (scores.key, scores.first) == ("task_scores", None)
    assert orderings.first is not None
    assert orderings.first.columns == ("id",)
    assert (orderings.first.stored or {})["rank"] == 0, "where it went astray"


def move_a_row_of_budget(path: Path) -> None:
    table = pq.read_table(path).to_pylist()
    table[0]["budget"] += 1
    table[1]["budget"] -= 1
    write_table(pa.Table.from_pylist(table, pq.read_schema(path)), path)


@pytest.mark.parametrize("in_place", [True, False], ids=["in the artifact", "in a new artifact"])
def test_a_tampered_budget_shows_by_its_task(project: Project, tmp_path: Path, in_place: bool) -> None:
    manifest = current(project, "selected_subset", "20|smart")
    budgets = pq.read_table(project.store.artifact(manifest) / "task_budgets.parquet").to_pylist()
    if in_place:
        move_a_row_of_budget(project.store.artifact(manifest) / "task_budgets.parquet")
    else:
        tamper(project, manifest, "task_budgets.parquet", move_a_row_of_budget)
    found = again(project, tmp_path)
    assert not found.holds
    assert found.subset.first is None
    assert [(one.task, one.columns) for one in found.subset.budgets] == [
        (row["task"], ("budget",)) for row in budgets[:2]
    ]
    assert found.subset.budgets[0].reproduced == budgets[0]
    assert found.subset.damaged == (("task_budgets.parquet",) if in_place else ())


def test_gains_within_rounding_leave_the_rows_what_they_are(project: Project, tmp_path: Path) -> None:
    def scaled(by: float) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            table = pq.read_table(path)
            gains = pc.multiply(table["gain"], by)
            write_table(table.set_column(table.schema.get_field_index("gain"), table.schema.field("gain"), gains), path)

        return change

    honest = current(project, "selected_subset", "20|smart")
    for by, holds in ((1 + 1e-9, True), (1.01, False)):
        project.store.record(honest)
        tamper(project, honest, "subset.parquet", scaled(by))
        found = again(project, tmp_path)
        assert found.subset.same_rows
        assert not found.subset.identical
        assert found.holds == holds
        assert found.subset.figures_apart == pytest.approx(by - 1, rel=0.02)
        assert found.subset.first is not None
        assert found.subset.first.columns == ("gain",)
        assert [step.first for step in found.steps] == ([] if holds else [None, None]), "only the subset was changed"
        shutil.rmtree(tmp_path / "again")
        shown = smart(project, "reproduce", "20", "smart")
        assert shown.exit_code == (0 if holds else 1)
        assert ("the same rows in the same places: 20|smart" in shown.output) == holds


def test_the_command_says_what_it_found(project: Project, tmp_path: Path) -> None:
    done = smart(project, "reproduce", "20", "random", "--keep", str(tmp_path / "kept"))
    assert done.exit_code == 0, done.output
    assert re.search(r"identical: 20\|random [0-9a-f]{12}\n", done.output)
    assert (tmp_path / "kept" / "manifests").is_dir()
    manifest = current(project, "selected_subset", "20|smart")

    def drop_first(path: Path) -> None:
        write_table(pq.read_table(path).slice(1), path)

    def lose_weights(path: Path) -> None:
        table = pq.read_table(path)
        write_table(table.set_column(table.schema.get_field_index("weight"), "weight", [[0.0] * len(table)]), path)

    tampered = tamper(project, manifest, "subset.parquet", drop_first)
    tamper(project, tampered, "task_budgets.parquet", lose_weights)
    done = smart(project, "reproduce", "20", "smart")
    assert done.exit_code == 1
    assert "the first difference is at position 0" in done.output
    assert "19 rows stored, 20 reproduced; 0 only stored, 1 only reproduced" in done.output
    assert "[red]hostile[/red]" in done.output
    done = smart(project, "reproduce", "20", "smart", "--json")
    assert done.exit_code == 1
    told: Mapping[str, Any] = json.loads(done.stdout)
    assert told["holds"] is told["subset"]["identical"] is False
    assert told["subset"]["first"]["position"] == 0
    assert told["subset"]["rows"] == [19, 20]
    assert not list(tmp_path.glob("**/smart-reproduce-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["11", "smart"], r"no subset '11\|smart'; there are subsets: 20\|random@[0-9a-f]{12}, 20\|smart@"),
        (["20", "smart", "--version", "00000000"], r"no subset '20\|smart@0{8}'; there are subsets: 20\|smart@"),
        (["20", "smart", "--version", "xyz"], r"names no subset or checkpoint: write 'BUDGET\|RECIPE'"),
        (["20", "smart", "--keep", "tasks"], r"tasks is there already: .* name a new folder"),
    ],
)
def test_what_cannot_be_reproduced_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(project.root)
    done = smart(project, "reproduce", *arguments)
    assert isinstance(done.exception, SmartError)
    assert re.search(message, str(done.exception)), str(done.exception)


mixture_rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abc"),
            "source": st.just("s"),
            "task": st.sampled_from("tu"),
            "template": st.just(""),
            "rank": st.integers(0, 1),
            "gain": st.sampled_from([None, 0.0, 1.5]),
            "seed": st.sampled_from([None, 0, 1]),
        }
    ),
    max_size=4,
)


@given(mixture_rows, mixture_rows)
@settings(deadline=None)
def test_the_first_difference_is_that_of_a_plain_loop(stored: list[Any], reproduced: list[Any]) -> None:
    places = range(max(len(stored), len(reproduced)))
    expected = next((at for at in places if stored[at : at + 1] != reproduced[at : at + 1]), None)
    found = first_difference(*(pa.Table.from_pylist(one, MIXTURE_COLUMNS) for one in (stored, reproduced)))
    assert (found and found.position) == expected
    if found is not None and found.stored is not None and found.reproduced is not None:
        differ = [name for name in MIXTURE_COLUMNS.names if found.stored[name] != found.reproduced[name]]
        assert found.columns == tuple(differ)
