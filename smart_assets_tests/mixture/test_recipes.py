"""How a recipe may be spelled in `smart.yaml`, and what is said where it is not."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from smart_assets.mixture.recipes import (
    PRESETS,
    EqualBudgets,
    GreedyInstances,
    PooledBudgets,
    ProportionalBudgets,
    RandomInstances,
    Recipe,
    SubmodularBudgets,
)
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant

SMART = Recipe(
    task_budgets=SubmodularBudgets(objective=GraphCut(0.4)), instances=GreedyInstances(objective=FacilityLocation())
)


@pytest.mark.parametrize(
    ("spelled", "recipe"),
    [
        pytest.param("smart", SMART, id="smart"),
        pytest.param(
            "proportional",
            Recipe(task_budgets=ProportionalBudgets(), instances=RandomInstances()),
            id="proportional",
        ),
        pytest.param("equal", Recipe(task_budgets=EqualBudgets(), instances=RandomInstances()), id="equal"),
        pytest.param("random", Recipe(task_budgets=PooledBudgets(), instances=RandomInstances()), id="random"),
        pytest.param({"preset": "smart"}, SMART, id="preset alone"),
        pytest.param({"task_budgets": "graph_cut", "instances": "facility_location"}, SMART, id="objectives"),
        pytest.param({"task_budgets": "submodular", "instances": "greedy"}, SMART, id="kinds"),
        pytest.param(
            {"preset": "smart", "instances": "random"},
            Recipe(task_budgets=SubmodularBudgets(), instances=RandomInstances()),
            id="preset with one part replaced",
        ),
        pytest.param(
            {
                "task_budgets": {"kind": "submodular", "objective": "log_determinant", "max_tasks": 8},
                "instances": {"kind": "greedy", "objective": {"name": "graph_cut", "redundancy_weight": 0.1}},
            },
            Recipe(
                task_budgets=SubmodularBudgets(objective=LogDeterminant(), max_tasks=8),
                instances=GreedyInstances(objective=GraphCut(0.1)),
            ),
            id="spelled out",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": "auto"}},
            Recipe(task_budgets=SubmodularBudgets(max_tasks="auto"), instances=GreedyInstances()),
            id="as many tasks as the curve bends after",
        ),
    ],
)
def test_spellings(spelled: object, recipe: Recipe) -> None:
    assert Recipe.model_validate(spelled) == recipe


@pytest.mark.parametrize("name", PRESETS)
def test_recipes_survive_json(name: str) -> None:
    recipe = PRESETS[name]
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_objectives_that_a_recipe_needs() -> None:
    assert (SMART.task_objective, SMART.instance_objective) == (GraphCut(), FacilityLocation())
    assert (PRESETS["random"].task_objective, PRESETS["random"].instance_objective) == (None, None)


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        pytest.param("clever", "'clever'; use one of smart, proportional, equal, random", id="unknown preset"),
        pytest.param({"preset": ["smart"]}, "use one of smart, proportional, equal, random", id="a list"),
        pytest.param({"preset": "smart", "budget": 5}, "budget\n.*Extra inputs are not permitted", id="unknown key"),
        pytest.param({"task_budgets": "equal"}, "instances\n.*Field required", id="one part only"),
        pytest.param(
            {"preset": "smart", "instances": "best"},
            "'best'; use one of greedy, random, facility_location, graph_cut, log_determinant",
            id="unknown instances",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": "random"},
            "'random'; use one of submodular, proportional, equal, pooled, facility_location",
            id="unknown budgets",
        ),
        pytest.param({"preset": "random", "instances": "greedy"}, "need random instances; got greedy", id="pooled"),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "proportional", "temperature": 0.5}},
            "temperature\n.*greater than or equal to 1",
            id="temperature below 1",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "proportional", "size_cap": 0}},
            "size_cap\n.*greater than or equal to 1",
            id="no size",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": 0}},
            "max_tasks\n.*greater than or equal to 1",
            id="no tasks",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": "Auto"}},
            r"1 validation error.*\n.*max_tasks\n.*an integer .*`auto` \(where the gain curve bends\), and null",
            id="a word that is not auto",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": True}},
            "max_tasks\n.*allowed are an integer",
            id="tasks yes",
        ),
        pytest.param(
            {"preset": "smart", "task_budgets": {"kind": "submodular", "temperature": 0}},
            "temperature\n.*greater than or equal to 0\\.000001",
            id="zero temperature",
        ),
        pytest.param(
            {"preset": "smart", "instances": {"kind": "random", "seed": 3}}, "Extra inputs", id="key of no part"
        ),
        pytest.param({"preset": "smart", "instances": {"objective": "graph_cut"}}, "using discriminator", id="no kind"),
        pytest.param(3, "valid dictionary", id="a number"),
        pytest.param(None, "valid dictionary", id="nothing"),
    ],
)
def test_recipes_refused(spelled: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(spelled)


def test_reading_recipes_stays_light() -> None:
    heavy = "{'torch', 'pyarrow', 'submodlib', 'scipy'} & {name.split('.')[0] for name in sys.modules}"
    code = f"import sys, smart_assets.mixture.recipes; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
