from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.training.batches import cut, micro_batches_a_step, training_batches

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def naive_cost(lengths: list[int], ends: list[int]) -> int:
    """The sum of squared padded sizes; written to be read."""
    starts = [0, *ends[:-1]]
    return sum(((end - start) * lengths[start]) ** 2 for start, end in zip(starts, ends, strict=True) if end > start)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), count=st.integers(1, 6))
def test_no_way_to_cut_is_better(lengths: list[int], count: int) -> None:
    falling = sorted(lengths, reverse=True)
    runs = min(count, len(falling))
    every_way = [[*ends, len(falling)] for ends in combinations(range(1, len(falling)), runs - 1)]
    ends = cut(np.array(falling), count)
    assert len(ends) == count
    assert ends[runs - 1 :] == [len(falling)] * (count - runs + 1)
    assert naive_cost(falling, ends) == min(naive_cost(falling, way) for way in every_way)


@given(
    lengths=LENGTHS,
    epochs=st.floats(0.1, 3),
    effective_batch=st.integers(1, 9),
    count=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_epoch_is_a_permutation_in_steps_of_sorted_micro_batches(
    lengths: list[int], epochs: float, effective_batch: int, count: int, seed: int
) -> None:
    batches = training_batches(lengths, epochs, effective_batch, count, seed)
    order = [place for batch in batches for place in batch]
    assert len(order) == max(1, round(len(lengths) * epochs))
    seen = np.bincount(order, minlength=len(lengths))
    assert seen.max() - seen.min() <= 1
    assert len(batches) == count * -(-len(order) // effective_batch)
    for start in range(0, len(batches), count):
        step = [lengths[place] for batch in batches[start : start + count] for place in batch]
        assert step == sorted(step, reverse=True)
        assert len(step) == effective_batch or start + count == len(batches)
    assert batches == training_batches(lengths, epochs, effective_batch, count, seed)


def test_another_seed_gives_another_order() -> None:
    lengths = list(range(1, 101))
    assert training_batches(lengths, 1, 10, 2, 0) != training_batches(lengths, 1, 10, 2, 1)


def test_a_long_row_stands_alone_and_short_ones_together() -> None:
    assert cut(np.array([1000] + [100] * 63), 8) == [1, 10, 19, 28, 37, 46, 55, 64]


@pytest.mark.parametrize(
    ("effective_batch", "micro_batch", "processes", "count"),
    [(64, 8, 1, 8), (64, 8, 2, 8), (64, 8, 3, 9), (8, 8, 2, 2), (1, 1, 4, 4)],
)
def test_every_process_has_as_many_micro_batches(
    effective_batch: int, micro_batch: int, processes: int, count: int
) -> None:
    assert micro_batches_a_step(effective_batch, micro_batch, processes) == count
