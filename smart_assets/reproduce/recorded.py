"""Settings as manifests record them: what a subset or checkpoint was made with, whatever `smart.yaml` says by now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smart_assets.assets import catalog, evaluation_overlap, finetuned_checkpoint
from smart_assets.assets.model_records import CheckpointParameters
from smart_assets.assets.records import (
    EmbeddingParameters,
    EmbeddingSummary,
    OrderingParameters,
    OverlapParameters,
    RawTasksParameters,
    SubsetParameters,
)
from smart_assets.assets.step import AssetPartition, split_grid_key
from smart_assets.contamination.settings import Contamination
from smart_assets.core.errors import SmartError
from smart_assets.mixture.recipes import Recipe
from smart_assets.planning.graph import desired_state
from smart_assets.planning.plan import parameter_differences
from smart_assets.reproduce.ancestors import Ancestors
from smart_assets.selection.settings import Selection
from smart_assets.settings import Project, Settings
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version
from smart_assets.tasks.sources import Validation, recorded_source
from smart_assets.training.settings import Finetune

OVERLAP = AssetPartition(evaluation_overlap.NAME)
# Objectives of other recipes are ordered beside those of this one and change nothing of it.
_OTHER_RECIPES = "objectives"
# Which code orders or computes is no setting.
_CODE = "engine"
# What was forgotten since is not read again; whether that changed the subset, comparing tells.
_FORGOTTEN = "forgotten"
# Set as recorded; whether any text repeats shows only when the rows are there again.
_TEXTS_ONCE = "texts_once"


def project_as_recorded(project: Project, ancestors: Ancestors, store: Path) -> Project:
    """Return the project as it was when a subset was made, with one partition and a store of its own.

    Sources, the split, budget, recipe, unseen tasks, seeds and the engine are those of the manifests; all else stays as
    `smart.yaml` has it.

    Args:
        project: as it is now.
        ancestors: the subset, and what it was made from.
        store: the folder of the empty store.

    Raises:
        SmartError: a manifest records settings that this version of smart-assets does not know.
    """
    try:
        changes = _recorded(project.settings, ancestors)
    except (ValidationError, KeyError) as error:
        raise _unknown_settings(ancestors.subset, error) from error
    return replace(project, settings=project.settings.model_copy(update={**changes, "store": str(store)}))


def overlap_is_given(project: Project, ancestors: Ancestors) -> str | None:
    """Return why the rows that hold evaluation text are not looked for again.

    None where they are, or none were left out.

    Args:
        project: as recorded.
        ancestors: the subset, and what it was made from.
    """
    overlap = ancestors.overlap
    if overlap is None:
        return None
    now = desired_state(project, OVERLAP)
    if not ancestors.overlap_explained:
        why = "were found in another state of the sources, or by vectors that are not in the store any more"
    elif now.problem is not None:
        why = f"were found by evaluation sets that cannot be read now ({now.problem})"
    elif overlap.code_version != now.code_version:
        why = f"were found by the rules of code version {overlap.code_version}, here it is {now.code_version}"
    elif json_version([overlap.parameters, overlap.outside]) != json_version([now.parameters, now.outside]):
        why = "were found by evaluation sets, or an encoder, that are not those of smart.yaml any more"
    else:
        return None
    return f"the rows that hold evaluation text {why}: they are taken as they are stored"


def trained_as_recorded(project: Project, checkpoint: Manifest, seeds: Sequence[int] | None) -> Project:
    """Return a project whose fine-tune is that of a checkpoint's manifest; the base model stays as `smart.yaml` has it.

    Args:
        project: as recorded otherwise.
        checkpoint: what is to be trained again.
        seeds: some of its seeds; None for all.

    Raises:
        SmartError: the manifest records settings that this version of smart-assets does not know.
    """
    now = project.settings.finetune.model_dump()
    try:
        finetune = Finetune.model_validate(now | CheckpointParameters.read(checkpoint).finetune)
    except (ValidationError, KeyError) as error:
        raise _unknown_settings(checkpoint, error) from error
    finetune = finetune.model_copy(update={"seeds": list(seeds or finetune.seeds)})
    return replace(project, settings=project.settings.model_copy(update={"finetune": finetune}))


def _unknown_settings(manifest: Manifest, error: Exception) -> SmartError:
    return SmartError(
        f"the manifest of {manifest.asset}[{manifest.partition}] records settings that this version of smart-assets "
        f"does not know: reproduce it with the version that made it\n{error}"
    )


def _recorded(settings: Settings, ancestors: Ancestors) -> dict[str, Any]:
    subset = SubsetParameters.read(ancestors.subset)
    _, recipe = split_grid_key(ancestors.subset.partition)
    rows = {source: RawTasksParameters.read(manifest) for source, manifest in ancestors.rows.items()}
    validation = dict(next(iter(rows.values())).validation)
    contamination: dict[str, Any] = {"exclude": subset.exclude}
    if ancestors.overlap is not None:
        overlap = OverlapParameters.read(ancestors.overlap)
        validation["similarity"] = overlap.near_duplicate
        contamination |= overlap.contamination
    changes: dict[str, Any] = {
        "sources": {source: recorded_source(parameters.source) for source, parameters in rows.items()},
        "validation": Validation.model_validate(validation),
        "contamination": Contamination.model_validate(contamination),
        "budgets": (subset.budget,),
        "recipes": {recipe: Recipe.model_validate({**subset.recipe, "repeat_texts": not subset.texts_once})},
        "evaluate": settings.evaluate.model_copy(update={"unseen_tasks": subset.unseen_tasks or []}),
    }
    if subset.seeds is not None:
        changes["finetune"] = settings.finetune.model_copy(update={"seeds": subset.seeds})
    for vectors in ancestors.orderings.values():
        changes["selection"] = _selection(settings.selection, OrderingParameters.read(vectors))
    for vectors in ancestors.vectors.values():
        precision, windows = EmbeddingSummary.read(vectors).precision, EmbeddingParameters.read(vectors).windows or 1
        changes["embedding"] = settings.embedding.model_copy(update={"precision": precision, "windows": windows})
    return changes


def _selection(selection: Selection, parameters: OrderingParameters) -> Selection:
    """Return the engine and the bound of approximation that orderings were made with."""
    ours = selection.engine if selection.engine != "submodlib" else "cpu"
    engine = "submodlib" if parameters.engine.startswith("submodlib") else ours
    bound = parameters.approximate[0] if parameters.approximate else None
    return selection.model_copy(update={"engine": engine, "approximate_above": bound})


def require_recorded_settings(project: Project, made: Mapping[AssetPartition, Manifest]) -> tuple[str, ...]:
    """Refuse what cannot be made as it was; give in words which code differs from that of then.

    Args:
        project: as recorded.
        made: the manifests of what is to be made again.

    Raises:
        SmartError: parameters differ, such as the encoder's or the base model's content.
    """
    notes: list[str] = []
    for key, manifest in made.items():
        planned = catalog.asset(key.asset).step.desired(project, key.partition)
        then, now = _comparable(manifest.parameters), _comparable(planned.parameters)
        if key.asset == finetuned_checkpoint.NAME:  # a part of its seeds may be trained
            then["finetune"], now["finetune"] = (
                {**parameters["finetune"], "seeds": None} for parameters in (then, now)
            )
        differences = parameter_differences(key, then, now)
        if differences:
            raise SmartError(
                f"{key} {manifest.content_version[:12]} was made from what is not here any more, or with settings that "
                f"smart.yaml has changed since (then -> now): {'; '.join(differences)}. Set them back in smart.yaml to "
                "reproduce it"
            )
        notes += _code_differences(key, manifest, planned.code_version, planned.parameters.get(_CODE))
        if manifest.parameters.get(_FORGOTTEN) != planned.parameters.get(_FORGOTTEN):
            notes.append(f"rows of {key} were forgotten since, or are not any more: they are not those of then")
    return tuple(notes)


def _comparable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    beside = (_OTHER_RECIPES, _CODE, _FORGOTTEN, _TEXTS_ONCE)
    return {name: value for name, value in parameters.items() if name not in beside}


def _code_differences(key: AssetPartition, manifest: Manifest, code: str, engine: object) -> Iterator[str]:
    if manifest.code_version != code:
        yield f"{key} was made by code version {manifest.code_version}, here it is {code}"
    then = manifest.parameters.get(_CODE)
    if then != engine:
        yield f"{key} was made by the engine {then}, here it is {engine}"


def changed_since(project: Project, subset: Manifest) -> tuple[str, ...]:
    """Return what `smart.yaml` wants otherwise by now, in words; none where it still wants this subset."""
    budget, recipe = split_grid_key(subset.partition)
    if budget not in project.settings.budgets or recipe not in project.settings.recipes:
        return (f"smart.yaml has no {subset.partition} any more",)
    key = AssetPartition(subset.asset, subset.partition)
    now = catalog.asset(key.asset).step.desired(project, key.partition)
    words = parameter_differences(key, subset.parameters, now.parameters)
    return tuple(f"smart.yaml has changed since (then -> now): {difference}" for difference in words)
