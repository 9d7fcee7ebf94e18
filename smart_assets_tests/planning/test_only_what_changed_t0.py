"""The T0 tasks with 1% of one task's rows changed: what is embedded and ordered again, exactly. Slow."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.synthetic import write_encoder
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.plans import current_plan, groups
from smart_assets_tests.support.projects import write_project

T0 = Path(__file__).parents[3] / "shared" / "data" / "t0"
TASK = "qasc"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not T0.is_dir(), reason=f"{T0} is not there")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("t0")
    shutil.copytree(T0, root / "t0")
    write_encoder(root / "encoder", 64)
    changes = {
        "sources": {"t0": {"kind": "folder", "path": "t0"}},
        "embedding": {"model": "./encoder", "precision": "float32"},
        "budgets": [400],
        "recipes": ["smart", "proportional", "random"],
    }
    made = write_project(root, changes=changes)
    make(made, "selected_subset")
    return made


def change(project: Project, share: float) -> int:
    """Give a share of the task's rows other prompts; gives how many."""
    path = next((project.root / "t0").rglob(f"{TASK}.jsonl"))
    lines = path.read_text(encoding="utf-8").splitlines()
    count = round(len(lines) * share)
    for at in range(count):
        row = json.loads(lines[at])
        name = next(key for key in ("prompt", "inputs", "input") if key in row)
        lines[at] = json.dumps({**row, name: f"{row[name]} (changed {at})"}, ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return count


def test_one_percent_of_a_task(project: Project) -> None:
    before = {
        asset: current(project, asset, "t0") for asset in ("raw_tasks", "prompt_embeddings", "instance_orderings")
    }
    changed = change(project, 0.01)
    promised = current_plan(project)
    [words] = [one for one in promised["raw_tasks[t0]"].step.reasons if "task" in one and "source" in one]
    assert words == f"source `t0`: task `{TASK}` has {changed} new rows, {changed} removed"
    make(project, "selected_subset")
    vectors, orderings = current(project, "prompt_embeddings", "t0"), current(project, "instance_orderings", "t0")
    assert vectors.made["prompts embedded"] == changed == promised["prompt_embeddings[t0]"].cost.work["rows to embed"]
    assert vectors.made["prompts embedded"] <= 0.03 * before["prompt_embeddings"].made["prompts embedded"]
    known = groups(project, before["instance_orderings"])
    again = {group for key, group in groups(project, orderings).items() if key not in known}
    assert {task for task, _ in again} == {TASK}
    assert orderings.made["groups ordered"] == len(again)
    assert current(project, "raw_tasks", "t0").made["files reused"] == len(before["raw_tasks"].outside) - 1


def test_a_new_budget_orders_nothing(project: Project) -> None:
    text = project.config.read_text(encoding="utf-8").replace("- 400\n", "- 400\n- 1600\n")
    project.config.write_text(text, encoding="utf-8")
    grown = load_project(project.config)
    outcomes = make(grown, "selected_subset")
    made = {key: outcome.manifest for key, outcome in outcomes.items() if not outcome.unchanged}
    assert set(made) == {f"selected_subset[1600|{recipe}]" for recipe in ("smart", "proportional", "random")}
    for manifest in made.values():
        print(manifest.partition, manifest.made["seconds"], "s")
        rows = pq.read_table(grown.store.artifact(manifest) / "subset.parquet")
        assert rows.num_rows == 1600
