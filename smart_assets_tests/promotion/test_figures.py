"""Figures of lm-eval that the rule compares: which of them are shares of rows, each right or wrong."""

import numpy as np
import pytest

from smart_assets.promotion.figures import _whole_rows


@pytest.mark.parametrize(
    ("values", "rows", "shares"),
    [
        pytest.param([0.25, 0.5, 0.75], 4, True, id="some right"),
        pytest.param([0.0, 1.0, 0.5], 4, True, id="none and all right"),
        pytest.param([1 / 3, 2 / 3, 1.0], 3, True, id="but for rounding"),
        pytest.param([0.25, 0.3, 0.75], 4, False, id="one between"),
        pytest.param([0.25, 2.0, 0.75], 4, False, id="above one: a count"),
        pytest.param([0.25, -0.25, 0.75], 4, False, id="below zero"),
        pytest.param([0.2500001, 0.5, 0.75], 4, True, id="nearly whole"),
        pytest.param([0.251, 0.5, 0.75], 4, False, id="not so nearly"),
    ],
)
def test_shares_of_rows_are_told_from_other_figures(values: list[float], rows: int, shares: bool) -> None:
    both = np.array([values, [0.5, 0.5, 0.5] if rows != 3 else [0.0, 1.0, 1.0]])
    assert _whole_rows(both, np.full((2, 3), rows)) is shares
