"""Rows of models whose mean losses are given, and what is compared of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from smart_assets.comparison.compare_recipes import ComparisonResult, ComparisonSpec, compare_recipes
from smart_assets.comparison.row_results import RowResults
from smart_assets_tests.support.measurements import row_columns

Model = tuple[int | None, str | None, int | None]


PRESETS = ComparisonSpec({"random": "random", "proportional": "proportional"})


def results(
    means: Mapping[Model, float], noise: float = 0.1, tasks: Sequence[str] = ("a", "b"), rows: int = 20, seed: int = 0
) -> list[RowResults]:
    """Rows with a loss of their own, equal in all models, and noise; the mean loss of each model as given."""
    rng = np.random.default_rng(seed)
    keys = [("held_out", task, f"{task}{row}") for task in tasks for row in range(rows)]
    tokens = rng.integers(1, 20, len(keys)).astype(float)
    own = rng.gamma(4.0, 0.5, len(keys))
    own -= own.mean()
    found = []
    for (budget, recipe, number), mean in means.items():
        losses = mean + own + noise * rng.normal(size=len(keys))
        found.append(
            RowResults(
                budget, recipe, number, keys, row_columns(losses * tokens, tokens, (losses < mean).astype(float))
            )
        )
    return found


def loss_of(found: Sequence[RowResults], spec: ComparisonSpec = PRESETS) -> ComparisonResult:
    return compare_recipes(found, spec)[0]


def trained(means: Mapping[tuple[int, str], float], seeds: int, noise: float = 0.002) -> dict[Model, float]:
    """Each of several seeds of each recipe, noise apart."""
    rng = np.random.default_rng(4)
    return {(*key, seed): mean + noise * rng.normal() for key, mean in means.items() for seed in range(seeds)}
