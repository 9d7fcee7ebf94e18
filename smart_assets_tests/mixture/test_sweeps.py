"""A list of values stands for a recipe of each, and recipes that differ in one parameter are found again."""

from typing import Any

import pytest
from pydantic import ValidationError

from smart_assets.mixture.recipes import PRESETS, Recipe, SubmodularBudgets
from smart_assets.mixture.sweeps import Sweep, SweepPoint, expand_sweeps, find_sweeps
from smart_assets.selection.objectives import GraphCut

PRUNED = {"preset": "smart", "max_tasks": [4, 8, 16]}


def recipes_of(spelled: dict[str, Any]) -> dict[str, Recipe]:
    return {name: Recipe.model_validate(recipe) for name, recipe in expand_sweeps(spelled).items()}


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (PRUNED, ["x_4", "x_8", "x_16"]),
        ({"preset": "smart", "max_tasks": [2, None, "auto"]}, ["x_2", "x_all", "x_auto"]),
        ({"preset": "smart", "temperature": [0.5, 10.0, 1e6]}, ["x_0_5", "x_10", "x_1000000"]),
        ({"preset": "proportional", "temperature": [1, 2.5]}, ["x_1", "x_2_5"]),
        ({"preset": "smart", "redundancy_weight": [0.1]}, ["x_0_1"]),
        ({"preset": "smart", "max_tasks": 4}, ["x"]),
        ("smart", ["x"]),
        (["smart"], ["x"]),
    ],
    ids=["max_tasks", "all and auto", "temperature", "T5's", "redundancy", "one value", "a preset", "nonsense stays"],
)
def test_names(recipe: object, names: list[str]) -> None:
    assert list(expand_sweeps({"x": recipe})) == names


def test_a_parameter_beside_the_parts_is_one_of_the_task_budgets() -> None:
    spelled = recipes_of({
        "a": {"preset": "smart", "max_tasks": [4], "instances": "random"},
        "b": {"task_budgets": "graph_cut", "instances": "greedy", "temperature": 2, "redundancy_weight": 0.2},
        "c": {"preset": "smart", "task_budgets": {"kind": "submodular", "objective": {"name": "graph_cut"}},
              "redundancy_weight": 0.3},
    })  # fmt: skip
    assert spelled["a_4"].task_budgets == SubmodularBudgets(max_tasks=4)
    assert spelled["b"].task_budgets == SubmodularBudgets(temperature=2, objective=GraphCut(0.2))
    assert spelled["c"].task_objective == GraphCut(0.3)


def test_a_sweep_ends_with_all_tasks() -> None:
    spelled = {"smart": "smart", "random": "random", "pruned": {"preset": "smart", "max_tasks": [16, 4, "auto"]}}
    assert find_sweeps(recipes_of(spelled)) == (
        Sweep("max_tasks", (SweepPoint("pruned_4", 4), SweepPoint("pruned_16", 16), SweepPoint("smart", None))),
    )


def test_sweeps_are_found_by_content() -> None:
    by_hand = {
        "few": {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": 3}},
        "some": {"preset": "smart", "max_tasks": 6},
        "again": {"preset": "smart", "max_tasks": 6},
        "other rows": {"preset": "smart", "max_tasks": 6, "instances": "random"},
        "warm": {"preset": "smart", "max_tasks": 6, "temperature": 9},
    }
    assert find_sweeps(recipes_of(by_hand)) == (
        Sweep("max_tasks", (SweepPoint("few", 3), SweepPoint("some", 6))),
        Sweep("temperature", (SweepPoint("some", 1), SweepPoint("warm", 9))),
    )
    assert find_sweeps(PRESETS) == ()


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ({"x": {**PRUNED, "temperature": [1, 2]}}, "`x` sweeps max_tasks and temperature: give one of them a list"),
        ({"x": {"preset": "smart", "max_tasks": []}}, r"`x\.max_tasks` must be a value or a list of values; got \[\]"),
        ({"x": {"preset": "smart", "max_tasks": [[4]]}}, r"must be a value or a list of values; got \[\[4\]\]"),
        ({"x": PRUNED, "x_8": "smart"}, "the sweep `x` makes a recipe `x_8`, which is there already: rename one"),
        ({"x_8": "smart", "x": PRUNED}, "the sweep `x` makes a recipe `x_8`, which is there already"),
        ({"x": {"preset": "smart", "max_tasks": [4, 4]}}, "makes a recipe `x_4`, which is there already"),
    ],
    ids=["two at once", "no value", "a list in it", "a name taken later", "a name taken before", "twice"],
)
def test_sweeps_refused(recipes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_sweeps(recipes)


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ({"preset": "random", "max_tasks": 3}, "max_tasks\n.*Extra inputs"),
        ({"preset": "equal", "redundancy_weight": 0.2}, "objective\n.*Extra inputs"),
        ({"preset": "smart", "max_tasks": [3]}, "max_tasks\n.*an integer greater than or equal to 1"),
        ({"instances": "random", "max_tasks": 3}, "parameters of `task_budgets`, which must be a preset's or given"),
        (
            {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": 3}, "max_tasks": 4},
            "max_tasks stands twice",
        ),
    ],
    ids=["no gains to prune by", "no objective", "a list in one recipe", "no task budgets", "twice"],
)
def test_parameters_refused(spelled: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(spelled)
