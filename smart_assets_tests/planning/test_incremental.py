"""A small project from raw tasks to subsets, and what a change makes again: rows, groups and partitions are counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.checks.artifact_checks import orderings_reproduce
from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.core.errors import BudgetError, SmartError, UpstreamMissingError
from smart_assets.embedding.index import nearest_rows
from smart_assets.planning.materialize import MaterializeResult, materialize
from smart_assets.selection.approximate import NearestNeighbours
from smart_assets.selection.objectives import FacilityLocation, GraphCut
from smart_assets.selection.settings import Selection
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.make import made_again, make
from smart_assets_tests.support.programs import no_program
from smart_assets_tests.support.projects import SMALL_TASKS, own_copy, rows, write_project, write_tasks


@pytest.fixture(scope="module")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    make(write_project(folder), "selected_subset", "similarity_index")
    return folder


@pytest.fixture
def project(template_folder: Path, tmp_path: Path) -> Project:
    """A copy of the made project; hard links would share inodes, so files are copied."""
    return own_copy(template_folder, tmp_path)


def change_tasks(project: Project, change: Callable[[dict[str, list[dict[str, Any]]]], None]) -> None:
    tasks = {name: [dict(row) for row in found] for name, found in SMALL_TASKS.items()}
    change(tasks)
    for path in (project.root / "tasks").glob("*.jsonl"):
        path.unlink()
    write_tasks(project.root / "tasks", tasks)


def test_a_second_run_does_nothing(project: Project) -> None:
    assert made_again(make(project, "selected_subset", "similarity_index")) == []


def test_reordered_lines_make_nothing_but_origins(project: Project) -> None:
    change_tasks(project, lambda tasks: tasks["alpha"].reverse())
    before = project.store.current("raw_tasks", "small")
    outcomes = make(project, "selected_subset", "similarity_index")
    assert made_again(outcomes) == ["raw_tasks[small]"]
    after = outcomes["raw_tasks[small]"].manifest
    assert before is not None
    assert after.content_version == before.content_version
    assert after.attachments["origins"].version != before.attachments["origins"].version


def test_one_changed_row_embeds_one_prompt_and_orders_one_group(project: Project) -> None:
    def change(tasks: dict[str, list[dict[str, Any]]]) -> None:
        tasks["alpha"][3]["prompt"] = "an entirely different question about clouds above quiet water"

    change_tasks(project, change)
    outcomes = make(project, "selected_subset")
    assert outcomes["prompt_embeddings[small]"].manifest.made["prompts embedded"] == 1
    assert outcomes["instance_orderings[small]"].manifest.made["groups ordered"] <= 1


def test_a_changed_response_embeds_nothing(project: Project) -> None:
    change_tasks(project, lambda tasks: tasks["beta"][1].update(response="another answer"))
    outcomes = make(project, "selected_subset")
    assert outcomes["prompt_embeddings[small]"].manifest.made["prompts embedded"] == 0
    assert outcomes["instance_orderings[small]"].manifest.made["groups ordered"] == 1
    assert "task_scores" not in made_again(outcomes)


def test_a_deleted_task_leaves_every_subset(project: Project) -> None:
    change_tasks(project, lambda tasks: tasks.pop("gamma") and None)
    outcomes = make(project, "selected_subset")
    for budget in (10, 20):
        folder = project.store.artifact(outcomes[f"selected_subset[{budget}|smart]"].manifest)
        assert "gamma" not in pq.read_table(folder / "subset.parquet")["task"].to_pylist()


def test_a_new_budget_selects_only_itself(project: Project) -> None:
    text = project.config.read_text().replace("- 20\n", "- 20\n- 30\n")
    project.config.write_text(text)
    outcomes = make(load_project(project.config), "selected_subset")
    assert made_again(outcomes) == ["selected_subset[30|smart]", "selected_subset[30|random]"]


def test_max_tasks_auto_says_what_it_came_to(project: Project) -> None:
    automatic = {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": "auto"}}
    text = project.config.read_text().replace(
        "recipes:\n- smart\n- random\n", f"recipes: {json.dumps({'smart': 'smart', 'auto': automatic})}\n"
    )
    project.config.write_text(text)
    outcomes = make(load_project(project.config), "selected_subset")
    assert made_again(outcomes) == ["selected_subset[10|auto]", "selected_subset[20|auto]"]
    scores = project.store.current("task_scores", None)
    assert scores is not None
    [figures] = scores.summary["objectives"].values()
    summary = outcomes["selected_subset[10|auto]"].manifest.summary
    assert summary["max tasks (auto)"] == figures["proposed max tasks"] < 3
    assert "max tasks (auto)" not in outcomes["selected_subset[10|smart]"].manifest.summary
    tempered = pq.read_table(project.store.artifact(scores) / "temperatures.parquet").to_pylist()
    [at_one] = [row for row in tempered if row["temperature"] == 1]
    assert round(at_one["effective_tasks"], 2) == figures["effective tasks"]


def test_smaller_budgets_are_prefixes(project: Project) -> None:
    for recipe in ("smart", "random"):
        ids = []
        for budget in (10, 20):
            manifest = project.store.current("selected_subset", f"{budget}|{recipe}")
            assert manifest is not None
            ids.append(set(pq.read_table(project.store.artifact(manifest) / "subset.parquet")["id"].to_pylist()))
        if recipe == "random":  # smart's task budgets may move a row between tasks
            assert ids[0] < ids[1]
        assert (len(ids[0]), len(ids[1])) == (10, 20)


def test_a_budget_beyond_the_rows_says_both_numbers(tmp_path: Path) -> None:
    project = write_project(tmp_path, changes={"budgets": [5000]})
    with pytest.raises(BudgetError, match=r"budget must lie in \[1, \d+\].*got 5000"):
        make(project, "selected_subset[5000|random]")


def test_what_was_never_made_is_named(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    run = RunContext(log=print, launch=no_program, device="cpu")
    with pytest.raises(UpstreamMissingError, match=r"task_scores.*never made: materialize"):
        materialize(project, AssetPartition("selected_subset", "10|smart"), run)
    with pytest.raises(SmartError, match=r"gives selected_subset no partition '11\|smart'"):
        materialize(project, AssetPartition("selected_subset", "11|smart"), run)


def test_a_failing_step_leaves_the_last_state(project: Project) -> None:
    before = project.store.current("raw_tasks", "small")
    for path in (project.root / "tasks").glob("*.jsonl"):
        path.unlink()
    with pytest.raises(SmartError, match="holds no task files"):
        make(project, "raw_tasks")
    assert project.store.current("raw_tasks", "small") == before


def test_a_damaged_artifact_is_made_again(project: Project) -> None:
    manifest = project.store.current("task_scores", None)
    assert manifest is not None
    (project.store.artifact(manifest) / "scores.parquet").unlink()
    outcomes = make(project, "selected_subset")
    assert made_again(outcomes) == ["task_scores"]
    assert (project.store.artifact(manifest) / "scores.parquet").exists()


def test_tasks_of_one_name_in_two_sources_are_refused(tmp_path: Path) -> None:
    two = {name: {"kind": "folder", "path": "tasks"} for name in ("one", "two")}
    with pytest.raises(SmartError, match=r"task `alpha` is in the sources `two` and `one`.*set `task_prefix`"):
        make(write_project(tmp_path, changes={"sources": two}), "task_scores")


def test_held_out_prompts_of_one_source_leave_the_training_rows_of_another(tmp_path: Path) -> None:
    sources = {
        "one": {"kind": "folder", "path": "tasks"},
        "two": {"kind": "folder", "path": "more", "columns": {"task": "t"}},
    }
    # The prompts of alpha again. A task of one row holds nothing out, so that all of these are training rows.
    write_tasks(tmp_path / "more", {"all": [{"t": f"copy {index}", **row} for index, row in enumerate(rows(1, 40))]})
    project = write_project(
        tmp_path, changes={"sources": sources, "validation": {"fraction": 0.4}, "recipes": ["equal", "smart"]}
    )
    outcomes = make(project, "selected_subset")
    held_out: set[str] = set()
    for source in sources:
        manifest = outcomes[f"raw_tasks[{source}]"].manifest
        table = pq.read_table(project.store.artifact(manifest) / "instances.parquet")
        held_out |= set(table.filter(pc.equal(table["split"], "validation"))["prompt"].to_pylist())
    for key, outcome in outcomes.items():
        if key.startswith("selected_subset"):
            subset = pq.read_table(project.store.artifact(outcome.manifest) / "subset.parquet")
            texts = _prompts(project, set(subset["id"].to_pylist()))
            assert not texts & held_out
            assert outcome.manifest.summary["rows left out for evaluation text"] > 0


def _prompts(project: Project, ids: set[str]) -> set[str]:
    found: set[str] = set()
    for source in project.settings.sources:
        manifest = project.store.current("raw_tasks", source)
        assert manifest is not None
        table = pq.read_table(project.store.artifact(manifest) / "instances.parquet")
        found |= {row["prompt"] for row in table.to_pylist() if row["id"] in ids}
    return found


def test_hostile_task_names_reach_the_subset_and_no_path(tmp_path: Path) -> None:
    names = ["../../escape", "a|b", "<script>alert(1)</script>", "x" * 300, "[red]markup[/red]", "'; DROP TABLE"]
    lines = [json.dumps({"t": name, **row}) for index, name in enumerate(names) for row in rows(index, 12)]
    project = write_project(
        tmp_path,
        changes={"sources": {"hostile": {"kind": "folder", "path": "one", "columns": {"task": "t"}}}},
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "all.jsonl").write_text("\n".join(lines))
    outcomes = make(project, "selected_subset")
    folder = project.store.artifact(outcomes["selected_subset[20|smart]"].manifest)
    assert set(pq.read_table(folder / "subset.parquet")["task"].to_pylist()) <= set(names)
    assert {path.name for path in tmp_path.iterdir()} == {"smart.yaml", "tasks", "one", ".smart"}


def with_selection(project: Project, text: str) -> Project:
    """The same project with a `selection` section."""
    path = project.root / "smart.yaml"
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return load_project(path)


def groups_of(outcome: MaterializeResult, project: Project) -> list[dict[str, Any]]:
    return pq.read_table(project.store.artifact(outcome.manifest) / "groups.parquet").to_pylist()


def test_large_groups_are_approximated_where_asked_for_and_say_so(project: Project) -> None:
    changed = with_selection(project, "selection: {approximate_above: 15, approximation: nearest_neighbours}\n")
    outcomes = make(changed, "selected_subset")
    made = outcomes["instance_orderings[small]"].manifest
    groups = groups_of(outcomes["instance_orderings[small]"], changed)
    large = [group for group in groups if group["rows"] > 15]
    assert large
    assert [group["exact"] for group in groups] == [group["rows"] <= 15 for group in groups]
    assert {group["engine"] for group in large} == {"approximate-1 nearest_neighbours(neighbours=64)"}
    assert made.made["groups ordered"] == made.summary["approximate orderings"] == len(large)
    assert "similarity_index[small]" in outcomes
    assert orderings_reproduce(changed, "small").passed


def test_a_group_that_is_most_of_its_source_finds_its_neighbours_in_the_index(tmp_path: Path) -> None:
    settings = {
        "selection": {"approximate_above": 10, "approximation": {"name": "nearest_neighbours", "neighbours": 5}}
    }
    project = write_project(tmp_path, {"alpha": rows(1, 60)}, settings)
    searched: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "smart_assets.assets.instance_orderings.nearest_rows",
            lambda index, vectors, count: searched.append(count) or nearest_rows(index, vectors, count),
        )
        outcomes = make(project, "instance_orderings")
    assert searched == [10]
    assert orderings_reproduce(project, "small").passed
    [group] = groups_of(outcomes["instance_orderings[small]"], project)
    assert not group["exact"]
    assert 0 < group["value of a tenth"] < group["value"] <= group["rows"]


def test_other_objectives_stay_exact_under_nearest_neighbours() -> None:
    selection = Selection(approximate_above=1)
    assert selection.approximation_of(FacilityLocation(), 2) == NearestNeighbours()
    assert selection.approximation_of(FacilityLocation(), 1) is None
    assert selection.approximation_of(GraphCut(), 2) is None


def test_the_other_engine_orders_again_and_a_larger_memory_does_not(project: Project) -> None:
    roomy = with_selection(project, "selection: {memory_gib: 5}\n")
    assert made_again(make(roomy, "selected_subset")) == []
    path = project.root / "smart.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("memory_gib: 5", "engine: submodlib"), encoding="utf-8")
    changed = load_project(path)
    made = make(changed, "instance_orderings")["instance_orderings[small]"].manifest
    assert made.made["groups reused"] == 0
    assert {row["engine"] for row in groups_of(MaterializeResult(made, False), changed)} == {"submodlib-1"}
