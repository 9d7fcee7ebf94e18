"""Reading what each evaluated model did row by row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.evaluation.metrics import ROW_COLUMNS
from smart_assets.metrics import HELD_OUT
from smart_assets.pipeline.step import Inputs, grid_key
from smart_assets.report.row_results import CHOICES, RowResults
from smart_assets.settings import Project


def read_results(project: Project, inputs: Inputs) -> list[RowResults]:
    """The base model's rows and those of every seed of every evaluation that is there."""
    found: list[RowResults] = []
    if inputs.find("base_model_results") is not None:
        found.append(_read(inputs.folder("base_model_results") / "base", None, None, None))
    for budget in project.settings.budgets:
        for recipe in project.settings.recipes:
            key = grid_key(budget, recipe)
            if inputs.find("eval_results", key) is not None:
                for folder in sorted(inputs.folder("eval_results", key).glob("seed-*")):
                    found.append(_read(folder, budget, recipe, int(folder.name.removeprefix("seed-"))))
    return found


def _read(folder: Path, budget: int | None, recipe: str | None, seed: int | None) -> RowResults:
    rows = pq.read_table(folder / "rows.parquet")
    benchmarks = rows["benchmark"].to_pylist() if "benchmark" in rows.column_names else [HELD_OUT] * rows.num_rows
    return RowResults(
        budget,
        recipe,
        seed,
        keys=list(zip(benchmarks, rows["task"].to_pylist(), rows["id"].to_pylist(), strict=True)),
        loss_sums=rows["loss_sum"].to_numpy().astype("float64"),
        tokens=rows["tokens"].to_numpy().astype("float64"),
        exact_matches=rows["exact_match"].to_numpy().astype("float64"),
        right_choices={
            metric.name: rows[ROW_COLUMNS[metric]].cast(pa.float64()).to_numpy()  # null becomes NaN
            for metric in CHOICES
            if ROW_COLUMNS[metric] in rows.column_names
        },
    )
