"""A metric is known in the registry and where it is computed: added in these two files, it is everywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import smart_assets
from smart_assets_tests.support.evaluation_tasks import write_collection
from smart_assets_tests.support.tiny_model import make_tiny_model

ENTRY = """    RowMetric(
        name="acc_bytes",
        unit="",
        direction=Direction.HIGHER,
        numerator="right_by_bytes",
        measured_on="choices",
        right_or_wrong=True,
    ),
)

OWN_METRICS ="""
RANKING = """    lengths = np.array([len(choice.encode()) for choice in row.choices])
    rankings = {"right_by_bytes": bare / lengths, "choice_correct": with_end,"""
EDITS = {
    "core/metrics.py": (")\n\nOWN_METRICS =", ENTRY),
    "evaluation/scoring.py": ('    rankings = {"choice_correct": with_end,', RANKING),
}

PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path

from smart_assets.assets.reading.row_results import row_results
from smart_assets.comparison.compare_recipes import ComparisonSpec, compare_recipes
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.report.difference_chapter import difference_chapter
from smart_assets.settings.automation import Promotion
from smart_assets.settings.smart_yaml import Settings

folder = Path(sys.argv[1])
settings = {"held_out": False, "collections": {"c": {"path": str(folder / "c")}}, "generate": {"rows_per_task": 0}}
job = {"model": folder / "model", "model_cache": folder, "out": folder / "out", "evaluate": settings}
evaluate(EvaluationJob.model_validate(job), lambda line: None)
recorded = RecordedEvaluation(folder / "out")
one = row_results(recorded, 10, "smart", 0)
compared = compare_recipes([one, replace(one, recipe="random")], ComparisonSpec({"random": "random"}))
rule = {"budget": 10, "recipe": "smart", "margin": 0.1, "benchmark": "c", "metric": "acc_bytes"}
sources = {"s": {"kind": "folder", "path": "s"}}
names = {"budgets": [10], "recipes": ["smart"], "sources": sources, "finetune": {"base_model": "m"}}
Settings.model_validate({**names, "evaluate": settings, "promotion": rule})
print(json.dumps({
    "metrics.parquet": sorted(set(recorded.metrics["metric"].to_pylist())),
    "rows.parquet": recorded.rows.column_names,
    "row results": list(recorded.row_results("c")[0].measured),
    "compared": [comparison.metric.name for comparison in compared],
    "report": [table.caption for table in difference_chapter(compared, ["smart", "random"]).tables],
    "documentation": Promotion.model_fields["metric"].description,
}))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the product says in which only the two files know of the metric."""
    folder = tmp_path_factory.mktemp("metric")
    package = Path(smart_assets.__file__).parent
    shutil.copytree(package, folder / "code" / "smart_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, after) in EDITS.items():
        path = folder / "code" / "smart_assets" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, name
        path.write_text(text.replace(before, after), encoding="utf-8")
    make_tiny_model(folder / "model", chat=True)
    write_collection(folder / "c")
    environment = os.environ | {"PYTHONPATH": str(folder / "code")}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("place", ["metrics.parquet", "compared", "documentation"])
def test_a_new_metric_is_known_by_its_name(answers: dict[str, Any], place: str) -> None:
    assert "acc_bytes" in answers[place]


@pytest.mark.parametrize("place", ["rows.parquet", "row results"])
def test_a_new_metric_has_its_column(answers: dict[str, Any], place: str) -> None:
    assert "right_by_bytes" in answers[place]


def test_the_report_shows_a_new_metric(answers: dict[str, Any]) -> None:
    assert any(caption.startswith("c: acc bytes: the recipe minus the other") for caption in answers["report"])
