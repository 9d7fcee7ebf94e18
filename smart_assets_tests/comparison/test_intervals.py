"""Intervals cover what they say, equal what slow and plain code gives, and are the same each time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind

from smart_assets.comparison.intervals import Interval, Spread, difference, holm_level, mean_over_seeds
from smart_assets.comparison.jackknife import Figures, Stratum, measure


def strata_of(*sizes: int, models: int = 1, seed: int = 0) -> list[Stratum]:
    """Tasks of uneven rows: losses between 0 and a few nats a token."""
    rng = np.random.default_rng(seed)
    found = []
    for size in sizes:
        tokens = rng.integers(1, 30, (size, 1)).astype(float)
        found.append(Stratum(tokens * rng.gamma(2.0, 1.0, (size, models)), tokens))
    return found


def jackknife(strata: list[Stratum], column: int) -> float:
    """The standard error by leaving out every row once, written to be read."""
    variance = 0.0
    for stratum in strata:
        n, tokens = len(stratum.numerators), stratum.denominators[:, 0]
        ratio = stratum.numerators[:, column].sum() / tokens.sum()
        without = [np.delete(stratum.numerators[:, column], at).sum() / np.delete(tokens, at).sum() for at in range(n)]
        variance += (n - 1) / n * sum((other - ratio) ** 2 for other in without) / len(strata) ** 2
    return float(np.sqrt(variance))


def test_figures_and_spread_are_those_of_a_plain_jackknife() -> None:
    strata = strata_of(12, 30, 31, models=2)
    found = measure(strata)
    assert found.values[1] == pytest.approx(
        np.mean([task.numerators[:, 1].sum() / task.denominators.sum() for task in strata])
    )
    for column in (0, 1):
        assert np.sqrt((found.deviations[:, column] ** 2).sum()) == pytest.approx(jackknife(strata, column))


def test_one_task_of_equal_weights_gives_scipys_t_test() -> None:
    differences = np.random.default_rng(5).normal(0.3, 1.0, 40)
    found = mean_over_seeds(measure([Stratum(differences[:, None], np.ones((40, 1)))]))
    expected = ttest_1samp(differences, 0.0)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    above = ttest_1samp(differences, 0.0, alternative="greater")
    assert found.spread.tail(found.value) == pytest.approx(above.pvalue)


def test_seeds_alone_give_scipys_t_test() -> None:
    seeds = np.array([0.1, -0.2, 0.35])
    found = mean_over_seeds(measure([Stratum(np.tile(seeds, (8, 1)), np.ones((8, 1)))]))
    expected = ttest_1samp(seeds, 0.0)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_seeds_of_their_own_give_welchs_t_test() -> None:
    one, other = np.array([0.1, -0.2, 0.35]), np.array([0.5, 0.2, 0.9, 0.4])
    figures = measure([Stratum(np.tile([*one, *other], (8, 1)), np.ones((8, 1)))])
    found = difference(figures.of([0, 1, 2]), figures.of([3, 4, 5, 6]), paired=False)
    expected = ttest_ind(one, other, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


@given(
    variances=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: sum(pair) > 1e-9),
    degrees=st.tuples(st.floats(1, 300), st.integers(1, 4)),
    tail=st.floats(1e-12, 0.5),
)
def test_bounds_and_p_are_one_curve(variances: tuple[float, float], degrees: tuple[float, int], tail: float) -> None:
    spread = Spread(variances, (degrees[0], float(degrees[1])))
    assert spread.tail(spread.reach(tail)) == pytest.approx(tail, rel=1e-6)
    assert spread.tail(-spread.reach(tail)) == pytest.approx(1 - tail, rel=1e-6)


@given(value=st.floats(-8, 8), seed=st.integers(0, 50))
def test_p_is_below_the_level_where_the_interval_excludes_zero(value: float, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(20, 3))
    found = mean_over_seeds(measure([Stratum(rows - rows.mean() + value * 0.3, np.ones((20, 1)))]))
    assert found.excludes_zero == (found.p < 0.05)


def test_a_task_of_one_row_has_the_spread_between_the_tasks() -> None:
    figures = measure([Stratum(np.array([[value]]), np.ones((1, 1))) for value in (1.0, 2.0, 6.0)])
    assert figures.deviations[:, 0] == pytest.approx([-1.0, -0.5, 1.5])  # to the mean of the other two, a third of it
    alone = mean_over_seeds(measure([Stratum(np.array([[1.0]]), np.ones((1, 1)))]))
    assert alone.value == 1.0
    assert np.isnan([alone.low, alone.high, alone.p]).all()


def test_shares_that_all_came_out_alike_still_have_a_spread() -> None:
    rows = [Stratum(np.zeros((20, 1)), np.ones((20, 1)))] * 2
    found = mean_over_seeds(measure(rows, shares=True))
    assert found.high == pytest.approx(2.02 / 40, rel=0.01)  # Student's t for 38 degrees, of one row in 40
    assert mean_over_seeds(measure(rows)).high == 0.0


DATASETS = 600


def simulated(
    seeds: int, spread: tuple[float, float, float], sizes: tuple[int, ...] = (15, 15, 15, 15)
) -> list[Figures]:
    """Seeds' figures in many datasets, whose truth is 0: with the spread of rows, of seeds, and of rows by seeds."""
    rng = np.random.default_rng(11)
    of_rows, of_seeds, of_both = spread
    shape = (1, DATASETS, seeds)
    shift = of_seeds * rng.normal(size=shape)
    strata = []
    for size in sizes:
        rows = of_rows * rng.normal(size=(size, DATASETS, 1)) + shift
        rows = rows + of_both * rng.normal(size=(size, DATASETS, seeds))
        strata.append(Stratum(rows.reshape(size, -1), np.ones((size, 1))))
    found = measure(strata)
    return [found.of(at) for at in np.arange(DATASETS * seeds).reshape(DATASETS, seeds).tolist()]


def coverage(intervals: list[Interval]) -> float:
    return float(np.mean([interval.low <= 0 <= interval.high for interval in intervals]))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    "spread",
    [(1.0, 0.0, 0.01), (0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.3, 1.0)],
    ids=["rows alone", "single rows of a seed", "seeds", "all"],
)
def test_intervals_cover_the_truth(seeds: int, spread: tuple[float, float, float]) -> None:
    assert 0.90 <= coverage([mean_over_seeds(dataset) for dataset in simulated(seeds, spread)]) <= 0.985


@pytest.mark.parametrize("sizes", [(4,) * 20, (15,) * 4, (40, 10)], ids=["few rows a task", "even", "uneven"])
def test_one_seed_covers_the_rows(sizes: tuple[int, ...]) -> None:
    found = [mean_over_seeds(dataset) for dataset in simulated(1, (1.0, 0.0, 0.0), sizes)]
    assert 0.90 <= coverage(found) <= 0.98


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (2,), (3,), (1, 2)], ids=str)
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_fewest_rows_cover_the_truth_too(seeds: int, sizes: tuple[int, ...]) -> None:
    found = [mean_over_seeds(dataset) for dataset in simulated(seeds, (1.0, 0.03, 0.3), sizes)]
    assert 0.925 <= coverage(found) <= 0.995


def test_one_seed_does_not_know_the_noise_of_training() -> None:
    found = [mean_over_seeds(dataset) for dataset in simulated(1, (0.0, 1.0, 1.0))]
    assert coverage(found) < 0.5


def test_unpaired_seeds_cover_the_truth() -> None:
    found = [
        difference(both.of([0, 1, 2]), both.of([3, 4, 5, 6, 7]), paired=False) for both in simulated(8, (1.0, 0.3, 0.3))
    ]
    assert 0.92 <= coverage(found) <= 0.995


def test_pairing_takes_out_what_rows_and_seeds_share() -> None:
    one = simulated(5, (1.0, 1.0, 0.1))[0]
    other = replace(one, values=one.values - 0.05)
    found = difference(one, other, paired=True)
    assert (found.low, found.value, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert found.excludes_zero
    apart = difference(one, other, paired=False)
    assert apart.low < 0 < apart.high


def test_equal_models_do_not_differ_wherever_they_stand() -> None:
    [one] = strata_of(25)
    copies = measure([Stratum(np.repeat(one.numerators, 37, axis=1), one.denominators)])
    for at in range(37):
        assert difference(copies.of([0]), copies.of([at]), paired=True) == Interval(0.0, 0.0, 0.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4), models=st.integers(1, 3))
def test_denominators_of_each_model_are_the_same_as_common_ones(sizes: list[int], models: int) -> None:
    strata = strata_of(*sizes, models=models)
    one = measure(strata)
    wide = measure([Stratum(s.numerators, np.repeat(s.denominators, models, axis=1)) for s in strata])
    assert wide.deviations == pytest.approx(one.deviations)
    assert wide.degrees == pytest.approx(one.degrees)


def test_a_figure_that_is_no_number_is_known_by_itself_alone() -> None:
    [stratum] = strata_of(10, models=2)
    stratum.numerators[3, 1] = np.nan
    figures = measure([stratum])
    sound, broken = (mean_over_seeds(figures.of([at])) for at in (0, 1))
    assert np.isfinite([sound.low, sound.high]).all()
    assert np.isnan([broken.low, broken.high, broken.p]).all()
    assert not broken.excludes_zero


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        measure([])


def test_two_seeds_of_the_same_share_are_not_certain_of_it() -> None:
    """They agree by chance in many reports; with no spread at all their difference would seem beyond any doubt."""
    right = np.zeros((100, 2))
    right[:10, 0] = right[5:15, 1] = 1.0
    found = mean_over_seeds(measure([Stratum(right, np.ones((100, 1)))], shares=True))
    assert found.value == 0.1
    assert found.p > 0.01


@pytest.mark.parametrize(
    ("p", "falls"),
    [
        ([], []),
        ([0.04], [True]),
        ([0.04, 0.04], [False, False]),
        ([0.04, 0.01], [True, True]),
        ([0.06, 0.001, 0.02], [False, True, True]),
        ([0.03, 0.04, 0.016], [False, False, True]),
    ],
    ids=["none", "one", "two alike", "the second at the full level", "stops at the third", "stops at the second"],
)
def test_holm(p: list[float], falls: list[bool]) -> None:
    level = holm_level(p)
    assert [each <= level for each in p] == falls


def test_forty_standard_deviations_hold_among_hundreds_of_claims() -> None:
    """A bootstrap of 4,999 draws cannot tell a p below 2 in 5,000, and from 126 claims on nothing could hold."""
    noise = np.random.default_rng(3).normal(size=(132, 5))
    found = [mean_over_seeds(measure([Stratum(np.tile(40 + each, (8, 1)), np.ones((8, 1)))])) for each in noise]
    assert max(one.p for one in found) < 2 / 5000
    p = [one.p for one in found]
    assert all(each <= holm_level([*p, *np.linspace(0.01, 1, 132)]) for each in p)
