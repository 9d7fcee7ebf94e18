"""Two subsets or two checkpoints side by side: rows against plain sets, past versions, collected files, the command."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from smart_assets.cli import diff as command
from smart_assets.cli.main import app
from smart_assets.core.errors import SmartError
from smart_assets.core.metrics import Direction
from smart_assets.lineage.diff.checkpoints import CheckpointDiff, ScoreDiff, diff_checkpoints
from smart_assets.lineage.diff.references import find_pair
from smart_assets.lineage.diff.subsets import RowSetDiff, SubsetDiff, SubsetRows, compare_rows, diff_subsets
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets_tests.support.make import make
from smart_assets_tests.support.projects import own_copy, rows, write_project

HOSTILE = "[red]hostile[/red] <b>'; DROP |"
TASKS = {HOSTILE: rows(1, 40, templates=2), "beta": rows(2, 25), "gamma": rows(3, 12)}
FINETUNE = {"base_model": "tiny", "seeds": [0, 1]}


def write(root: Path, **changes: Any) -> Project:
    lines = [{"t": name, **row} for name, found in TASKS.items() for row in found]
    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}
    wanted = {"sources": sources, "budgets": [10, 20], "recipes": ["smart", "equal"], "finetune": FINETUNE, **changes}
    return write_project(root, {"all": lines}, wanted)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two states: an earlier one, and one with fewer rows of a task, another temperature and learning rate."""
    folder = tmp_path_factory.mktemp("template")
    make(write(folder))
    recipes = {"smart": {"preset": "smart", "task_budgets": {"kind": "submodular", "temperature": 9}}, "equal": "equal"}
    project = write(folder, recipes=recipes, finetune=FINETUNE | {"learning_rate": 1e-3})
    lines = (folder / "tasks" / "all.jsonl").read_text().splitlines()
    (folder / "tasks" / "all.jsonl").write_text("\n".join(lines[:25] + lines[40:]))
    make(project, "eval_results[10|smart]", "eval_results[10|equal]")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    return own_copy(template, tmp_path)


def versions(project: Project, asset: str, partition: str) -> list[Manifest]:
    return project.store.history(asset, partition)


def subsets(project: Project, a: str, b: str) -> SubsetDiff:
    return diff_subsets(project.store, *find_pair(project.store, a, b, checkpoints=False))


def checkpoints(project: Project, a: str, b: str) -> CheckpointDiff:
    return diff_checkpoints(project.store, *find_pair(project.store, a, b, checkpoints=True))


def smart(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["diff", *arguments, "--config", str(project.config)])


def stored_rows(project: Project, manifest: Manifest, seed: int | None) -> dict[str, dict[str, Any]]:
    table = pq.read_table(project.store.artifact(manifest) / "subset.parquet").to_pylist()
    return {row["id"]: row for row in table if row["seed"] in (None, seed)}


def require_naive(found: RowSetDiff, a: Mapping[str, Mapping[str, Any]], b: Mapping[str, Mapping[str, Any]]) -> None:
    assert {row.id for row in found.rows_out} == a.keys() - b.keys()
    assert {row.id for row in found.rows_in} == b.keys() - a.keys()
    assert found.common == len(a.keys() & b.keys())
    assert found.common + len(found.rows_in) == found.rows_b == len(b)
    assert found.common + len(found.rows_out) == found.rows_a == len(a)
    for side, name in ((a, "rows_a"), (b, "rows_b")):
        counts = Counter(row["task"] for row in side.values())
        assert {one.task: getattr(one, name) for one in found.tasks if getattr(one, name)} == counts
    for one in found.tasks:
        assert one.common + one.into == one.rows_b
        assert one.common + one.out == one.rows_a
    moved = [row_id for row_id in a.keys() & b.keys() if a[row_id]["rank"] != b[row_id]["rank"]]
    assert found.reranked == len(moved)


ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from("abcdef"),
        "task": st.sampled_from("tuv"),
        "template": st.just(""),
        "rank": st.integers(0, 2),
    }
)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "task", "template")] + [("rank", pa.int64()), ("seed", pa.int64())]
)


@st.composite
def contents(draw: st.DrawFn) -> SubsetRows:
    seeds = draw(st.sampled_from([[None], [0], [0, 1], [1, 7]]))
    found = [
        {**row, "seed": seed}
        for seed in seeds
        for row in draw(st.lists(ROW, max_size=5, unique_by=lambda row: row["id"]))
    ]
    budgets = draw(st.dictionaries(st.sampled_from("tuw"), st.none() | st.integers(0, 5)))
    own = draw(st.booleans())
    return SubsetRows(pa.Table.from_pylist(found, SCHEMA), dict.fromkeys(seeds if own else [None], budgets))


@given(contents(), contents())
@settings(deadline=None)
def test_rows_in_and_common_ones_are_those_of_b(a: SubsetRows, b: SubsetRows) -> None:
    assert all(one.empty for one in compare_rows(a, a))
    for one in compare_rows(a, b):
        sides = [
            {row["id"]: row for row in side.rows.to_pylist() if row["seed"] in (None, one.seed)} for side in (a, b)
        ]
        assert {row.id for row in one.rows_in} == sides[1].keys() - sides[0].keys()
        assert one.common + len(one.rows_in) == len(sides[1])
        assert one.common + len(one.rows_out) == len(sides[0])
        assert {task.task: (task.budget_a, task.budget_b) for task in one.tasks} == {
            task.task: tuple(side.budgets_of(one.seed).get(task.task) for side in (a, b)) for task in one.tasks
        }


def test_each_seed_has_its_own_budgets(tmp_path: Path) -> None:
    for name, seeds in (("a", [0, 1]), ("b", [None])):
        (tmp_path / name).mkdir()
        table = pa.table(
            {"task": ["t"] * len(seeds), "budget": [3, 4][: len(seeds)], "seed": pa.array(seeds, pa.int64())}
        )
        pq.write_table(table if name == "a" else table.drop_columns("seed"), tmp_path / name / "task_budgets.parquet")
        row = {"id": "x", "task": "t", "template": "", "rank": 0}
        rows = pa.Table.from_pylist([{**row, "seed": seed} for seed in (0, 1)], SCHEMA)
        pq.write_table(rows, tmp_path / name / "subset.parquet")
    found = compare_rows(*(SubsetRows.read(tmp_path / name) for name in ("a", "b")))
    assert [(one.seed, one.tasks[0].budget_a, one.tasks[0].budget_b) for one in found] == [(0, 3, 3), (1, 4, 3)]
    assert [one.empty for one in found] == [True, False]


ANY_SUBSET = ["10|smart", "20|smart", "10|equal", "20|equal", "10|smart@past", "10|equal@past"]


def in_full(project: Project, name: str) -> str:
    if not name.endswith("@past"):
        return name
    partition = name.removesuffix("@past")
    return f"{partition}@{versions(project, 'selected_subset', partition)[-1].content_version[:8]}"


def test_every_pair_of_subsets_against_plain_sets(template: Path) -> None:
    project = load_project(template / "smart.yaml")
    for a in (in_full(project, name) for name in ANY_SUBSET):
        for b in (in_full(project, name) for name in ANY_SUBSET):
            pair = find_pair(project.store, a, b, checkpoints=False)
            found = diff_subsets(project.store, *pair)
            assert found.empty == (a == b)
            assert found.row_sets
            greedy = a.partition("@")[0].endswith("smart") and b.partition("@")[0].endswith("smart")
            assert [one.seed for one in found.row_sets] == ([None] if greedy else [0, 1])
            for one in found.row_sets:
                require_naive(one, *(stored_rows(project, manifest, one.seed) for manifest in pair))


def test_a_past_version_says_what_made_the_difference(project: Project) -> None:
    found = subsets(project, in_full(project, "10|smart@past"), "10/smart")
    assert [(one.what, one.a, one.b) for one in found.made.parameters] == [
        ("recipe.task_budgets.temperature", 1.0, 9.0)
    ]
    assert {one.what for one in found.made.inputs} == {"raw_tasks[small]", "task_scores", "instance_orderings[small]"}
    old, new = versions(project, "selected_subset", "10|smart")[::-1]
    [rows] = found.row_sets or ()
    for manifest, name in ((old, "budget_a"), (new, "budget_b")):
        budgets = pq.read_table(project.store.artifact(manifest) / "task_budgets.parquet").to_pylist()
        assert {one.task: getattr(one, name) for one in rows.tasks} == {row["task"]: row["budget"] for row in budgets}


def test_a_version_alone_names_it_whatever_is_current(project: Project) -> None:
    old, new = versions(project, "selected_subset", "10|equal")[::-1]
    pair = find_pair(project.store, old.content_version[:8].upper(), new.content_version, checkpoints=False)
    assert pair == (old, new)
    of_checkpoints = [one.content_version for one in versions(project, "finetuned_checkpoint", "10|equal")]
    first, second = find_pair(project.store, of_checkpoints[0][:10], "20|equal", checkpoints=False)
    assert {first.asset, second.asset} == {"finetuned_checkpoint"}, "the version says which kind is meant"


def test_checkpoints_by_settings_losses_scores_and_subsets(project: Project) -> None:
    old, _ = versions(project, "finetuned_checkpoint", "10|smart")[::-1]
    found = checkpoints(project, f"10|smart@{old.content_version}", "10|smart")
    assert [one.what for one in found.made.parameters] == ["finetune.learning_rate"]
    assert [one.what for one in found.made.inputs] == ["selected_subset"]
    assert found.base_models is None
    assert [one.seed for one in found.seeds] == [0, 1]
    assert [(one.what, one.a, one.b) for one in found.seeds[0].figures if one.what == "final_loss"] == [
        ("final_loss", 1.0, 1.0)
    ]
    scores = [(one.benchmark, one.tasks, one.metric, one.a, one.b) for one in found.scores]
    assert ("held_out", "all", "response_loss", 1, 1) in scores
    assert {one.direction for one in found.scores} == {Direction.LOWER}
    assert any("evaluated with other settings or on other held-out rows" in note for note in found.notes)
    assert found.subset is not None
    assert not found.subset.empty
    same = checkpoints(project, "10|smart", "10/smart")
    assert same.empty
    assert same.subset is not None
    assert same.subset.empty


def test_checkpoints_without_evaluations_say_so(project: Project) -> None:
    shutil.rmtree(project.store.manifest_folder("eval_results", "20|equal"))
    found = checkpoints(project, "20|equal", "20|smart")
    assert {(score.a, score.b) for score in found.scores} == {(None, 1.0)}
    assert any(re.fullmatch(r"20\|equal@[0-9a-f]{12} has no eval_results", note) for note in found.notes)


def test_one_training_on_a_side_is_said(project: Project) -> None:
    note = "one training on a side: another seed may score otherwise, so the scores tell nothing of the recipes"
    assert note not in checkpoints(project, "20|equal", "20|smart").notes
    path = next(project.store.manifest_folder("eval_results", "20|equal").glob("*.json"))
    manifest = json.loads(path.read_text())
    manifest["summary"] = dict([next(iter(manifest["summary"].items()))])
    path.write_text(json.dumps(manifest))
    assert note in checkpoints(project, "20|equal", "20|smart").notes


def test_what_was_collected_is_compared_by_its_manifests(project: Project) -> None:
    old = versions(project, "selected_subset", "10|smart")[-1]
    shutil.rmtree(project.store.artifact(old))
    for checkpoint in versions(project, "finetuned_checkpoint", "10|smart"):
        shutil.rmtree(project.store.artifact(checkpoint))
    found = subsets(project, f"10|smart@{old.content_version}", "10|smart")
    assert (found.a.collected, found.b.collected, found.row_sets) == (True, False, None)
    assert found.made.parameters
    assert not found.empty
    models = checkpoints(project, "10|smart", "20|smart")
    assert (models.a.collected, models.b.collected) == (True, False)
    assert models.seeds
    assert models.subset is not None
    assert models.subset.row_sets, "the subset of the newest checkpoint is there still"
    shown = smart(project, f"10|smart@{old.content_version[:9]}", "10/smart")
    assert shown.exit_code == 0, shown.exception
    assert "not in the store any more (collected)" in shown.output
    assert "only what the manifests say is compared" in shown.output


def test_the_command_shows_names_as_text(project: Project) -> None:
    shown = smart(project, "10/smart", "10|equal", "--rows")
    assert shown.exit_code == 0, shown.exception
    assert "[red]hostile[/red]" in shown.output
    assert re.search(r"seed 1: 10 rows in A, 10 in B; \d+ in common \([\d.]+% of A, [\d.]+% of B\)", shown.output)
    [rows, _] = subsets(project, "10|smart", "10|equal").row_sets or ()
    assert all(row.id in shown.output for row in (*rows.rows_in, *rows.rows_out))
    assert "recipe.instances.kind" in shown.output
    assert "nothing differs" in smart(project, "10|smart", "10|smart").output
    models = smart(project, "10|smart", "20|smart", "--checkpoints").output
    assert "seed 0: " in models
    assert "the subsets that they were trained on:" in models
    assert re.search(r"held_out +all +response_loss +1 +1 +0 +lower *\n", models)


def test_scores_are_printed_as_b_minus_a_with_the_way_that_is_better(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = (
        ScoreDiff("held_out", "all", "response_loss", 2.5, 2.25, Direction.LOWER),
        ScoreDiff("mmlu", "all", "acc", 0.25, 0.75, Direction.HIGHER),
        ScoreDiff("own", "all", "odd", None, 3.0, Direction.UNKNOWN),
    )
    monkeypatch.setattr(command, "diff_checkpoints", lambda *given: replace(diff_checkpoints(*given), scores=scores))
    printed = smart(project, "10|smart", "20|smart", "--checkpoints").output
    assert re.search(r"benchmark +tasks +metric +A +B +B - A +better is *\n", printed)
    assert re.search(r"held_out +all +response_loss +2\.5 +2\.25 +-0\.25 +lower *\n", printed)
    assert re.search(r"mmlu +all +acc +0\.25 +0\.75 +0\.5 +higher *\n", printed)
    assert re.search(r"own +all +odd +3(\.0)? +unknown *\n", printed)
    told = json.loads(smart(project, "10|smart", "20|smart", "--checkpoints", "--json").stdout)
    assert [one["direction"] for one in told["scores"]] == ["lower", "higher", "unknown"]


def test_json_holds_everything(project: Project) -> None:
    told = json.loads(smart(project, "10|smart", "20|smart", "--json").stdout)
    found = subsets(project, "10|smart", "20|smart")
    [rows] = found.row_sets or ()
    assert told["empty"] is False
    assert [row["id"] for row in told["row_sets"][0]["rows_in"]] == [row.id for row in rows.rows_in]
    assert told["row_sets"][0]["common"] == rows.common
    models = json.loads(smart(project, "10|smart", "10|smart", "--json", "--checkpoints").stdout)
    assert models["empty"] is models["subset"]["empty"] is True


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (
            "11|smart",
            "10|smart",
            r"no subset or checkpoint '11\|smart'; there are subsets: 10\|equal@\w+, 10\|smart@\w+",
        ),
        ("10|smart", "deadbeef", r"no subset or checkpoint 'deadbeef'; there are subsets: .*; checkpoints: 10\|equal@"),
        ("10|smart@deadbeef", "10|smart", r"there are subsets: 10\|smart@\w+, 10\|smart@\w+; checkpoints: 10\|smart@"),
        ("10|smart", "abc", r"'abc' names no subset or checkpoint: write 'BUDGET\|RECIPE'"),
        ("10|smart", "", r"'' names no subset or checkpoint"),
        ("@deadbeef", "10|smart", r"'@deadbeef' names no subset"),
        ("10|smart@", "10|smart", r"'10\|smart@' names no subset"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(project: Project, a: str, b: str, message: str) -> None:
    done = smart(project, a, b)
    assert isinstance(done.exception, SmartError)
    assert re.search(message, str(done.exception)), str(done.exception)


def test_a_subset_and_a_checkpoint_are_not_compared(project: Project) -> None:
    [subset, *_], [model, *_] = (
        versions(project, one, "10|smart") for one in ("selected_subset", "finetuned_checkpoint")
    )
    with pytest.raises(SmartError, match="are a subset and a checkpoint: name two of one kind"):
        find_pair(project.store, subset.content_version, model.content_version, checkpoints=False)


def test_one_version_in_two_partitions_must_be_named_in_full(project: Project) -> None:
    [made, *_] = versions(project, "selected_subset", "10|smart")
    project.store.record(made.model_copy(update={"partition": "10|copy"}))
    with pytest.raises(SmartError, match=r"may mean 10\|copy@\w{12}, 10\|smart@\w{12}: write one of these"):
        find_pair(project.store, made.content_version[:8], "10|smart", checkpoints=False)
    a, b = find_pair(project.store, f"10|copy@{made.content_version[:8]}", "10|smart", checkpoints=False)
    assert (a.partition, b.partition) == ("10|copy", "10|smart")
