"""Where the value of the first tasks bends, how a temperature evens their weights, and what `max_tasks: auto` takes."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.pool import INSTANCE_COLUMNS, ORDERING_COLUMNS, TASK_GAIN_COLUMNS, Pool
from smart_assets.mixture.recipes import SubmodularBudgets
from smart_assets.mixture.task_budgets import taylor_softmax
from smart_assets.mixture.task_scores import TEMPERATURES, propose_max_tasks, value_peak, weights_by_temperature
from smart_assets.mixture.task_shares import TaskShares, share_budget
from smart_assets.selection.objectives import GraphCut

any_gains = st.lists(st.integers(-30, 30), min_size=1, max_size=30)


def naive_proposal(gains: list[int]) -> int:
    """In exact arithmetic, straight from the definition."""
    values = [sum(gains[:k]) for k in range(len(gains) + 1)]
    peak = max(range(1, len(values)), key=lambda k: (values[k], k))
    above = [values[k] - Fraction(values[peak] * k, peak) for k in range(1, peak + 1)]
    return peak if peak < 3 or max(above) == 0 else above.index(max(above)) + 1


@given(gains=any_gains)
def test_the_proposal_is_the_naive_one(gains: list[int]) -> None:
    assert propose_max_tasks(gains) == naive_proposal(gains)


@given(gains=any_gains, factor=st.floats(1e-6, 1e6))
def test_the_scale_of_the_gains_does_not_matter(gains: list[int], factor: float) -> None:
    assert propose_max_tasks(np.array(gains) * factor) == propose_max_tasks(gains)


@given(gains=any_gains, tail=st.lists(st.integers(-30, -1), max_size=10))
def test_tasks_after_the_peak_are_neither_proposed_nor_counted(gains: list[int], tail: list[int]) -> None:
    assert 1 <= propose_max_tasks(gains) <= value_peak(gains) <= len(gains)
    assert propose_max_tasks([*gains, *tail]) == propose_max_tasks(gains)


@given(gains=st.lists(st.integers(1, 1000), min_size=3, max_size=50))
def test_of_falling_gains_those_above_the_mean_are_proposed(gains: list[int]) -> None:
    falling = sorted(gains, reverse=True)
    above = sum(gain * len(gains) > sum(gains) for gain in gains)
    assert propose_max_tasks(falling) == (above or len(gains))


@pytest.mark.parametrize(
    ("gains", "proposed"),
    [
        pytest.param([0.7], 1, id="one task"),
        pytest.param([-0.7], 1, id="one task that lowers the value"),
        pytest.param([1.1, 0.2], 2, id="two tasks"),
        pytest.param([1.1, -0.2], 1, id="two tasks past the peak"),
        pytest.param([0.1] * 7, 7, id="equal gains"),
        pytest.param([0.0] * 4, 4, id="no gains"),
        pytest.param([-1.0] * 4, 1, id="equal losses"),
        pytest.param([9.0, 8, 7, 6, 5, 4, 3, 2, 1], 4, id="evenly falling"),
        pytest.param([10.0, 9, 0.2, 0.1, 0.1, 0.1], 2, id="a sharp bend"),
        pytest.param([4.0, 2, 2, 0], 1, id="a tie goes to the lower"),
        pytest.param([1.0, 5, 5, 1], 3, id="gains that rise before they fall"),
        pytest.param([1.0, 2, 3, 4], 4, id="gains that only rise"),
    ],
)
def test_proposals(gains: list[float], proposed: int) -> None:
    assert propose_max_tasks(gains) == proposed


@pytest.mark.parametrize("gains", [[], [1.0, np.nan], [np.inf]], ids=["none", "nan", "infinite"])
def test_gains_that_are_none_have_no_bend(gains: list[float]) -> None:
    with pytest.raises(SelectionError, match="must be finite, and at least one"):
        propose_max_tasks(gains)


@given(gains=st.lists(st.floats(0, 1000), min_size=1, max_size=40))
def test_a_higher_temperature_evens_the_weights_of_positive_gains(gains: list[float]) -> None:
    tempered = weights_by_temperature(gains)
    assert tuple(weights.temperature for weights in tempered) == TEMPERATURES
    effective = [weights.effective_tasks for weights in tempered]
    assert (np.diff(effective) >= -1e-9 * len(gains)).all()
    assert effective[-1] == pytest.approx(len(gains), rel=0.02)
    for weights in tempered:
        drawn = taylor_softmax(gains, weights.temperature)
        assert (weights.smallest_weight, weights.largest_weight) == (drawn.min(), drawn.max())
        assert weights.largest_over_equal == pytest.approx(drawn.max() / drawn.mean())


def test_a_low_temperature_weighs_by_the_square_of_the_gains() -> None:
    [weights] = weights_by_temperature([3.0, 1.0], [1e-6])
    assert (weights.largest_weight, weights.smallest_weight) == pytest.approx((0.9, 0.1), abs=1e-5)


SIZES = {"first": 3, "second": 2, "third": 40, "fourth": 50}
GAINS = {"first": 4.0, "unread": 3.5, "second": 3.0, "third": 0.2, "fourth": 0.1}


def share(total: int, rule: SubmodularBudgets) -> TaskShares:
    """Tasks with those gains; `unread` was scored and has no instances."""
    rows = [
        {"id": f"{task} {number}", "source": "s", "task": task, "template": "t"}
        for task, size in SIZES.items()
        for number in range(size)
    ]
    picks = [
        {"objective": GraphCut().label, "rank": rank, "task": task, "gain": gain}
        for rank, (task, gain) in enumerate(GAINS.items())
    ]
    orderings = ORDERING_COLUMNS.empty_table()
    return share_budget(
        rule,
        total,
        Pool(pa.Table.from_pylist(rows, INSTANCE_COLUMNS), orderings, pa.Table.from_pylist(picks, TASK_GAIN_COLUMNS)),
    )


def test_auto_takes_the_tasks_up_to_the_bend_those_without_instances_too() -> None:
    shares = share(5, SubmodularBudgets(max_tasks="auto"))
    assert shares.tasks == ["first", "unread", "second"]
    assert shares.budgets.tolist() == [3, 0, 2]
    assert shares.weights == pytest.approx(taylor_softmax([4.0, 3.5, 3.0]))
    same = share(5, SubmodularBudgets(max_tasks=3))
    assert shares.table() == same.table()


def test_a_budget_beyond_what_auto_took_says_so() -> None:
    expected = r"\[1, 5\].*the 3 tasks that `max_tasks: auto` chose.*all 4 tasks have 95.*got 6: .*a number or null"
    with pytest.raises(BudgetError, match=expected):
        share(6, SubmodularBudgets(max_tasks="auto"))
    with pytest.raises(BudgetError, match=r"\[1, 5\].*the 3 tasks it may take from; got 6"):
        share(6, SubmodularBudgets(max_tasks=3))
