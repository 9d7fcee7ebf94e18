"""Reading what each evaluated model did row by row."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets.step import Inputs, grid_key, seed_of_folder
from smart_assets.comparison.row_results import CHOICES, RowResults
from smart_assets.core.metrics import HELD_OUT
from smart_assets.evaluation.metrics import ROW_COLUMNS
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import made_at


def read_results(project: Project, inputs: Inputs) -> list[RowResults]:
    """The base model's rows and those of every seed of every evaluation that is there.

    Other code or another form of prompts scores other tokens: such evaluations are marked as unlike the newest.
    """
    conditions: list[dict[str, object]] = []
    found: list[RowResults] = []
    for (budget, recipe), manifest in _evaluations(project, inputs).items():
        for folder in sorted(inputs.store.artifact(manifest).glob("base" if budget is None else "seed-*")):
            seed = seed_of_folder(folder.name)
            found.append(replace(_read(folder, budget, recipe, seed), evaluated=made_at(manifest)))
            conditions.append(_conditions(manifest, folder))
    if not found:
        return []
    newest = conditions[max(range(len(found)), key=lambda at: found[at].evaluated)]
    return [replace(one, unlike=unlike_in(its, newest)) for one, its in zip(found, conditions, strict=True)]


def _conditions(manifest: Manifest, folder: Path) -> dict[str, object]:
    """What decides which tokens of a row are scored, by name."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    known = {name: result.get(name) for name in ("prompt_format", "system_turns", "template_date") if name in result}
    return {"code": manifest.code_version, **known}


def unlike_in(one: Mapping[str, object], newest: Mapping[str, object]) -> str:
    """The conditions in which an evaluation is not like the newest, in words."""
    return " and ".join(f"other {name}" for name, value in one.items() if newest.get(name, value) != value)


def evaluation_times(project: Project, inputs: Inputs) -> dict[tuple[int | None, str | None], str]:
    """When the base model (None, None) and each budget and recipe was evaluated (ISO 8601), of those that were."""
    return {key: made_at(manifest) for key, manifest in _evaluations(project, inputs).items()}


def _evaluations(project: Project, inputs: Inputs) -> dict[tuple[int | None, str | None], Manifest]:
    keys: dict[tuple[int | None, str | None], Manifest | None] = {(None, None): inputs.find("base_model_results")}
    for budget in project.settings.budgets:
        for recipe in project.settings.recipes:
            keys[budget, recipe] = inputs.find("eval_results", grid_key(budget, recipe))
    return {key: manifest for key, manifest in keys.items() if manifest is not None}


def _read(folder: Path, budget: int | None, recipe: str | None, seed: int | None) -> RowResults:
    rows = pq.read_table(folder / "rows.parquet")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    refused: dict[str, list[dict[str, str]]] = result.get("refused", {})
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
        refused={
            (benchmark, row["task"], row["id"]): row["reason"] for benchmark, found in refused.items() for row in found
        },
    )
