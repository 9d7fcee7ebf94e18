"""Many orderings on one machine: the same as one by one, biggest first, and told of in rows and share."""

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from smart_assets.selection import many
from smart_assets.selection.greedy import GreedyOrdering, Limits, OnProgress, greedy_ordering
from smart_assets.selection.many import order_many
from smart_assets.selection.objectives import FacilityLocation

SIZES = (30, 500, 1, 120, 800, 30)


@pytest.fixture
def groups() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(size, 12)).astype(np.float32) for size in SIZES]


def _ignore(rows: int, share: float) -> None:
    """Nothing to tell."""


def test_orderings_are_those_of_each_group_alone(
    groups: list[NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "LARGE", 400)

    def order(index: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        return greedy_ordering(groups[index], FacilityLocation(), None, "cpu", limits, on_progress)

    for group, ordering in zip(groups, order_many(SIZES, order, 2**30, _ignore), strict=True):
        alone = greedy_ordering(group, FacilityLocation())
        np.testing.assert_array_equal(ordering.indices, alone.indices)
        np.testing.assert_array_equal(ordering.gains, alone.gains)


def test_large_groups_come_first_with_all_cores_and_small_ones_get_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "LARGE", 400)
    started: list[tuple[int, int | None]] = []

    def order(index: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        started.append((SIZES[index], limits.threads))
        return GreedyOrdering(np.arange(SIZES[index]), np.zeros(SIZES[index]))

    order_many(SIZES, order, 2**30, _ignore)
    assert started[:2] == [(800, None), (500, None)]
    assert sorted(started[2:], reverse=True) == [(120, 1), (30, 1), (30, 1), (1, 1)]


def test_rows_and_share_are_told_up_to_all(groups: list[NDArray[np.float32]]) -> None:
    told: list[tuple[int, float]] = []

    def order(index: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        return greedy_ordering(groups[index], FacilityLocation(), None, "cpu", limits, on_progress)

    order_many(SIZES, order, 2**30, lambda rows, share: told.append((rows, share)))
    assert told == sorted(told)
    assert told[-1] == (sum(SIZES), pytest.approx(1.0))


def test_an_error_in_one_group_ends_them_all() -> None:
    def order(index: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        order_many(SIZES, order, 2**30, _ignore)


def test_no_group_is_no_ordering() -> None:
    assert order_many([], lambda *_: pytest.fail("nothing to order"), 2**30, _ignore) == []


def _product_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_products_have_one_thread_each_and_then_all_again(groups: list[NDArray[np.float32]]) -> None:
    before, during = _product_threads(), list[int]()

    def order(index: int, limits: Limits, on_progress: OnProgress) -> GreedyOrdering:
        during.extend(_product_threads())
        return greedy_ordering(groups[index], FacilityLocation(), None, "cpu", limits, on_progress)

    order_many(SIZES, order, 2**30, _ignore)
    assert 1 in during
    assert _product_threads() == before
