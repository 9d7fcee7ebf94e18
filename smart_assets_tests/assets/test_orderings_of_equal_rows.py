import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.selection.engines.equal_rows import by_index


def naive(rows: list[int], picks: list[int]) -> list[int]:
    """Every pick becomes the lowest row equal to it that no earlier pick has become; written to be read."""
    found: list[int] = []
    for pick in picks:
        found.append(next(row for row in range(len(rows)) if rows[row] == rows[pick] and row not in found))
    return found


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@given(rows=st.lists(st.integers(0, 3), min_size=1, max_size=30), chosen=st.randoms(use_true_random=False))
def test_equal_rows_go_by_index_and_nothing_else_moves(kind: type, rows: list[int], chosen: object) -> None:
    picks = list(range(len(rows)))
    chosen.shuffle(picks)  # type: ignore[attr-defined]
    picks = picks[: chosen.randint(1, len(picks))]  # type: ignore[attr-defined]
    vectors = np.random.default_rng(1).normal(size=(4, 5)).astype(kind)[rows]
    found = by_index(vectors, np.array(picks)).tolist()
    assert found == naive(rows, picks)
    assert len(set(found)) == len(picks)
    assert [rows[row] for row in found] == [rows[row] for row in picks]
