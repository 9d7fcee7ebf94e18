"""Reading what each evaluated model did row by row."""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from smart_assets.assets import base_model_results, eval_results
from smart_assets.assets.step import SEED_FOLDERS, Inputs, grid_key, seed_of_folder
from smart_assets.comparison.row_results import RowResults
from smart_assets.evaluation.record import METRIC_COLUMNS
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import made_at


def read_results(project: Project, inputs: Inputs) -> list[RowResults]:
    """Return the base model's rows and those of every seed of every evaluation that is there.

    Other code or another form of prompts scores other tokens: such evaluations are marked as unlike the newest.
    """
    conditions: list[dict[str, object]] = []
    results: list[RowResults] = []
    for (budget, recipe), manifest in _evaluations(project, inputs).items():
        for folder in sorted(inputs.store.artifact(manifest).glob("base" if budget is None else SEED_FOLDERS)):
            seed = seed_of_folder(folder.name)
            evaluation = RecordedEvaluation(folder)
            results.append(replace(row_results(evaluation, budget, recipe, seed), evaluated=made_at(manifest)))
            conditions.append(_conditions(manifest, evaluation))
    if not results:
        return []
    newest = conditions[max(range(len(results)), key=lambda place: results[place].evaluated)]
    return [replace(result, unlike=unlike_in(own, newest)) for result, own in zip(results, conditions, strict=True)]


def _conditions(manifest: Manifest, evaluation: RecordedEvaluation) -> dict[str, object]:
    """Return what decides which tokens of a row are scored, by name."""
    result = evaluation.result
    known = {name: result[name] for name in ("prompt_format", "system_turns", "template_date") if name in result}
    return {"code": manifest.code_version, **known}


def unlike_in(conditions: Mapping[str, object], newest: Mapping[str, object]) -> str:
    """Return the conditions in which an evaluation is not like the newest, in words."""
    return " and ".join(f"other {name}" for name, value in conditions.items() if newest.get(name, value) != value)


def evaluation_times(project: Project, inputs: Inputs) -> dict[tuple[int | None, str | None], str]:
    """Return when the base model (None, None) and each budget and recipe was evaluated (ISO 8601)."""
    return {key: made_at(manifest) for key, manifest in _evaluations(project, inputs).items()}


def _evaluations(project: Project, inputs: Inputs) -> dict[tuple[int | None, str | None], Manifest]:
    keys: dict[tuple[int | None, str | None], Manifest | None] = {(None, None): inputs.find(base_model_results.NAME)}
    for budget in project.settings.budgets:
        for recipe in project.settings.recipes:
            keys[budget, recipe] = inputs.find(eval_results.NAME, grid_key(budget, recipe))
    return {key: manifest for key, manifest in keys.items() if manifest is not None}


def row_results(evaluation: RecordedEvaluation, budget: int | None, recipe: str | None, seed: int | None) -> RowResults:
    """Return what one recorded evaluation says of each row; budget, recipe and seed None for the base model."""
    rows = evaluation.rows
    measured = [name for name in METRIC_COLUMNS if name in rows.column_names]
    return RowResults(
        budget,
        recipe,
        seed,
        keys=list(zip(*(rows[name].to_pylist() for name in ("benchmark", "task", "id")), strict=True)),
        columns={name: rows[name].cast(pa.float64()).to_numpy() for name in measured},  # null becomes NaN
        refused=evaluation.refused,
    )
