"""Figures of the ways to share a budget: rows away from the exact shares, and budgets that lose rows as they grow.

`python -m benchmarks.shares` prints both tables of docs/selection.md in some seconds. 1,840 tasks, as many as FLAN 2022
has, with log-normal sizes (`numpy.random.default_rng(0)`); SMART's rule is also tried on the golden cases of the tests.
"""

import json
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_assets.mixture.highest_averages import highest_averages, tie_key
from smart_assets.mixture.task_budgets import proportional_rates, task_budgets, taylor_softmax
from smart_assets.mixture.template_budgets import template_budgets

GOLDEN = Path(__file__).parents[1] / "smart_assets_tests" / "golden"
USUAL = (100, 200, 300, 400, 500, 800, 1000, 1200, 1600, 2000, 4000, 5000, 6400, 8000, 10_000, 20_000, 50_000)
Floats, Integers = NDArray[np.float64], NDArray[np.int64]
Rule = Callable[[Floats, Integers, int], Integers]


def sizes_of_tasks(count: int, spread: float = 1.5) -> Integers:
    """Return log-normal task sizes with a median of about 150 rows."""
    return np.exp(np.random.default_rng(0).normal(5, spread, count)).astype(np.int64) + 1


def exact_shares(rates: Floats, limits: Integers, total: int) -> Floats:
    """Return the real numbers min(limit, x * rate) that sum to `total`."""
    low, high = 0.0, float((limits / rates).max())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(limits, rates * middle).sum() < total else (low, middle)
    return np.minimum(limits, rates * high)


def by_alphabet(rates: Floats, limits: Integers, total: int) -> Integers:
    """Share by SMART's rule in order of name: floors, and what is left over to the first tasks."""
    return task_budgets(rates / rates.sum(), limits, total)


def by_largest_remainder(rates: Floats, limits: Integers, total: int) -> Integers:
    """Take floors of the exact shares, and give what is left over to the largest fractions: the nearest integers."""
    exact = exact_shares(rates, limits, total)
    floors = np.floor(exact + 1e-9).astype(np.int64)
    floors[np.argsort(floors - exact, kind="stable")[: total - floors.sum()]] += 1
    return floors


def by_sainte_lague(rates: Floats, limits: Integers, total: int) -> Integers:
    """Return the method of proportional and equal budgets."""
    ties = [tie_key(0, str(task)) for task in range(len(rates))]
    return np.array(highest_averages(rates.tolist(), limits.tolist(), total, ties))


RULES: dict[str, Rule] = {
    "in order of name": by_alphabet,
    "largest remainder": by_largest_remainder,
    "Sainte-Lague": by_sainte_lague,
}


def rates_of(sizes: Integers) -> dict[str, Floats]:
    """Return the rates of the recipes that are not SMART's."""
    return {
        "proportional": proportional_rates(sizes),
        "temperature 2": proportional_rates(sizes, temperature=2),
        "size cap 100": proportional_rates(sizes, size_cap=100),
        "equal": np.ones(len(sizes)),
    }


def away_from_exact() -> None:
    """Print the share of rows that lie with another task than the exact shares say."""
    sizes = sizes_of_tasks(1840)
    print(f"{len(sizes):,} tasks, {sizes.sum():,} rows, the largest {sizes.max():,}")
    for (name, rates), total in ((one, total) for one in rates_of(sizes).items() for total in (500, 5_000, 50_000)):
        exact = exact_shares(rates, sizes, total)
        found = [np.abs(rule(rates, sizes, total) - exact).sum() / 2 / total for rule in RULES.values()]
        print(f"| {name} | {total:,} | {' | '.join(f'{away:.1%}' for away in found)} |")


def losses(pairs: Iterable[tuple[Integers, Integers]]) -> str:
    """Say in how many pairs the larger budget takes a row from a task, or from a template."""
    lost = [bool((fewer > more).any()) for fewer, more in pairs]
    return f"{sum(lost):,} of {len(lost):,}"


def rows_lost() -> None:
    """Print how often a larger budget does not keep the rows of a smaller one."""
    for rule_name, rule in RULES.items():
        found: list[tuple[Integers, Integers]] = []
        for sizes in (sizes_of_tasks(29), sizes_of_tasks(1840)):
            for rates in rates_of(sizes).values():
                budgets = {total: rule(rates, sizes, total) for total in USUAL if total <= sizes.sum()}
                found += [(budgets[few], budgets[more]) for few, more in combinations(budgets, 2)]
        print(f"| proportional and equal, {rule_name} | {losses(found)} |")
    cases = json.loads((GOLDEN / "budgets.json").read_text())["cases"]
    usual: list[tuple[Integers, Integers]] = []
    next_ones: list[tuple[Integers, Integers]] = []
    for case in cases:
        weights, sizes = taylor_softmax(case["gains"]), np.array(case["task_sizes"])
        some = {total: task_budgets(weights, sizes, total) for total in USUAL if total <= sizes.sum()}
        usual += [(some[few], some[more]) for few, more in combinations(some, 2)]
        next_ones += pairwise(task_budgets(weights, sizes, total) for total in range(1, min(2000, sizes.sum() + 1)))
    print(f"| SMART's task budgets, golden cases | {losses(usual)} usual, {losses(next_ones)} N to N + 1 |")
    flan = [case["template_sizes"] for case in json.loads((GOLDEN / "template_budgets.json").read_text())["cases"]]
    for levels, name in ((True, "FLAN's templates in two levels"), (False, "the same, Sainte-Lague")):
        pairs = [
            pair
            for sizes in flan
            for pair in pairwise(
                np.array(list(template_budgets(sizes, budget, flan_levels=levels).values()))
                for budget in range(sum(sizes.values()) + 1)
            )
        ]
        print(f"| {name} | {losses(pairs)} N to N + 1 |")


if __name__ == "__main__":
    away_from_exact()
    rows_lost()
