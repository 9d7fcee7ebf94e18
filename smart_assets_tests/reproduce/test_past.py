"""Subsets derived again by the settings of then and from the rows of then, whatever was changed or collected since."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from smart_assets.assets.selected_subset import CODE_VERSION
from smart_assets.core.errors import SmartError, StoreError
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import own_copy, rows, write_tasks
from smart_assets_tests.support.subsets_project import again, as_made_before_seeds_decided_ties, edit, write


@pytest.fixture
def project(subsets_folder: Path, tmp_path: Path) -> Project:
    return own_copy(subsets_folder, tmp_path)


def test_settings_are_those_of_then(project: Project, tmp_path: Path) -> None:
    changed = edit(
        project,
        "recipes:\n- smart\n- random\n",
        "selection: {engine: submodlib, approximate_above: 3}\nvalidation: {fraction: 0.3, similarity: 0.9}\n"
        "recipes: {smart: {preset: smart, task_budgets: {kind: submodular, temperature: 3}}}\n",
    )
    found = again(changed, tmp_path)
    assert found.holds
    assert any("recipe `smart`: task_budgets.temperature: 1.0 -> 3" in note for note in found.notes), found.notes
    shutil.rmtree(tmp_path / "again")
    random = again(changed, tmp_path, "random")
    assert random.holds
    assert random.notes == ("smart.yaml has no 20|random any more",)


def test_approximate_orderings_are_approximated_again(project: Project, tmp_path: Path) -> None:
    section = "selection: {approximate_above: 15}\ndevice"
    make(edit(project, "device", section), "selected_subset")
    approximate = current(project, "instance_orderings", "small")
    assert approximate.summary["approximate orderings"]
    plain = edit(project, section, "selection: {approximation: stochastic_greedy}\ndevice")
    with pytest.raises(SmartError, match=r"instance_orderings\[small\] .* approximate: .*nearest_neighbours.* is gone"):
        again(plain, tmp_path)
    assert not (tmp_path / "again").exists(), "refused before anything is made"
    assert again(edit(plain, "selection: {approximation: stochastic_greedy}\n", ""), tmp_path).holds


def test_two_sources_that_leak_into_each_other(tmp_path: Path) -> None:
    more = [{"t": f"copy {index}", **row} for index, row in enumerate(rows(1, 40))]
    write_tasks(tmp_path / "more", {"all": more})
    sources: dict[str, Any] = {
        name: {"kind": "folder", "path": path, "columns": {"task": "t"}}
        for name, path in (("one", "tasks"), ("two", "more"))
    }
    project = write(tmp_path, sources=sources, validation={"fraction": 0.4})
    make(project, "selected_subset")
    left_out = "rows left out for evaluation text"
    assert current(project, "selected_subset", "20|smart").summary[left_out] > 0
    swapped = write(tmp_path, sources={name: sources[name] for name in ("two", "one")})
    for recipe in ("smart", "random"):
        assert again(swapped, tmp_path, recipe).holds
        shutil.rmtree(tmp_path / "again")


def test_a_source_that_is_gone_from_smart_yaml_is_still_that_of_then(project: Project, tmp_path: Path) -> None:
    assert again(edit(project, "small:", "other:"), tmp_path).holds


def test_a_version_of_the_past_is_derived_from_the_rows_of_then(project: Project, tmp_path: Path) -> None:
    old = current(project, "selected_subset", "20|smart")
    lines = (project.root / "tasks" / "all.jsonl").read_text().splitlines()
    (project.root / "tasks" / "all.jsonl").write_text("\n".join(lines[:30] + lines[50:]))
    make(project, "selected_subset")
    new = current(project, "selected_subset", "20|smart")
    assert new.content_version != old.content_version
    for version in (old.content_version[:8], None):
        found = again(project, tmp_path, version=version)
        assert found.holds
        assert found.subset.stored == (new if version is None else old).content_version
        shutil.rmtree(tmp_path / "again")


@pytest.mark.parametrize("recipe", ["smart", "random"])
def test_older_code_is_told_and_what_it_gave_alike_is_the_same(project: Project, tmp_path: Path, recipe: str) -> None:
    as_made_before_seeds_decided_ties(project, f"20|{recipe}")
    found = again(project, tmp_path, recipe)
    assert found.subset.identical
    assert found.subset.stored == found.subset.reproduced
    assert found.notes == (f"selected_subset[20|{recipe}] was made by code version 2, here it is {CODE_VERSION}",)


def test_collected_files_are_compared_by_their_hashes(project: Project, tmp_path: Path) -> None:
    manifest = current(project, "selected_subset", "20|smart")
    shutil.rmtree(project.store.artifact(manifest))
    found = again(project, tmp_path)
    assert found.holds
    assert found.subset.rows is None


def test_collected_vectors_are_made_again_from_the_stored_rows(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(project.store.artifact(current(project, "prompt_embeddings", "small")))
    shutil.rmtree(project.root / "tasks")
    found = again(project, tmp_path)
    assert found.holds
    assert found.notes == (
        "the vectors of source `small` are not in the store any more: its prompts are embedded again",
    )


@pytest.mark.parametrize("asset", ["raw_tasks", "prompt_embeddings"])
def test_damaged_rows_and_vectors_prove_nothing(project: Project, tmp_path: Path, asset: str) -> None:
    folder = project.store.artifact(current(project, asset, "small"))
    path = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is not what was written: `smart verify`"):
        again(project, tmp_path)


def test_scores_and_orderings_of_two_states_prove_nothing(project: Project, tmp_path: Path) -> None:
    scores = current(project, "task_scores", None)
    old = current(project, "prompt_embeddings", "small")
    project.store.record(old.model_copy(update={"facets": {"tasks": "0" * 32}}))
    other = scores.model_copy(update={"inputs": {"prompt_embeddings[small]#tasks": "0" * 32}})
    project.store.record(other)
    project.store.record(old)
    with pytest.raises(
        SmartError, match=r"behind selected_subset\[20\|smart\] were made of two states of source `small`"
    ):
        again(project, tmp_path)
