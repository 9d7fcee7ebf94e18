"""Intervals cover what they say, equal what slow and plain code gives, and are the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from smart_assets.statistics.intervals import Interval, difference, holm, mean_over_seeds
from smart_assets.statistics.resampling import RESAMPLES, Resampled, Stratum, resample_rows


def strata_of(*sizes: int, models: int = 1, seed: int = 0) -> list[Stratum]:
    """Tasks of uneven rows: losses between 0 and a few nats a token."""
    rng = np.random.default_rng(seed)
    found = []
    for size in sizes:
        tokens = rng.integers(1, 30, (size, 1)).astype(float)
        found.append(Stratum(tokens * rng.gamma(2.0, 1.0, (size, models)), tokens))
    return found


def naive(strata: list[Stratum], resamples: int) -> np.ndarray:
    """Written to be read: draw rows of every task, sum, divide, mean over tasks."""
    rng = np.random.default_rng(123)
    found = []
    for _ in range(resamples):
        ratios = []
        for stratum in strata:
            rows = [rng.integers(len(stratum.numerators)) for _ in stratum.numerators]
            ratios.append(
                sum(stratum.numerators[row, 0] for row in rows) / sum(stratum.denominators[row, 0] for row in rows)
            )
        found.append(np.mean(ratios))
    return np.array(found)


def test_draws_are_those_of_a_plain_loop() -> None:
    strata = strata_of(12, 30, 30)
    found, expected = resample_rows(strata), naive(strata, 2000)
    assert found.values[0] == pytest.approx(
        np.mean([task.numerators.sum() / task.denominators.sum() for task in strata])
    )
    widened = np.sqrt(20 / 19)  # between the tasks' own factors
    for share in (0.025, 0.25, 0.5, 0.75, 0.975):
        plain = np.quantile(expected, share)
        assert np.quantile(found.draws[:, 0], share) == pytest.approx(
            found.values[0] + widened * (plain - found.values[0]), abs=0.1 * expected.std()
        )


def test_one_task_gives_scipys_interval() -> None:
    [stratum] = strata_of(25)

    def ratio(rows: np.ndarray, axis: int) -> np.ndarray:
        taken = rows.astype(int)
        return stratum.numerators[taken, 0].sum(axis=axis) / stratum.denominators[taken, 0].sum(axis=axis)

    expected = bootstrap(
        (np.arange(25),), ratio, n_resamples=RESAMPLES, method="percentile", vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = mean_over_seeds(resample_rows([stratum]))
    unwidened = [found.value + (bound - found.value) / np.sqrt(25 / 24) for bound in (found.low, found.high)]
    assert unwidened == pytest.approx([expected.low, expected.high], rel=1e-12)


def test_many_seeds_agree_with_scipys_resampling_of_seeds() -> None:
    rng = np.random.default_rng(2)
    losses = rng.normal(size=(60, 1)) + rng.normal(size=(1, 60)) + 0.1 * rng.normal(size=(60, 60))

    def mean(rows: np.ndarray, seeds: np.ndarray, axis: int) -> np.ndarray:
        by_row = losses.mean(axis=1)[rows.astype(int)].mean(axis=axis)
        return by_row + losses.mean(axis=0)[seeds.astype(int)].mean(axis=axis) - losses.mean()

    expected = bootstrap(
        (np.arange(60), np.arange(60)), mean, n_resamples=4999, method="percentile", vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = mean_over_seeds(resample_rows([Stratum(losses, np.ones((60, 1)))]))
    width = expected.high - expected.low
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=0.06 * width)


DATASETS = 600


def simulated(
    seeds: int, spread: tuple[float, float, float], sizes: tuple[int, ...] = (15, 15, 15, 15)
) -> list[Resampled]:
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
    found = resample_rows(strata, 799)
    columns = np.arange(DATASETS * seeds).reshape(DATASETS, seeds)
    return [Resampled(found.values[at], found.draws[:, at]) for at in columns]


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


def test_one_seed_does_not_know_the_noise_of_training() -> None:
    found = [mean_over_seeds(dataset) for dataset in simulated(1, (0.0, 1.0, 1.0))]
    assert coverage(found) < 0.5


def test_unpaired_seeds_cover_the_truth() -> None:
    found = [
        difference(Resampled(d.values[:3], d.draws[:, :3]), Resampled(d.values[3:], d.draws[:, 3:]), paired=False)
        for d in simulated(8, (1.0, 0.3, 0.3))
    ]
    assert 0.92 <= coverage(found) <= 0.995


def test_pairing_takes_out_what_rows_and_seeds_share() -> None:
    one = simulated(5, (1.0, 1.0, 0.1))[0]
    other = Resampled(one.values - 0.05, one.draws - 0.05)
    found = difference(one, other, paired=True)
    assert (found.low, found.value, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert found.excludes_zero
    apart = difference(one, other, paired=False)
    assert apart.low < 0 < apart.high


def test_equal_models_do_not_differ_wherever_they_stand() -> None:
    [one] = strata_of(25)
    copies = resample_rows([Stratum(np.repeat(one.numerators, 37, axis=1), one.denominators)])
    for at in range(37):
        first, other = (Resampled(copies.values[[place]], copies.draws[:, [place]]) for place in (0, at))
        assert difference(first, other, paired=True) == Interval(0.0, 0.0, 0.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), models=st.integers(1, 3))
def test_equal_rows_give_equal_draws(sizes: list[int], models: int) -> None:
    strata = strata_of(*sizes, models=models)
    one, again = resample_rows(strata, 50), resample_rows(strata, 50)
    assert np.array_equal(one.draws, again.draws)
    wide = resample_rows([Stratum(s.numerators, np.repeat(s.denominators, models, axis=1)) for s in strata], 50)
    assert wide.draws == pytest.approx(one.draws)
    if max(sizes) == 1:
        assert np.ptp(one.draws, axis=0) == pytest.approx(0)


def test_a_batch_changes_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = strata_of(7, 11)
    whole = resample_rows(strata, 100).draws
    monkeypatch.setattr("smart_assets.statistics.resampling._BATCH_VALUES", 64)
    assert resample_rows(strata, 100).draws == pytest.approx(whole, rel=1e-12)


def test_a_figure_that_is_no_number_is_known_by_itself_alone() -> None:
    [stratum] = strata_of(10, models=2)
    stratum.numerators[3, 1] = np.nan
    figures = resample_rows([stratum])
    sound, broken = (mean_over_seeds(Resampled(figures.values[at : at + 1], figures.draws[:, [at]])) for at in (0, 1))
    assert np.isfinite([sound.low, sound.high]).all()
    assert np.isnan([broken.low, broken.high, broken.p]).all()
    assert not broken.excludes_zero


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to resample"):
        resample_rows([])


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
    assert holm(np.array(p)).tolist() == falls
