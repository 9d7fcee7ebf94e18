"""Shares in proportion: the seats of Sainte-Lague, larger budgets that keep rows, ties that no name decides."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.shares import by_largest_remainder, exact_shares, sizes_of_tasks
from smart_assets.core.errors import BudgetError
from smart_assets.mixture.highest_averages import highest_averages, tie_key
from smart_assets.mixture.mixture import select_mixture
from smart_assets.mixture.pool import ORDERING_COLUMNS, TASK_GAIN_COLUMNS, Pool
from smart_assets.mixture.recipes import EqualBudgets, ProportionalBudgets, Recipe
from smart_assets.mixture.task_budgets import apportion
from smart_assets.mixture.task_shares import share_budget, with_seeds
from smart_assets.mixture.template_budgets import template_budgets


def one_by_one(rates: list[float], limits: list[int], total: int, ties: list[bytes]) -> list[int]:
    """Each seat to the highest average, rate / (2 * seats + 1), of those that may have one more."""
    seats = [0] * len(rates)
    for _ in range(total):
        open_ones = [entry for entry, rate in enumerate(rates) if rate and seats[entry] < limits[entry]]
        averages = {entry: Fraction(rates[entry]) / (2 * seats[entry] + 1) for entry in open_ones}
        highest = max(averages.values())
        winner = min((entry for entry in open_ones if averages[entry] == highest), key=lambda entry: ties[entry])
        seats[winner] += 1
    return seats


RATES = st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 15.0]) | st.floats(1e-6, 1e6)


@st.composite
def entries(draw: st.DrawFn) -> tuple[list[float], list[int], list[bytes]]:
    found = draw(st.lists(st.tuples(RATES, st.integers(0, 12)), max_size=8))
    order = draw(st.permutations(range(len(found))))
    return [rate for rate, _ in found], [limit for _, limit in found], [bytes([place]) for place in order]


@given(entries())
@settings(deadline=None)
def test_every_budget_is_shared_as_if_seat_by_seat_and_keeps_what_a_smaller_one_gave(
    case: tuple[list[float], list[int], list[bytes]],
) -> None:
    rates, limits, ties = case
    most = sum(limit for rate, limit in zip(rates, limits, strict=True) if rate)
    shares = [highest_averages(rates, limits, total, ties) for total in range(most + 1)]
    assert shares == [one_by_one(rates, limits, total, ties) for total in range(most + 1)]
    assert all(sum(one) == total for total, one in enumerate(shares))
    assert all(few <= more for fewer, larger in pairwise(shares) for few, more in zip(fewer, larger, strict=True))


@pytest.mark.parametrize(
    ("rates", "limits", "total", "seats"),
    [
        pytest.param([53_000, 24_000, 23_000], [99] * 3, 7, [3, 2, 2], id="published"),
        pytest.param([1, 3], [9, 9], 2, [0, 2], id="tie to the lower key"),
        pytest.param([3, 1], [9, 9], 2, [1, 1], id="tie, the other way"),
        pytest.param([0.1, 0.3], [9, 9], 2, [1, 1], id="no tie: 0.1 is above 0.3 / 3"),
        pytest.param([100, 1, 1], [2, 9, 9], 6, [2, 2, 2], id="limit"),
        pytest.param([5, 0], [2, 2], 2, [2, 0], id="rate 0"),
        pytest.param([], [], 0, [], id="nothing"),
        pytest.param([1e-300, 1e300], [3, 3], 4, [1, 3], id="far apart"),
        pytest.param([2**53, 1], [2**53, 1], 2**52, [2**52, 0], id="just below a half"),
        pytest.param([2**53, 1], [2**53, 1], 2**52 + 1, [2**52, 1], id="just above a half"),
    ],
)
def test_shares_of_sainte_lague(rates: list[float], limits: list[int], total: int, seats: list[int]) -> None:
    ties = [bytes([255 - entry]) for entry in range(len(rates))]
    assert highest_averages(rates, limits, total, ties) == seats


@pytest.mark.parametrize("total", [-1, 6])
def test_seats_beyond_the_limits_are_refused(total: int) -> None:
    with pytest.raises(BudgetError, match=rf"\[0, 5\], what the limits allow; got {total}"):
        highest_averages([1, 2, 0], [2, 3, 4], total, [b"", b"", b""])


@pytest.mark.parametrize("total", [1_000, 100_000, 700_000])
def test_no_seat_that_is_left_is_cheaper_than_one_that_is_taken(total: int) -> None:
    sizes = sizes_of_tasks(1840)
    rates = (sizes**0.5).tolist()
    seats = highest_averages(rates, sizes.tolist(), total, [tie_key(0, str(task)) for task in range(1840)])
    assert sum(seats) == total
    taken = [Fraction(2 * count - 1) / Fraction(rate) for count, rate in zip(seats, rates, strict=True) if count]
    free = [
        Fraction(2 * count + 1) / Fraction(rate)
        for count, rate, size in zip(seats, rates, sizes.tolist(), strict=True)
        if count < size
    ]
    assert max(taken) <= min(free)


def pool_of(sizes: dict[str, dict[str, int]]) -> Pool:
    """Tasks with templates of so many rows, ordered as they are numbered."""
    rows = [
        {"id": f"{task}-{template}-{rank}", "source": "s", "task": task, "template": template, "rank": rank}
        for task, templates in sizes.items()
        for template, size in templates.items()
        for rank in range(size)
    ]
    orderings = [{**row, "objective": "facility_location", "gain": 1.0} for row in rows]
    return Pool(
        pa.Table.from_pylist(rows),
        pa.Table.from_pylist(orderings, ORDERING_COLUMNS),
        TASK_GAIN_COLUMNS.empty_table(),
    )


EVEN = pool_of({f"task {number:04}": {"": 4} for number in range(1840)})


def taking(pool: Pool, total: int, seed: int | None) -> list[str]:
    shares = share_budget(EqualBudgets(), total, pool, seed)
    return [task for task, budget in zip(shares.tasks, shares.budgets.tolist(), strict=True) if budget]


def test_equal_budgets_do_not_take_the_first_names() -> None:
    of_seeds = [taking(EVEN, 500, seed) for seed in range(40)]
    first = set(EVEN.task_sizes()) - set(sorted(EVEN.task_sizes())[500:])
    for tasks in of_seeds:
        assert len(tasks) == 500
        # 500 of 1,840 drawn evenly hold 136 of the first 500 names, with a standard deviation of 8.5.
        assert 95 < len(first & set(tasks)) < 177
    times = Counter(task for tasks in of_seeds for task in tasks)
    assert len(times) == 1840, "every task has its turn"
    assert max(times.values()) < 30, "40 draws take a task 11 times on average, with a standard deviation of 2.8"


def test_who_wins_a_tie_does_not_depend_on_other_tasks() -> None:
    taken = taking(EVEN, 500, 7)
    rest = [name for name in EVEN.task_sizes() if name not in taken]
    fewer = pool_of({name: {"": 4} for name in [*taken, *rest[:300]]})
    assert taking(fewer, 500, 7) == taken
    renamed = pool_of({f"zz {name}" if name == taken[0] else name: {"": 4} for name in EVEN.task_sizes()})
    assert len(set(taking(renamed, 500, 7)) & set(taken)) == 499


def test_fifteen_templates_share_five_rows_by_task() -> None:
    templates = {f"template {number:02}": 20 for number in range(15)}
    taken = Counter(
        template
        for task in range(300)
        for template, rows in template_budgets(templates, 5, f"task {task}").items()
        if rows
    )
    assert sum(taken.values()) == 1500
    assert len(taken) == 15
    assert min(taken.values()) > 65, "100 on average, with a standard deviation of 8"
    assert max(taken.values()) < 135


def test_proportional_shares_are_about_as_near_as_whole_numbers_can_be() -> None:
    sizes = sizes_of_tasks(1840)
    pool_sizes, rates = sizes.tolist(), sizes.astype(np.float64)
    exact = exact_shares(rates, sizes, 500)
    found = highest_averages(pool_sizes, pool_sizes, 500, [tie_key(0, str(task)) for task in range(1840)])
    nearest = by_largest_remainder(rates, sizes, 500)
    away, least = (np.abs(np.array(one) - exact).sum() / 1000 for one in (found, nearest))
    assert least == pytest.approx(0.283, abs=0.001)
    assert away == pytest.approx(0.307, abs=0.001)


GROUPS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.dictionaries(st.sampled_from(["t1", "t2", "t3", "zs_opt"]), st.integers(1, 6), min_size=1)
    | st.dictionaries(st.sampled_from(["zs_opt", "zs_noopt", "fs_opt", "fs_noopt"]), st.integers(1, 6), min_size=1),
    min_size=1,
)
KEEPING: list[dict[str, Any] | str] = [
    "random",
    "equal",
    "proportional",
    {"task_budgets": {"kind": "proportional", "temperature": 3, "size_cap": 4}, "instances": "random"},
    {"task_budgets": {"kind": "proportional", "temperature": 2}, "instances": "facility_location"},
    {"task_budgets": "equal", "instances": "facility_location"},
]


@pytest.mark.parametrize("recipe", KEEPING, ids=str)
@given(groups=GROUPS)
@settings(deadline=None, max_examples=8)
def test_a_larger_budget_keeps_the_rows_of_a_smaller_one(recipe: Any, groups: dict[str, dict[str, int]]) -> None:
    pool, parsed = pool_of(groups), Recipe.model_validate(recipe)
    total = min(pool.instances.num_rows, 25)
    found = [select_mixture(parsed, budget, pool, [1, 2]).rows.to_pylist() for budget in range(1, total + 1)]
    ids = [{(row["seed"], row["id"]) for row in rows} for rows in found]
    sets = {row["seed"] for row in found[0]}
    assert [len(one) for one in ids] == [budget * len(sets) for budget in range(1, total + 1)]
    assert all(fewer < more for fewer, more in pairwise(ids))


@given(st.dictionaries(st.sampled_from(["zs_opt", "zs_noopt", "fs_opt", "fs_noopt"]), st.integers(0, 12)))
@settings(deadline=None)
def test_flans_two_levels_keep_the_rows_of_a_smaller_budget(sizes: dict[str, int]) -> None:
    shares = [template_budgets(sizes, budget) for budget in range(sum(sizes.values()) + 1)]
    assert all(fewer[name] <= more[name] for fewer, more in pairwise(shares) for name in sizes)


def test_the_reference_rule_may_take_a_row_away_as_the_budget_grows() -> None:
    weights = [0.2, 0.4, 0.4]
    assert [apportion(weights, total).tolist() for total in (2, 3)] == [[1, 1, 0], [1, 1, 1]]
    assert [apportion([0.1, 0.1, 0.4, 0.4], total).tolist() for total in (2, 3)] == [[1, 1, 0, 0], [1, 0, 1, 1]]


def test_flans_templates_are_split_by_the_reference_where_smart_shares_alone() -> None:
    sizes = {"zs_opt": 5, "zs_noopt": 5, "fs_opt": 5, "fs_noopt": 5}
    assert template_budgets(sizes, 1, "any") == {"zs_opt": 1, "zs_noopt": 0, "fs_opt": 0, "fs_noopt": 0}
    firsts = {
        max(one, key=one.__getitem__)
        for one in (template_budgets(sizes, 1, str(task), flan_levels=False) for task in range(60))
    }
    assert firsts == set(sizes)


def test_budgets_of_each_seed_stand_in_the_table() -> None:
    pool = pool_of({name: {"": 3} for name in "abcdefgh"})
    mixture = select_mixture(Recipe.model_validate("equal"), 11, pool, [1, 2])
    counts = Counter((row["seed"], row["task"]) for row in mixture.rows.to_pylist())
    assert {(row["seed"], row["task"]): row["budget"] for row in mixture.tasks.to_pylist()} == counts
    assert len(set(map(tuple, (share_budget(EqualBudgets(), 11, pool, seed).budgets for seed in (1, 2))))) == 2
    for recipe in ("random", {"task_budgets": "equal", "instances": "greedy"}):
        tasks = select_mixture(Recipe.model_validate(recipe), 11, pool, [1, 2]).tasks
        assert tasks.num_rows == 8
        assert "seed" not in tasks.column_names, "and no model is trained again for the column"


def test_exact_shares_need_no_seed() -> None:
    pool = pool_of({"a": {"": 10}, "b": {"": 30}})
    shares = [share_budget(ProportionalBudgets(), 20, pool, seed).budgets.tolist() for seed in (None, 0, 1)]
    assert shares == [[5, 15]] * 3


def test_tables_without_seeds_hold_for_all_of_them() -> None:
    old = pa.table({"task": ["a"], "budget": [3]})
    assert with_seeds(old).to_pylist() == [{"task": "a", "budget": 3, "seed": None}]
    assert with_seeds(with_seeds(old)) == with_seeds(old)


def test_tie_keys_tell_seeds_and_names_apart() -> None:
    keys = [
        tie_key(None, "a", "b"),
        tie_key(None, "ab"),
        tie_key(0, "a", "b"),
        tie_key(None, "b", "a"),
        tie_key(0, "\ud800"),
    ]
    assert len(set(keys)) == 5
