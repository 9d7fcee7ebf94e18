"""A change, and exactly what it makes again: rows embedded, groups ordered, partitions made, models trained."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from smart_assets.assets.step import AssetPartition
from smart_assets.embedding.identity import cpu_computes_bfloat16
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.plan import fingerprint, input_versions, make_plan
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets_tests.support.make import make, run_context
from smart_assets_tests.support.plans import current_plan, groups
from smart_assets_tests.support.programs import Programs
from smart_assets_tests.support.projects import (
    SMALL_TASKS,
    in_settings,
    in_tasks,
    own_copy,
    rows,
    write_project,
    write_tasks,
)

UP_TO = ("finetuned_checkpoint", "eval_results")
SOURCE = ("raw_tasks[small]", "prompt_embeddings[small]", "instance_orderings[small]", "evaluation_overlap")
SMART = ("selected_subset[10|smart]", "selected_subset[20|smart]")
RANDOM = ("selected_subset[10|random]", "selected_subset[20|random]")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    make(write_project(folder), *UP_TO)
    return folder


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Project:
    return own_copy(made_once, tmp_path)


def touched(project: Project) -> Project:
    os.utime(project.root / "tasks" / "alpha.jsonl", (0, 0))
    return project


@dataclass(frozen=True)
class Expected:
    """What a change makes again; subsets are made anew to be compared, models follow those that came out different."""

    embedded: int = 0
    ordered: tuple[tuple[str, str], ...] = ()
    made: tuple[str, ...] = ()
    reasons: Mapping[str, str] | None = None


LAMBDA = {"kind": "submodular", "objective": {"name": "graph_cut", "redundancy_weight": 0.3}}
ALL_GROUPS = (("alpha", "t0"), ("alpha", "t1"), ("beta", "t0"), ("gamma", "t0"))

CHANGES = {
    "one row of a hundred": (
        in_tasks(lambda tasks: tasks["alpha"][3].update(prompt="an entirely different question about quiet water")),
        Expected(
            1,
            (("alpha", "t1"),),
            (*SOURCE, "task_scores", *SMART, *RANDOM),
            {"raw_tasks[small]": "source `small`: task `alpha` has 1 new row, 1 removed"},
        ),
    ),
    "a task more": (
        in_tasks(lambda tasks: tasks.update(delta=rows(4, 12))),
        Expected(
            12,
            (("delta", "t0"),),
            (*SOURCE, "task_scores", *SMART, *RANDOM),
            {"raw_tasks[small]": "source `small`: task `delta` is new (12 rows)"},
        ),
    ),
    "a task less": (
        in_tasks(lambda tasks: tasks.pop("gamma")),
        Expected(
            0,
            (),
            (*SOURCE, "task_scores", *SMART, *RANDOM),
            {"raw_tasks[small]": "source `small`: task `gamma` is gone (12 rows)"},
        ),
    ),
    "another name for a task": (
        in_tasks(lambda tasks: tasks.update(delta=tasks.pop("gamma"))),
        Expected(
            0,
            (("delta", "t0"),),
            (*SOURCE, "task_scores", *SMART, *RANDOM),
            {"raw_tasks[small]": "source `small`: task `gamma` is now called `delta` (12 rows)"},
        ),
    ),
    "a file touched": (touched, Expected()),
    "lines in another order": (
        in_tasks(lambda tasks: tasks["alpha"].reverse()),  # origins are made anew, and lie outside the data version
        Expected(0, (), ("raw_tasks[small]",), {"raw_tasks[small]": "source `small`: the rows are the same"}),
    ),
    "a response": (
        in_tasks(lambda tasks: tasks["beta"][1].update(response="another answer")),
        Expected(
            0,
            (("beta", "t0"),),
            (*SOURCE, *SMART, *RANDOM),
            {"raw_tasks[small]": "source `small`: task `beta` has 1 changed row"},
        ),
    ),
    "the encoder": (
        in_settings(
            embedding={"precision": "float32" if cpu_computes_bfloat16() else "bfloat16"}
        ),  # not what `auto` is
        Expected(
            77,
            ALL_GROUPS,
            ("prompt_embeddings[small]", "instance_orderings[small]", "evaluation_overlap", "task_scores", *SMART),
            {"prompt_embeddings[small]": "encoder changed"},
        ),
    ),
    "lambda": (
        in_settings(recipes={"smart": {"preset": "smart", "task_budgets": LAMBDA}, "random": "random"}),
        Expected(
            0,
            (),
            ("task_scores", *SMART),
            {SMART[0]: "recipe `smart`: task_budgets.objective.redundancy_weight (lambda): 0.4 -> 0.3"},
        ),
    ),
    "a task unseen": (
        in_settings(evaluate={"unseen_tasks": ["gamma"]}),
        Expected(0, (), ("task_scores", *SMART, *RANDOM), {"task_scores": "unseen_tasks: 'gamma' is new"}),
    ),
    "a budget more": (
        in_settings(budgets=[10, 20, 30]),
        Expected(0, (), ("selected_subset[30|smart]", "selected_subset[30|random]")),
    ),
    "a recipe more": (
        in_settings(recipes=["smart", "random", "equal"]),
        Expected(0, (), ("selected_subset[10|equal]", "selected_subset[20|equal]")),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_exactly_this(name: str, project: Project) -> None:
    change, expected = CHANGES[name]
    before = manifests(project)
    project = change(project)
    promised = current_plan(project)
    programs = Programs()
    outcomes = make(project, *UP_TO, run=run_context(programs))
    made = {key: outcome.manifest for key, outcome in outcomes.items() if not outcome.unchanged}

    models = {key for key in made if key.startswith(("finetuned", "eval_results"))}
    assert sorted(made.keys() - models - {"base_model_results"}) == sorted(expected.made)
    vectors, orderings = made.get(SOURCE[1]), made.get(SOURCE[2])
    assert (vectors.made["prompts embedded"] if vectors else 0) == expected.embedded
    known = groups(project, before[SOURCE[2]])
    found = groups(project, orderings) if orderings else {}
    assert sorted(group for key, group in found.items() if key not in known) == sorted(expected.ordered)
    for key, reason in (expected.reasons or {}).items():
        assert reason in promised[key].step.reasons

    # The plan named all of it, and its counts of work were right.
    assert made.keys() <= {key for key, one in promised.items() if one.step.to_do}
    for manifest, work, figure in (
        (vectors, "rows to embed", "prompts embedded"),
        (orderings, "groups to order", "groups ordered"),
    ):
        if manifest is not None:
            cost = promised[f"{manifest.asset}[small]"].cost
            assert cost is not None
            assert cost.work[work] == manifest.made[figure]

    # A model is trained where its subset came out different, and nowhere else.
    after = manifests(project)
    subsets = [key for key in after if key.startswith("selected_subset")]
    different = {
        key.removeprefix("selected_subset")
        for key in subsets
        if key not in before or before[key].content_version != after[key].content_version
    }
    assert {key.removeprefix("finetuned_checkpoint") for key in models if key.startswith("fine")} == different
    # Where only gains came out different, the rows and so the weights are what they were, and nothing is trained.
    others = [
        key
        for key in different
        if rows_of(project, after, key) != (rows_of(project, before, key) if f"selected_subset{key}" in before else [])
    ]
    assert programs.jobs.count("smart_assets.training") == len(others)
    left = current_plan(project)
    assert [key for key in outcomes if left[key].step.status != "current"] == []


def rows_of(project: Project, made: Mapping[str, Manifest], partition: str) -> list[str]:
    """The ids of a subset, in its order."""
    folder = project.store.artifact(made[f"selected_subset{partition}"])
    return pq.read_table(folder / "subset.parquet")["id"].to_pylist()


def test_a_row_that_no_subset_holds_trains_nothing(project: Project) -> None:
    """Random rows are drawn one by one: a row more that is not drawn leaves a random mixture as it is."""
    held = {row for subset in RANDOM for row in ids(project, subset)}
    tasks = {name: [dict(row) for row in found] for name, found in SMALL_TASKS.items()}
    instances = pq.read_table(folder_of(project, "raw_tasks", "small") / "instances.parquet").to_pylist()
    unused = next(row for row in instances if row["id"] not in held and row["split"] == "train")
    next(row for row in tasks[unused["task"]] if row["prompt"] == unused["prompt"])["response"] = "not drawn"
    write_tasks(project.root / "tasks", tasks)
    before = manifests(project)
    outcomes = make(project, *UP_TO)
    kept = [key for key in RANDOM if manifests(project)[key].content_version == before[key].content_version]
    assert kept
    for key in kept:
        assert outcomes[key.replace("selected_subset", "finetuned_checkpoint")].unchanged


def test_deleted_tasks_leave_every_later_subset(project: Project) -> None:
    project = in_tasks(lambda tasks: tasks.pop("gamma"))(project)
    make(project, "selected_subset")
    for key in (*SMART, *RANDOM):
        folder = folder_of(project, "selected_subset", key[len("selected_subset[") : -1])
        assert "gamma" not in pq.read_table(folder / "subset.parquet")["task"].to_pylist()


def test_costs_are_those_of_earlier_runs(project: Project) -> None:
    project = in_settings(budgets=[10, 20, 60, 400])(project)
    costs = current_plan(project)
    cost = costs["finetuned_checkpoint[60|smart]"].cost
    assert cost is not None
    # A run of the stub says 200 tokens for 10 rows: 60 rows are 1,200.
    assert cost.work == {"rows to train": 60, "tokens to train": 1200}
    beyond = costs["finetuned_checkpoint[400|smart]"].cost  # there are 68 training rows
    assert beyond is not None
    assert beyond.work == {"rows to train": 68, "tokens to train": 1360}
    assert cost.peak_memory_bytes == 5_000_000_000
    assert cost.seconds is not None


def test_an_earlier_manifest_that_cannot_be_read_leaves_the_plan_without_its_costs_alone(project: Project) -> None:
    project = in_tasks(lambda tasks: tasks["alpha"][3].update(prompt="an entirely different question"))(project)
    make(project, "selected_subset")
    folder = project.store.manifest_folder("raw_tasks", "small")
    project.store.manifests_in(folder)[-1].write_text("{")
    in_tasks(lambda tasks: tasks.pop("gamma"))(project)
    planned = current_plan(project)["raw_tasks[small]"]
    assert planned.step.status == "stale"
    assert planned.cost is not None


def manifests(project: Project) -> dict[str, Manifest]:
    found = {
        str(item.key): project.store.current(item.key.asset, item.key.partition) for item in desired_states(project)
    }
    return {key: manifest for key, manifest in found.items() if manifest is not None}


def folder_of(project: Project, asset: str, partition: str) -> Path:
    manifest = project.store.current(asset, partition)
    assert manifest is not None
    return project.store.artifact(manifest)


def ids(project: Project, subset: str) -> list[str]:
    key = AssetPartition("selected_subset", subset[len("selected_subset[") : -1])
    return pq.read_table(folder_of(project, key.asset, str(key.partition)) / "subset.parquet")["id"].to_pylist()


def test_one_of_a_kind_is_told_in_the_singular(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    from smart_assets.cli.plan import show_plan

    change, _ = CHANGES["one row of a hundred"]
    change(project)
    show_plan(project.config, everything=False, as_json=False)
    told = capsys.readouterr().out
    assert "1 row to embed" in told
    assert "1 group to order" in told


def test_json_of_the_plan_is_whole(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    from smart_assets.cli.plan import show_plan

    in_tasks(lambda tasks: tasks.pop("gamma"))(project)
    show_plan(project.config, everything=False, as_json=True)
    found = json.loads(capsys.readouterr().out)
    by_key = {(one["asset"], one["partition"]): one for one in found["partitions"]}
    assert len(by_key) == len(desired_states(project))
    assert by_key["raw_tasks", "small"]["status"] == "stale"
    assert by_key["prompt_embeddings", "small"]["after"] == ["raw_tasks[small]"]
    assert by_key["prompt_embeddings", "small"]["cost"]["work"] == {"rows to embed": 0}
    assert found["total"]["work"]["groups to order"] == 0


def test_moved_lines_let_the_report_wait_and_nothing_else(project: Project) -> None:
    """It shows lines of refused rows, which an attachment of the rows holds."""
    desired = {str(item.key): item for item in desired_states(project)}["mixture_report"]
    versions = input_versions(desired, lambda key: project.store.current(key.asset, key.partition))
    with project.store.draft() as draft:
        (draft / "content").mkdir()
        (draft / "content" / "report.html").write_text("as if it were the page")
        page = project.store.commit("mixture_report", draft / "content")
    made = manifests(project)["task_scores"].model_copy(
        update={
            "asset": "mixture_report",
            "content_version": page.version,
            "files": page.files,
            "inputs": versions,
            "parameters": dict(desired.parameters),
            "code_version": desired.code_version,
            "fingerprint": fingerprint(desired, versions),
        }
    )
    project.store.record(made)

    made_here = {"mixture_report", "raw_tasks", "prompt_embeddings", "task_scores", "selected_subset"}

    def to_do(project: Project) -> dict[str, str]:
        state = desired_states(project)
        only = frozenset(item.key for item in state if item.key.asset in made_here)
        plan = make_plan(state, read_current_state(project), only)
        return {str(step.key): step.status for step in plan if step.to_do}

    assert to_do(project) == {}
    moved = in_tasks(lambda tasks: tasks["alpha"].reverse())(project)
    assert to_do(moved) == {"raw_tasks[small]": "stale", "mixture_report": "waiting"}
    make(moved, "raw_tasks")
    assert to_do(moved) == {"mixture_report": "stale"}
