"""The exact engines: every device and every path of theirs against the naive oracle and against submodlib's."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from numba.core.caching import CacheImpl

from smart_assets.core.errors import SelectionError
from smart_assets.selection.engines import facility_location, windows
from smart_assets.selection.engines.compiled import compiled
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.engines.torch_products import TorchProducts, bytes_needed
from smart_assets.selection.greedy import GreedyOrdering, Limits, greedy_ordering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets_tests.support.selection_oracle import (
    OBJECTIVES,
    SHAPES,
    TOLERANCE,
    Matrix,
    assert_greedy,
    definition,
    gain_of,
    submodlib_naive_greedy,
    unit_vectors,
)

Order = Callable[[Matrix, Objective], GreedyOrdering]


def on_cpu(vectors: Matrix, objective: Objective) -> GreedyOrdering:
    return greedy_ordering(vectors, objective, engine="cpu")


def with_torch(vectors: Matrix, objective: Objective) -> GreedyOrdering:
    """The GPU's code on CPU tensors."""
    ground = GroundSet.of(vectors)
    products = TorchProducts(ground, "cpu", 2**24)
    return GreedyOrdering(*objective.picks(ground, products, len(ground), Limits(), lambda *_: None))


ENGINES = {"cpu": on_cpu, "torch": with_torch}


@pytest.fixture
def narrow() -> Iterator[None]:
    """Windows so narrow that a dozen elements pass through several, and no room for facility location's pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "NARROWEST", 1)
        patch.setattr(windows, "FIRST", 1)
        patch.setattr(windows, "SHORT", 1)
        patch.setattr(windows, "RATIO", 2)
        patch.setattr(facility_location, "BYTES_PER_PAIR", 2**26)
        patch.setattr(facility_location, "_BATCH", 2)
        yield


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@settings(deadline=None, max_examples=120)
@given(vectors=unit_vectors(), objective=st.sampled_from(OBJECTIVES))
def test_every_pick_is_the_best_left_by_definition(engine: Order, vectors: Matrix, objective: Objective) -> None:
    ordering = engine(vectors, objective)
    function, kernel = definition(objective), vectors @ vectors.T
    for k, (index, gain) in enumerate(zip(ordering.indices.tolist(), ordering.gains, strict=True)):
        before = ordering.indices[:k].tolist()
        left = [gain_of(function, kernel, before, j) for j in range(len(vectors)) if j not in before]
        assert gain == pytest.approx(gain_of(function, kernel, before, index), abs=1e-8)
        assert gain >= max(left) - TOLERANCE
    assert ordering.value == pytest.approx(objective.value(vectors, ordering.indices), abs=1e-8)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@settings(deadline=None, max_examples=120)
@given(vectors=unit_vectors(max_size=40), objective=st.sampled_from(OBJECTIVES))
def test_narrow_windows_and_no_pairs_change_nothing(engine: Order, vectors: Matrix, objective: Objective) -> None:
    assert_greedy(engine(vectors, objective), vectors, objective)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.removeprefix("_"))
def test_large_ground_sets_are_ordered_greedily(
    engine: Order, objective: Objective, shape: Callable[..., Matrix]
) -> None:
    vectors = unit_rows(shape(np.random.default_rng(1), 260, 24))
    assert_greedy(engine(vectors, objective), vectors, objective)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.removeprefix("_"))
def test_submodlibs_naive_greedy_has_the_same_gains(objective: Objective, shape: Callable[..., Matrix]) -> None:
    vectors = unit_rows(shape(np.random.default_rng(2), 90, 12))
    theirs = submodlib_naive_greedy(vectors, objective)
    replayed = objective.ordered_gains(vectors, theirs.indices)
    np.testing.assert_array_less(np.abs(replayed - theirs.gains), 1e-5 * np.maximum(1, np.abs(replayed)) + 1e-12)


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_threads_and_memory_change_no_bit(objective: Objective) -> None:
    vectors = np.random.default_rng(3).normal(loc=0.1, size=(5000, 20)).astype(np.float32)
    one = greedy_ordering(vectors, objective, 600, "cpu", Limits(threads=1))
    three = greedy_ordering(vectors, objective, 600, "cpu", Limits(threads=3, memory_bytes=2**24))
    np.testing.assert_array_equal(one.indices, three.indices)
    np.testing.assert_array_equal(one.gains, three.gains)


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_small_regularizations_and_large_weights_stay_exact(objective: Objective) -> None:
    vectors = unit_rows(np.random.default_rng(4).normal(size=(60, 8)))
    for extreme in (GraphCut(1e3), LogDeterminant(1e-4), LogDeterminant(1e4)):
        ordering = greedy_ordering(vectors, extreme)
        for k in (0, 1, 7, 8, 30, 58):
            gains = extreme.marginal_gains(vectors, ordering.indices[:k])
            best = np.delete(gains, ordering.indices[:k]).max()
            assert gains[ordering.indices[k]] >= best - TOLERANCE * max(1, abs(best))


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_equal_vectors_go_by_their_index(objective: Objective) -> None:
    vectors = np.tile(np.random.default_rng(5).normal(size=(1, 6)), (300, 1))
    assert greedy_ordering(vectors, objective).indices.tolist() == list(range(300))


def test_vectors_that_cancel_have_no_centre_and_an_order() -> None:
    half = np.random.default_rng(6).normal(size=(40, 5))
    vectors = unit_rows(np.concatenate([half, -half]))
    assert_greedy(greedy_ordering(vectors, GraphCut()), vectors, GraphCut())


@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_progress_is_told_and_can_end_the_ordering(objective: Objective) -> None:
    vectors = np.random.default_rng(7).normal(size=(3000, 8))
    told: list[tuple[int, float]] = []
    greedy_ordering(vectors, objective, on_progress=lambda done, share: told.append((done, share)))
    assert told == sorted(told)
    assert told[-1] == (3000, 1.0)
    assert len(told) > 2

    def enough(done: int, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        greedy_ordering(vectors, objective, on_progress=enough)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"], ids=str)
def test_every_precision_and_layout_is_read(kind: object) -> None:
    vectors = np.asfortranarray(np.random.default_rng(8).normal(size=(50, 7)).astype(kind))
    ordering = greedy_ordering(vectors, FacilityLocation())
    assert_greedy(ordering, unit_rows(vectors), FacilityLocation())


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SelectionError, match=r"'cuda' needs a GPU.*use 'auto' or 'cpu'"):
        greedy_ordering(np.eye(3), FacilityLocation(), engine="cuda")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("smart_assets.selection.greedy.GPU_WORTH_PAIRS", 1)
    assert greedy_ordering(np.eye(3), FacilityLocation()).engine == "cpu"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        pytest.param({"threads": 0}, "at least 1 thread; got 0", id="no thread"),
        pytest.param({"memory_bytes": 1000}, r"at least 16777216 bytes \(16 MiB\); got 1000", id="no memory"),
    ],
)
def test_limits_refuse(limits: dict[str, int], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Limits(**limits)


def test_a_device_too_small_is_refused_before_anything_is_sent() -> None:
    ground = GroundSet.of(np.ones((1000, 4)))
    needed = bytes_needed(1000, 4, 8)
    with pytest.raises(
        SelectionError, match=f"1000 vectors of 4 dimensions need {needed} bytes on 'cpu'.*take {needed - 1}"
    ):
        TorchProducts(ground, "cpu", needed - 1)
    TorchProducts(ground, "cpu", needed)


def test_loops_compile_where_no_folder_can_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def double(value: float) -> float:
        return 2 * value

    assert compiled(types.float64)(double)(1.5) == 3.0


@pytest.mark.gpu
@pytest.mark.parametrize("objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda one: one.name)
def test_a_gpu_picks_what_the_cpu_picks(objective: Objective) -> None:
    vectors = np.random.default_rng(9).normal(size=(3000, 64)).astype(np.float32)
    cpu, cuda = (greedy_ordering(vectors, objective, engine=engine) for engine in ("cpu", "cuda"))
    np.testing.assert_array_equal(cpu.indices, cuda.indices)
    np.testing.assert_allclose(cpu.gains, cuda.gains, atol=1e-8)
