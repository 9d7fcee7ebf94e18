"""Budget arithmetic: the reference's own numbers in every case, and what holds for any numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.task_budgets import (
    apportion,
    cap_and_redistribute,
    negative_gain_warning,
    proportional_rates,
    task_budgets,
    taylor_softmax,
)
from smart_assets.mixture.template_budgets import template_budgets

GOLDEN = Path(__file__).parents[1] / "golden"
TASK_CASES = json.loads((GOLDEN / "budgets.json").read_text())["cases"]
TEMPLATE_CASES = json.loads((GOLDEN / "template_budgets.json").read_text())["cases"]


@pytest.mark.parametrize("case", TASK_CASES, ids=lambda case: f"{case['function']}-{len(case['gains'])}")
def test_task_budgets_are_those_of_the_reference(case: dict[str, Any]) -> None:
    weights = taylor_softmax(case["gains"])
    np.testing.assert_allclose(weights, case["weights"], rtol=1e-12)
    before_cap = apportion(weights, case["total_budget"])
    assert before_cap.tolist() == case["budgets_before_cap"]
    assert cap_and_redistribute(before_cap, case["task_sizes"]).tolist() == case["task_budgets"]
    assert task_budgets(weights, case["task_sizes"], case["total_budget"]).tolist() == case["task_budgets"]


@pytest.mark.parametrize("case", TEMPLATE_CASES, ids=range(len(TEMPLATE_CASES)))
def test_template_budgets_are_those_of_the_reference(case: dict[str, Any]) -> None:
    budgets = template_budgets(case["template_sizes"], case["task_budget"])
    assert budgets == {template: case["template_budgets"][template] for template in case["template_sizes"]}


@st.composite
def sizes_and_total(draw: st.DrawFn) -> tuple[list[int], int]:
    sizes = draw(st.lists(st.integers(0, 300), min_size=1, max_size=40).filter(any))
    return sizes, draw(st.integers(1, sum(sizes)))


def one_by_one(budgets: list[int], sizes: list[int]) -> list[int]:
    """Cap, then hand the surplus out a single instance at a time, round after round."""
    capped = [min(budget, size) for budget, size in zip(budgets, sizes, strict=True)]
    surplus, position = sum(budgets) - sum(capped), 0
    while surplus:
        if capped[position] < sizes[position]:
            capped[position] += 1
            surplus -= 1
        position = (position + 1) % len(sizes)
    return capped


@given(case=sizes_and_total(), seed=st.integers(0, 2**32), temperature=st.floats(0.01, 100))
def test_budgets_sum_exactly_and_stay_in_their_sizes(
    case: tuple[list[int], int], seed: int, temperature: float
) -> None:
    sizes, total = case
    gains = np.random.default_rng(seed).normal(scale=5, size=len(sizes))
    for weights in (
        taylor_softmax(gains, temperature),
        np.full(len(sizes), 1 / len(sizes)),
    ):
        assert weights.sum() == pytest.approx(1)
        before_cap = apportion(weights, total)
        assert before_cap.sum() == total
        assert (np.abs(before_cap - weights * total) <= 1 + 1e-6).all()
        assert task_budgets(weights, sizes, total).tolist() == one_by_one(before_cap.tolist(), sizes)


def test_flooring_leaves_the_rest_to_the_first_picked() -> None:
    assert apportion([0.25, 0.25, 0.25, 0.25], 7).tolist() == [2, 2, 2, 1]


def test_surplus_goes_out_in_pick_order_past_full_tasks() -> None:
    assert cap_and_redistribute([9, 1, 1, 1], [2, 3, 1, 99]).tolist() == [2, 3, 1, 6]


@pytest.mark.parametrize("total", [0, -1, 8])
def test_a_total_that_no_division_meets_is_refused(total: int) -> None:
    with pytest.raises(BudgetError, match=rf"must lie in \[1, 7\].*the 2 tasks.*got {total}"):
        task_budgets([0.5, 0.5], [3, 4], total)


def test_budgets_beyond_all_sizes_are_not_redistributed() -> None:
    with pytest.raises(BudgetError, match=r"\[1, 7\].*got 8"):
        cap_and_redistribute([4, 4], [3, 4])


@pytest.mark.parametrize(
    "weights",
    [pytest.param([0.5, 0.6], id="sum"), pytest.param([1.5, -0.5], id="sign"), pytest.param([np.nan], id="nan")],
)
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(SelectionError, match="non-negative and sum to 1"):
        apportion(weights, 10)


def test_taylor_softmax_flattens_with_temperature() -> None:
    np.testing.assert_allclose(taylor_softmax([2.0, 0.0], temperature=2.0), [2.5 / 3.5, 1 / 3.5])


@pytest.mark.parametrize(
    ("gains", "temperature", "message"),
    [
        pytest.param([], 1.0, "at least one", id="none"),
        pytest.param([1.0, np.nan], 1.0, "must be finite", id="nan"),
        pytest.param([1.0, np.inf], 1.0, "must be finite", id="infinite"),
        pytest.param([1.0], 0.0, "above 0; got 0.0", id="zero temperature"),
        pytest.param([1.0], float("nan"), "above 0; got nan", id="no temperature"),
    ],
)
def test_taylor_softmax_refuses(gains: list[float], temperature: float, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        taylor_softmax(gains, temperature)


def test_negative_gains_are_told() -> None:
    assert negative_gain_warning([1.0, 0.0]) is None
    warning = negative_gain_warning([1.0, -0.5, -2.0])
    assert warning is not None
    assert warning.startswith("2 of 3 tasks have a negative gain, the lowest -2;")
    assert taylor_softmax([-2.0, 0.0]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("size_cap", "temperature", "raw"),
    [
        pytest.param(None, 1.0, [100, 25, 0], id="proportional"),
        pytest.param(50, 1.0, [50, 25, 0], id="capped"),
        pytest.param(None, 2.0, [10, 5, 0], id="tempered"),
        pytest.param(36, 2.0, [6, 5, 0], id="both"),
    ],
)
def test_proportional_rates_are_those_of_t5(size_cap: int | None, temperature: float, raw: list[float]) -> None:
    assert proportional_rates([100, 25, 0], size_cap, temperature).tolist() == raw


def test_proportional_budgets_need_an_instance() -> None:
    with pytest.raises(SelectionError, match="at least one instance"):
        proportional_rates([0, 0])


FLAN_NAMES = ("zs_opt", "zs_noopt", "fs_opt", "fs_noopt")


@given(case=sizes_and_total(), flan=st.booleans())
def test_template_budgets_sum_exactly_and_stay_in_their_rows(case: tuple[list[int], int], flan: bool) -> None:
    names = FLAN_NAMES if flan else [f"template {position}" for position in range(len(case[0]))]
    sizes = dict(zip(names, case[0], strict=False))
    budget = min(case[1], sum(sizes.values()))
    budgets = template_budgets(sizes, budget)
    assert list(budgets) == list(sizes)
    assert sum(budgets.values()) == budget
    assert all(0 <= budgets[name] <= size for name, size in sizes.items())


def test_other_templates_are_split_at_once() -> None:
    assert template_budgets({"b": 10, "a": 20, "zs_opt": 10}, 8) == {"b": 2, "a": 4, "zs_opt": 2}
    assert sorted(template_budgets({"b": 10, "a": 10, "zs_opt": 10}, 8).values()) == [2, 3, 3]


def test_no_budget_and_no_rows_are_nothing() -> None:
    assert template_budgets({}, 0) == {}
    assert template_budgets({"zs_opt": 0, "fs_opt": 3}, 0) == {"zs_opt": 0, "fs_opt": 0}


@pytest.mark.parametrize("budget", [-1, 8])
def test_a_budget_beyond_the_rows_is_refused(budget: int) -> None:
    with pytest.raises(BudgetError, match=rf"\[0, 7\], its rows; got {budget}"):
        template_budgets({"a": 3, "b": 4}, budget)
