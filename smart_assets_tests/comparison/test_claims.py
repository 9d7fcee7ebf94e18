"""The simulation of the report's claims: few reports of each setting, so that bounds are loose; the seed is fixed."""

import numpy as np
import pytest

from benchmarks.claims import (
    Pages,
    Stops,
    Verdicts,
    page_table,
    pages_as_markdown,
    stop_table,
    stops_as_markdown,
    verdict_table,
    verdicts_as_markdown,
)

TRIALS = 120
WORST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)
"""What a true rate of 5% exceeds in one of a thousand such simulations."""


@pytest.fixture(scope="module")
def verdicts() -> list[Verdicts]:
    return verdict_table(TRIALS, 1, tasks=(10,), rows=(10,))


def test_intervals_hold_the_truth(verdicts: list[Verdicts]) -> None:
    for one in verdicts:
        assert min(one.difference, one.score, one.share) >= 1 - WORST
    assert np.mean([one.difference for one in verdicts]) <= 0.985


def test_false_verdicts_are_rare_and_there_is_none_on_one_training(verdicts: list[Verdicts]) -> None:
    for one in verdicts:
        assert one.wrong <= one.false <= (WORST if one.seeds > 1 else 0.0)
        assert sum(one.right) == 0 if one.seeds == 1 else list(one.right) == sorted(one.right)
    assert min(one.right[-1] for one in verdicts if one.seeds == 5) > 0.4


def test_a_page_of_equal_recipes_rarely_holds_a_claim() -> None:
    one, two, three = page_table(25, 2, seeds=(1, 2, 3))
    assert (one.claims, one.uncorrected, one.any_corrected) == (0, 0, 0)
    for found in (two, three):
        assert found.claims == 2 * (10 + 12 + 6 + 6)  # losses and exact matches: recipes, base model, budgets twice
        assert found.uncorrected <= 0.07
        assert found.any_corrected <= 0.12


def test_few_reports_stop_too_early() -> None:
    found = stop_table(60, 3, seeds=(1, 3))
    for one in found:
        assert one.false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
        assert (one.false, one.right) == (0, 0) if one.seeds == 1 else one.right + one.false <= 1
    assert next(one for one in found if (one.truth, one.seeds) == ("equal", 3)).right > 0.05


def test_the_tables() -> None:
    assert verdicts_as_markdown([Verdicts(3, 2, 10, 0.951, 0.94, 1.0, 0.05, (0.1, 0.4, 0.75), 0.0)]).endswith(
        "| 3 | 2 | 10 | 0.951 | 0.940 | 1.000 | 5.0% | 10% / 40% / 75% |"
    )
    assert pages_as_markdown([Pages(2, 68.0, 0.014, 0.005)]).endswith("| 2 | 68 | 1.4% | 0.5% |")
    assert stops_as_markdown([Stops("equal", 5, 0.0, 0.25)]).endswith("| equal | 5 | 0.0% | 25.0% |")
