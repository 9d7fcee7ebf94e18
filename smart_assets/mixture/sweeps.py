"""Sweeps: recipes that differ in one parameter of their task budgets alone.

In `smart.yaml` a list in the place of such a parameter stands for a recipe for each of its values:

    pruned: {preset: smart, max_tasks: [4, 8, 16]}     # pruned_4, pruned_8 and pruned_16
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from smart_assets.mixture.recipes import BUDGET_PARAMETERS, Recipe


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A recipe of a sweep and its value; None for `max_tasks` stands for all tasks."""

    recipe: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """At least two recipes that are equal but for one parameter, by its value; all tasks last."""

    parameter: str  # of `BUDGET_PARAMETERS`
    points: tuple[SweepPoint, ...]


def expand_sweeps(recipes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Recipes as `smart.yaml` spells them, each sweep replaced by its recipes; what is no sweep stays as it is.

    Raises:
        ValueError: a recipe sweeps two parameters at once, its list is empty or holds what is no single value, or two
            recipes get one name.
    """
    expanded: dict[Any, Any] = {}
    for name, spelled in recipes.items():
        for made, recipe in _expand(name, spelled):
            if made in expanded or (made != name and made in recipes):
                raise ValueError(f"the sweep `{name}` makes a recipe `{made}`, which is there already: rename one")
            expanded[made] = recipe
    return expanded


def find_sweeps(recipes: Mapping[str, Recipe]) -> tuple[Sweep, ...]:
    """Return the sweeps among recipes, however they were spelled; of equal recipes the first one."""
    sweeps: dict[tuple[str, str], dict[float | None, str]] = {}
    for name, recipe in recipes.items():
        for parameter in BUDGET_PARAMETERS:
            for rest, value in _without(recipe, parameter):
                sweeps.setdefault((parameter, rest), {}).setdefault(value, name)
    return tuple(
        Sweep(parameter, tuple(SweepPoint(values[value], value) for value in sorted(values, key=_all_last)))
        for (parameter, _), values in sweeps.items()
        if len(values) > 1
    )


def _expand(name: Any, spelled: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(spelled, Mapping):
        yield name, spelled
        return
    parts = cast("Mapping[str, Any]", spelled)
    swept = [parameter for parameter in BUDGET_PARAMETERS if isinstance(parts.get(parameter), list)]
    if not swept:
        yield name, parts
        return
    values: list[Any] = parts[swept[0]]
    if len(swept) > 1:
        raise ValueError(f"`{name}` sweeps {' and '.join(swept)}: give one of them a list, and make a sweep for each")
    if not values or not all(value is None or isinstance(value, int | float | str) for value in values):
        raise ValueError(f"`{name}.{swept[0]}` must be a value or a list of values; got {values!r:.60}")
    for value in values:
        yield f"{name}_{_label(value)}", {**parts, swept[0]: value}


def _label(value: float | str | None) -> str:
    """Return a value as a part of a recipe's name: `all` for null, 4, 0_5 for 0.5."""
    if value is None:
        return "all"
    text = value if isinstance(value, str) else f"{value:.12g}"
    return text.replace(".", "_").replace("+", "")


def _without(recipe: Recipe, parameter: str) -> Iterator[tuple[str, float | None]]:
    """All of a recipe but the parameter, as text, and its value; nothing where it has none, or `auto`."""
    parts: dict[str, Any] = recipe.model_dump(mode="json")
    budgets = parts["task_budgets"]
    holder = budgets if parameter in budgets else budgets.get("objective", {})
    if parameter in holder and not isinstance(holder[parameter], str):
        value = holder.pop(parameter)
        yield json.dumps(parts, sort_keys=True), value


def _all_last(value: float | None) -> float:
    return float("inf") if value is None else value
