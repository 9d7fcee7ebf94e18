"""What `smart_assets.selection` gives by name, and that a name costs only what it needs."""

import json
import subprocess
import sys

import numpy as np
import pytest

from smart_assets import selection
from smart_assets.selection import FacilityLocation, GraphCut, LogDeterminant, greedy_ordering


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_every_name_is_there_and_orders() -> None:
    assert all(getattr(selection, name) is not None for name in selection.__all__)
    assert dir(selection) == selection.__all__
    vectors = np.random.default_rng(0).standard_normal((20, 4))
    for objective in (FacilityLocation(), GraphCut(), LogDeterminant()):
        assert len(greedy_ordering(vectors, objective, budget=5).indices) == 5


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"'smart_assets\.selection' has no attribute 'facility'"):
        selection.facility  # noqa: B018


def test_importing_costs_only_what_is_asked_for() -> None:
    nothing = modules_after("pass")
    imported = modules_after("import smart_assets.selection") - nothing
    assert {name for name in imported if name.startswith("smart_assets")} == {"smart_assets", "smart_assets.selection"}
    assert "numpy" not in imported
    asked = modules_after(
        "from smart_assets.selection import greedy_ordering, GraphCut, FacilityLocation, LogDeterminant"
    )
    assert "numpy" in asked
    heavy = {"torch", "numba", "faiss", "submodlib", "dagster", "pandas", "pyarrow", "transformers", "matplotlib"}
    assert not heavy & asked
    rooms = {name.split(".")[1] for name in asked if name.startswith("smart_assets.")}
    assert rooms == {"core", "selection"}
