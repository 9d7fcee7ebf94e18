"""Recipes: what a mixture is made by, as `smart.yaml` spells it.

A recipe has two parts: how the total budget is divided over the tasks, and which of a task's instances fill its share.
It is a preset's name, or a mapping with `preset` and / or the two parts; each part is a mapping with `kind`, the bare
kind, or the bare name of an objective:

    smart
    {preset: smart, instances: random}
    {task_budgets: {kind: proportional, temperature: 2}, instances: facility_location}

A single parameter of the task budgets may stand beside the parts: `{preset: smart, max_tasks: 8}`. With a list of
values it is a sweep (`sweeps`). `repeat_texts: true` stands beside the parts, too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from smart_assets.core.section import Section, allowed
from smart_assets.selection.objectives import OBJECTIVE_NAMES, FacilityLocation, GraphCut, Objective

MaxTasks = Annotated[
    Annotated[int, Field(ge=1, strict=True)] | Literal["auto"] | None,
    allowed("an integer greater than or equal to 1, `auto` (where the gain curve bends), and null (all)"),
]
"""M': a number of tasks, `auto` for what `propose_max_tasks` says of the recipe's objective, or all tasks."""


class SubmodularBudgets(Section):
    """Tasks share by the Taylor softmax of their gains in the greedy ordering (paper, stage 1)."""

    kind: Literal["submodular"] = Field("submodular", description="The name of this way to share.")
    objective: Objective = Field(default_factory=GraphCut, description="f1, maximized over the task vectors.")
    max_tasks: MaxTasks = Field(
        None, description="M': only the first tasks of the ordering; `auto`: up to the gain curve's bend; all if unset."
    )
    temperature: float = Field(1.0, ge=1e-6, le=1e6, description="Divides the gains; large ones near equal weights.")


class ProportionalBudgets(Section):
    """Tasks share in proportion to min(instances, K)^(1/T), T5's baseline (Raffel et al. 2020, section 3.5.2)."""

    kind: Literal["proportional"] = Field("proportional", description="The name of this way to share.")
    size_cap: int | None = Field(None, ge=1, description="K: a task counts as at most this many instances.")
    temperature: float = Field(1.0, ge=1, le=1e6, description="T: 1 is proportional, large ones near equal weights.")


class EqualBudgets(Section):
    """Every task shares alike, up to its size."""

    kind: Literal["equal"] = Field("equal", description="The name of this way to share.")


class PooledBudgets(Section):
    """No task shares: rows are drawn over all tasks at once, so only random instances go with it."""

    kind: Literal["pooled"] = Field("pooled", description="The name of this way to share.")


class GreedyInstances(Section):
    """A task's first instances in the greedy ordering of each template, the same for every seed (paper, stage 2)."""

    kind: Literal["greedy"] = Field("greedy", description="The name of this way to choose.")
    objective: Objective = Field(default_factory=FacilityLocation, description="f2, maximized over the instances.")


class RandomInstances(Section):
    """A uniform draw of the task's instances without replacement, one for each seed."""

    kind: Literal["random"] = Field("random", description="The name of this way to choose.")


def _spell_out(kinds: Sequence[str], objective_kind: str) -> Callable[[object], object]:
    """Turn the shorthand of a part into the mapping that it stands for."""

    def spell_out(value: object) -> object:
        if not isinstance(value, str):
            return value
        if value in OBJECTIVE_NAMES:
            return {"kind": objective_kind, "objective": value}
        if value in kinds:
            return {"kind": value}
        raise ValueError(f"no such choice: {value!r}; use one of {', '.join((*kinds, *OBJECTIVE_NAMES))}")

    return spell_out


_BUDGET_KINDS = ("submodular", "proportional", "equal", "pooled")

TaskBudgets = Annotated[
    SubmodularBudgets | ProportionalBudgets | EqualBudgets | PooledBudgets,
    Field(discriminator="kind"),
    BeforeValidator(_spell_out(_BUDGET_KINDS, "submodular")),
]
"""How the total budget is divided over the tasks."""

Instances = Annotated[
    GreedyInstances | RandomInstances,
    Field(discriminator="kind"),
    BeforeValidator(_spell_out(("greedy", "random"), "greedy")),
]
"""Which of a task's instances fill its budget."""

BUDGET_PARAMETERS = ("max_tasks", "temperature", "redundancy_weight")
"""Parameters of the task budgets (the last one of their objective) that may stand beside a recipe's parts."""

_PRESET_PARTS: Mapping[str, Mapping[str, str]] = {
    "smart": {"task_budgets": "graph_cut", "instances": "facility_location"},
    "proportional": {"task_budgets": "proportional", "instances": "random"},
    "equal": {"task_budgets": "equal", "instances": "random"},
    "random": {"task_budgets": "pooled", "instances": "random"},
}


def _with_parameters(parts: dict[str, Any]) -> dict[str, Any]:
    """Return the parts, with the parameters that stand beside them put into the task budgets."""
    given = {name: parts.pop(name) for name in BUDGET_PARAMETERS if name in parts}
    if not given:
        return parts
    budgets = _mapping(_spell_out(_BUDGET_KINDS, "submodular")(parts.get("task_budgets")), "task_budgets")
    if "redundancy_weight" in given:
        objective = budgets.get("objective", "graph_cut")
        named = {"name": objective} if isinstance(objective, str) else _mapping(objective, "task_budgets.objective")
        budgets["objective"] = _added(named, {"redundancy_weight": given.pop("redundancy_weight")})
    return {**parts, "task_budgets": _added(budgets, given)}


def _mapping(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        parameters = ", ".join(BUDGET_PARAMETERS)
        raise ValueError(f"{parameters} are parameters of `{name}`, which must be a preset's or given; got {value!r}")
    return dict(cast("Mapping[str, Any]", value))


def _added(parts: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    twice = [name for name in given if name in parts]
    if twice:
        raise ValueError(f"{twice[0]} stands twice: beside the recipe's parts and in `task_budgets`; leave one out")
    return {**parts, **given}


class Recipe(Section):
    """How a mixture is made; parse any spelling of it with `Recipe.model_validate`."""

    task_budgets: TaskBudgets = Field(..., description="How the total budget is divided over the tasks.")
    instances: Instances = Field(..., description="Which of a task's instances fill its budget.")
    repeat_texts: bool = Field(
        False,
        description="Take a text under every task that has it; else once, and the task's next row takes its place.",
    )

    @property
    def task_objective(self) -> Objective | None:
        """f1, which needs `task_scores`; None where budgets need no gains."""
        return self.task_budgets.objective if isinstance(self.task_budgets, SubmodularBudgets) else None

    @property
    def instance_objective(self) -> Objective | None:
        """f2, which needs `instance_orderings`; None where rows are random and differ by seed."""
        return self.instances.objective if isinstance(self.instances, GreedyInstances) else None

    @model_validator(mode="before")
    @classmethod
    def _resolve_preset(cls, value: object) -> object:
        spelled = {"preset": value} if isinstance(value, str) else value
        if not isinstance(spelled, Mapping):
            return spelled
        parts = dict(cast("Mapping[str, Any]", spelled))
        if "preset" in parts:
            preset = parts.pop("preset")
            if not isinstance(preset, str) or preset not in _PRESET_PARTS:
                raise ValueError(f"no such preset recipe: {preset!r}; use one of {', '.join(_PRESET_PARTS)}")
            parts = {**_PRESET_PARTS[preset], **parts}
        return _with_parameters(parts)

    @model_validator(mode="after")
    def _pooled_rows_are_random(self) -> Self:
        if isinstance(self.task_budgets, PooledBudgets) and not isinstance(self.instances, RandomInstances):
            raise ValueError(
                f"pooled task budgets draw rows over all tasks at once and need random instances; got "
                f"{self.instances.kind}: set instances: random, or other task_budgets"
            )
        return self


PRESETS: Mapping[str, Recipe] = {name: Recipe.model_validate(name) for name in _PRESET_PARTS}
"""Recipes by name: SMART as published, and the paper's baselines."""
