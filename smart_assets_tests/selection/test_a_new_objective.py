"""An objective that the product does not know: one module and its place in the registry, in a copy of the product."""

import os
import subprocess
import sys
from pathlib import Path

import smart_assets

PRODUCT = Path(smart_assets.__file__).parent
REGISTRY = "objectives.py"

TOY = '''
"""A toy: how typical the rows are."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from smart_assets.selection.objective import SubmodularObjective


@dataclass(frozen=True, slots=True)
class Typical(SubmodularObjective):
    """f(S) = sum_{j in S} x_j . m, with the mean m of all rows."""

    compares_all_pairs: ClassVar[bool] = False
    name: Literal["typical"] = "typical"

    @property
    def label(self):
        return self.name

    def value(self, vectors, subset):
        return float(self.ordered_gains(vectors, subset).sum())

    def marginal_gains(self, vectors, subset):
        gains = vectors @ vectors.mean(axis=0)
        gains[subset] = 0
        return gains

    def ordered_gains(self, vectors, order):
        return vectors[order] @ vectors.mean(axis=0)

    def marginal(self, ground, shared):
        return TypicalMarginal(ground.unit(slice(None)))


class TypicalMarginal:
    def __init__(self, vectors):
        self._gains = vectors @ vectors.mean(axis=0)

    def gains(self, ids):
        return self._gains[ids]

    def take(self, index):
        pass
'''

PROGRAM = """
import sys
from pathlib import Path

import numpy as np
import pytest

from smart_assets.assets.checks.artifact_checks import orderings_reproduce
from smart_assets.core.errors import SelectionError
from smart_assets.selection.approximate import NearestNeighbours, StochasticGreedy, approximate_ordering
from smart_assets.selection.greedy import greedy_ordering, unit_rows
from smart_assets.selection.objectives import OBJECTIVE_NAMES
from smart_assets.selection.toy import Typical
from smart_assets_tests.support.make import current, make, read_rows
from smart_assets_tests.support.plans import current_plan
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.selection_oracle import assert_greedy

assert OBJECTIVE_NAMES[-1] == "typical"
vectors = unit_rows(np.random.default_rng(0).normal(size=(40, 5)))
assert_greedy(greedy_ordering(vectors, Typical()), vectors, Typical())
assert greedy_ordering(np.eye(4), Typical()).indices.tolist() == [0, 1, 2, 3]  # ties go to the lowest index
sampled = approximate_ordering(vectors, Typical(), StochasticGreedy(0.5))
assert sorted(sampled.indices) == list(range(40))
for engine in ("submodlib", "cuda"):
    with pytest.raises(SelectionError, match=f"the engine '{engine}' has no typical"):
        greedy_ordering(vectors, Typical(), engine=engine)
with pytest.raises(SelectionError, match="approximates facility_location only; got typical"):
    approximate_ordering(vectors, Typical(), NearestNeighbours())

recipe = {"task_budgets": "typical", "instances": "typical"}
project = write_project(Path(sys.argv[1]), changes={"budgets": [10], "recipes": {"toy": recipe}})
assert current_plan(project)["selected_subset[10|toy]"].step.status in ("missing", "waiting")
make(project, "selected_subset[10|toy]")
assert current_plan(project)["selected_subset[10|toy]"].step.status == "current"
assert len(read_rows(project, "selected_subset", "subset.parquet", "10|toy")) == 10
groups = read_rows(project, "instance_orderings", "groups.parquet", "small")
assert {group["objective"] for group in groups} == {"typical"}
checked = orderings_reproduce(project, "small")
assert checked.passed, checked.sentence
assert checked.figures["gains recomputed"] == len(groups)
schema = project.settings.model_json_schema()["$defs"]
assert schema["Typical"]["properties"]["name"]["const"] == "typical"
"""


def copied_product(root: Path) -> Path:
    """A copy of the product with the toy in it: links to every file but the registry."""
    room = root / "smart_assets" / "selection"
    room.mkdir(parents=True)
    for source in (PRODUCT, PRODUCT / "selection"):
        for path in source.iterdir():
            if path.name not in ("selection", REGISTRY):
                (root / "smart_assets" / path.relative_to(PRODUCT)).symlink_to(path)
    registry = (PRODUCT / "selection" / REGISTRY).read_text()
    union, entry = "GraphCut | LogDeterminant", "from smart_assets.selection.toy import Typical"
    assert union in registry
    (room / REGISTRY).write_text(
        registry.replace(union, f"{union} | Typical").replace("_AnyObjective =", f"{entry}\n\n_AnyObjective =")
    )
    (room / "toy.py").write_text(TOY)
    return root


def test_it_orders_is_planned_made_and_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    path = f"{copied_product(tmp_path / 'copy')}{os.pathsep}{PRODUCT.parent}"
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(program), str(tmp_path / "project")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
