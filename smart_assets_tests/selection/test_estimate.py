"""Estimates of time and memory: what must grow, what is refused, rates that survive JSON; and the benchmark itself."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.selection.estimate import estimate, estimate_groups
from smart_assets.selection.greedy import Limits
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective
from smart_assets.selection.rates import Rates, measure_rates

EACH = pytest.mark.parametrize(
    "objective", [GraphCut(), LogDeterminant(), FacilityLocation()], ids=lambda objective: objective.name
)


@pytest.fixture(scope="module")
def rates() -> Rates:
    return measure_rates()


@EACH
def test_more_vectors_and_dimensions_take_more(objective: Objective, rates: Rates) -> None:
    sizes = [estimate((size, 384), objective, rates=rates) for size in (100, 1000, 10_000, 100_000, 1_000_000)]
    assert [one.seconds for one in sizes] == sorted(one.seconds for one in sizes)
    assert [one.bytes for one in sizes] == sorted(one.bytes for one in sizes)
    assert estimate((10_000, 1024), objective, rates=rates).seconds > sizes[2].seconds


@EACH
def test_a_budget_takes_no_more_than_all(objective: Objective, rates: Rates) -> None:
    part, whole = (estimate((20_000, 64), objective, budget=budget, rates=rates) for budget in (100, None))
    assert 0 < part.seconds <= whole.seconds


def test_facility_location_keeps_to_its_memory(rates: Rates) -> None:
    small = estimate((100_000, 64), FacilityLocation(), limits=Limits(memory_bytes=2**28), rates=rates)
    assert small.bytes < estimate((100_000, 64), FacilityLocation(), rates=rates).bytes


def test_groups_take_as_long_as_all_of_them_and_no_less_than_the_longest(rates: Rates) -> None:
    one = estimate_groups([3000], 64, FacilityLocation(), rates=rates)
    many = estimate_groups([3000] * 20, 64, FacilityLocation(), rates=rates)
    assert one.seconds < many.seconds <= 20 * one.seconds * 1.001


def test_rates_survive_json(rates: Rates) -> None:
    assert Rates.read_from(json.loads(json.dumps(asdict(rates)))) == rates


def test_what_cannot_be_estimated_is_refused(rates: Rates) -> None:
    with pytest.raises(SelectionError, match="at least 1"):
        estimate((0, 4), GraphCut(), rates=rates)
    with pytest.raises(BudgetError, match="at least 1; got 0"):
        estimate((4, 4), GraphCut(), budget=0, rates=rates)
    with pytest.raises(SelectionError, match="at least one"):
        estimate_groups([], 4, GraphCut(), rates=rates)


def test_the_benchmark_measures_both_and_writes_their_ratios(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.selection", "--sizes", "200", "--objectives", "graph_cut"]
    subprocess.run([*command, "--out", str(out)], cwd=Path(__file__).parents[2], check=True, capture_output=True)
    [row] = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert (row["case"], row["size"]) == ("graph_cut", 200)
    assert row["time_ratio"] > 0
    assert row["ours"]["seconds"] > 0
