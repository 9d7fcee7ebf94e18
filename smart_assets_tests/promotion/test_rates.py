"""The interval over tasks against scipy's t-test, and the rule's rates where the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from benchmarks.promotion_rates import MARGINS, Drift, PromotionRates, drift_table, promotion_table
from smart_assets.comparison.task_means import MeanDifference, mean_over_tasks, not_inferior


@settings(max_examples=50, deadline=None)
@given(
    differences=st.lists(st.integers(-50, 50), min_size=2, max_size=8).map(lambda values: np.array(values) / 10),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_interval_is_that_of_students_t(differences: np.ndarray, confidence: float) -> None:
    found = mean_over_tasks(differences, np.zeros(len(differences)), confidence)
    if np.ptp(differences) == 0:
        assert (found.low, found.high) == pytest.approx((differences[0], differences[0]))
    else:
        expected = ttest_1samp(differences, 0).confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(differences.mean())


def test_two_shares_that_agree_are_known_to_a_step_of_a_row() -> None:
    found = mean_over_tasks(np.zeros(2), np.array([0.1, 0.1]), 0.95)
    assert found.high == pytest.approx(12.7062 * np.sqrt(0.1**2 / 6 / 2), rel=1e-5)
    finer = mean_over_tasks(np.zeros(2), np.array([0.1, 0.01]), 0.95)
    assert 0 < finer.high < found.high
    assert mean_over_tasks(np.zeros(2), np.zeros(2), 0.95).high == 0


def test_cases_are_told_apart() -> None:
    differences = np.random.default_rng(3).normal(size=(4, 5, 6))
    together = mean_over_tasks(differences, np.zeros((4, 5, 6)), 0.95)
    alone = mean_over_tasks(differences[2, 3], np.zeros(6), 0.95)
    assert (together.low[2, 3], together.high[2, 3]) == pytest.approx((alone.low, alone.high))


def test_one_task_has_no_interval() -> None:
    with pytest.raises(ValueError, match="needs at least 2 of them; got 1"):
        mean_over_tasks(np.zeros((3, 1)), np.zeros((3, 1)), 0.95)


@pytest.mark.parametrize(
    ("highs", "passes"),
    [([0.2], True), ([0.2000001], False), ([0.1, 0.3], False), ([0.1, 0.2], True), ([float("nan")], False)],
)
def test_every_upper_bound_lies_within_the_margin(highs: list[float], passes: bool) -> None:
    against = [MeanDifference(np.array(-9.0), np.array(-9.0), np.array(high)) for high in highs]
    assert bool(not_inferior(against, 0.2)) is passes


def name(found: PromotionRates | Drift) -> str:
    return str(found)


RATES = promotion_table(1500, np.random.default_rng(1), tasks=(2, 5, 20), rows=(10, 40))
DRIFTS = drift_table(600, np.random.default_rng(2), tasks=(2, 10))


@pytest.mark.parametrize("found", RATES, ids=name)
def test_a_worse_model_passes_in_at_most_one_case_of_twenty(found: PromotionRates) -> None:
    assert max(found.worse) <= 0.05
    assert found.coverage >= 0.93
    if found.kind != "share" or found.tasks > 2:  # two tasks of ten rows move in steps of a tenth: too wide, and safe
        assert found.coverage <= 0.99


@pytest.mark.parametrize("found", [one for one in RATES if one.tasks == 20], ids=name)
def test_a_good_model_passes_where_there_are_tasks_enough(found: PromotionRates) -> None:
    assert found.equal == tuple(sorted(found.equal))
    assert found.equal[-1] > 0.7
    assert found.better[-1] > 0.9
    assert found.worse[-1] < found.equal[0] < found.better[0]


@pytest.mark.parametrize("found", DRIFTS, ids=name)
def test_thirty_nights_end_within_the_margin(found: Drift) -> None:
    assert found.mean <= found.margin
    assert found.high <= found.margin
    assert found.beyond <= 0.05
    assert found.promoted > 0.01, "a rule that never promotes cannot drift"


def test_every_margin_is_simulated() -> None:
    assert {found.margin for found in DRIFTS} == set(MARGINS)
    assert all(len(found.worse) == len(found.equal) == len(found.better) == len(MARGINS) for found in RATES)
