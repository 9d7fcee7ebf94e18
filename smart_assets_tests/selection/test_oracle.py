"""The objectives' definitions in float64, written to be read, and the fast arithmetic against them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from smart_assets.core.errors import SelectionError
from smart_assets.selection.greedy import unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets_tests.support.selection_oracle import OBJECTIVES, Matrix, _opposed, definition, gain_of, unit_vectors


@settings(deadline=None, max_examples=150)
@given(vectors=unit_vectors(), objective=st.sampled_from(OBJECTIVES), seed=st.integers(0, 2**32))
def test_values_and_gains_agree_with_the_definitions(vectors: Matrix, objective: Objective, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(vectors))
    subset = order[: rng.integers(len(vectors) + 1)]
    function, kernel = definition(objective), vectors @ vectors.T

    assert objective.value(vectors, subset) == pytest.approx(function(kernel, subset.tolist()), abs=1e-9)
    gains = [0.0 if j in subset else gain_of(function, kernel, subset.tolist(), j) for j in range(len(vectors))]
    np.testing.assert_allclose(objective.marginal_gains(vectors, subset), gains, atol=1e-9)
    along = [gain_of(function, kernel, order[:k].tolist(), j) for k, j in enumerate(order)]
    np.testing.assert_allclose(objective.ordered_gains(vectors, order), along, atol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
def test_blocks_of_a_large_ground_set_meet_without_a_seam(
    objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit_rows(_opposed(np.random.default_rng(5), 700, 8))
    order = np.random.default_rng(6).permutation(700)
    monkeypatch.setattr("smart_assets.selection.facility_location._BLOCK_BYTES", 8 * 700 * 33)

    gains = objective.ordered_gains(vectors, order)

    for k in (0, 1, 32, 33, 256, 257, 699):
        assert gains[k] == pytest.approx(objective.marginal_gains(vectors, order[:k])[order[k]], abs=1e-8)
    assert gains.sum() == pytest.approx(objective.value(vectors, order), rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
def test_the_empty_subset_is_worth_nothing(objective: Objective) -> None:
    vectors = unit_rows(np.eye(3))
    assert objective.value(vectors, np.empty(0, dtype=np.int64)) == 0


def test_labels_name_every_parameter_in_one_spelling() -> None:
    assert FacilityLocation().label == "facility_location"
    assert GraphCut(1).label == GraphCut(1.0).label == "graph_cut(redundancy_weight=1.0)"
    assert LogDeterminant(0.25).label == "log_determinant(regularization=0.25)"


@pytest.mark.parametrize("weight", [-0.1, 2e6, float("nan"), float("inf")])
def test_graph_cut_refuses_weight(weight: float) -> None:
    with pytest.raises(SelectionError, match=r"redundancy_weight of graph_cut must lie in \[0, 1e\+06\]; got"):
        GraphCut(weight)


@pytest.mark.parametrize("weight", [0.0, -1.0, 2e6, float("nan")])
def test_log_determinant_refuses_regularization(weight: float) -> None:
    with pytest.raises(SelectionError, match=r"regularization of log_determinant must lie in \(0, 1e\+06\]; got"):
        LogDeterminant(weight)


PARSE = TypeAdapter[Objective](Objective)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.label)
def test_objectives_survive_json(objective: Objective) -> None:
    assert PARSE.validate_json(PARSE.dump_json(objective)) == objective


def test_a_bare_name_stands_for_the_defaults() -> None:
    assert PARSE.validate_python("graph_cut") == GraphCut(0.4)


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        pytest.param("graphcut", "'facility_location', 'graph_cut', 'log_determinant'", id="unknown name"),
        pytest.param({"redundancy_weight": 0.4}, "Unable to extract tag", id="no name"),
        pytest.param({"name": "graph_cut", "redundancy_weight": -1}, "greater than or equal to 0", id="negative"),
        pytest.param({"name": "graph_cut", "redundancy_weight": float("nan")}, "redundancy_weight", id="nan"),
        pytest.param({"name": "graph_cut", "lambda": 0.4}, "Unexpected keyword argument", id="unknown parameter"),
        pytest.param({"name": "log_determinant", "regularization": 0}, "greater than 0", id="zero regularization"),
        pytest.param({"name": "facility_location", "redundancy_weight": 1}, "Unexpected keyword", id="not its own"),
        pytest.param(7, "valid dictionary", id="a number"),
    ],
)
def test_settings_refuse_objective(spelled: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PARSE.validate_python(spelled)
