"""The asset graph below Dagster: every asset's module, its partitions, and the order in which they are made."""

from collections.abc import Iterator
from functools import cache

from smart_assets.assets import (
    base_model_results,
    eval_results,
    evaluation_overlap,
    finetuned_checkpoint,
    instance_orderings,
    mixture_report,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
    similarity_index,
    task_scores,
)
from smart_assets.assets.step import AssetPartition, DesiredState, Step, grid_key
from smart_assets.core.errors import SmartError
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.planning.plan import CurrentState
from smart_assets.settings import Project
from smart_assets.store import Manifest

BY_SOURCE: dict[str, Step] = {
    "raw_tasks": raw_tasks,
    "prompt_embeddings": prompt_embeddings,
    "similarity_index": similarity_index,
    "instance_orderings": instance_orderings,
}
BY_BUDGET_AND_RECIPE: dict[str, Step] = {
    "selected_subset": selected_subset,
    "finetuned_checkpoint": finetuned_checkpoint,
    "eval_results": eval_results,
}
WHOLE: dict[str, Step] = {
    "evaluation_overlap": evaluation_overlap,
    "task_scores": task_scores,
    "base_model_results": base_model_results,
    "mixture_report": mixture_report,
}
STEPS: dict[str, Step] = BY_SOURCE | BY_BUDGET_AND_RECIPE | WHOLE


def partitions(project: Project, asset: str) -> list[AssetPartition]:
    """The partitions that `smart.yaml` gives an asset."""
    settings = project.settings
    if asset in BY_SOURCE:
        return [AssetPartition(asset, source) for source in settings.sources]
    if asset in BY_BUDGET_AND_RECIPE:
        return [
            AssetPartition(asset, grid_key(budget, recipe))
            for budget in settings.budgets
            for recipe in settings.recipes
        ]
    return [AssetPartition(asset)]


def batches(project: Project) -> Iterator[list[AssetPartition]]:
    """All partitions, in groups that one run makes together (equal partition key), inputs before their users."""
    for source in project.settings.sources:
        yield [AssetPartition(asset, source) for asset in BY_SOURCE]
    yield [AssetPartition("evaluation_overlap")]
    yield [AssetPartition("task_scores")]
    yield [AssetPartition("base_model_results")]
    grid = [partitions(project, asset) for asset in BY_BUDGET_AND_RECIPE]
    yield from (list(batch) for batch in zip(*grid, strict=True))
    yield [AssetPartition("mixture_report")]


def desired_state(project: Project, key: AssetPartition) -> DesiredState:
    """What a partition is to be made from. A source that cannot be read now is a problem, not an error."""
    try:
        return STEPS[key.asset].desired(project, key.partition)
    except SmartError as error:
        return DesiredState(key, (), {}, "", problem=str(error))


def desired_states(project: Project) -> list[DesiredState]:
    """What every partition is to be made from, inputs before their users."""
    now = project.snapshot()
    return [desired_state(now, key) for batch in batches(project) for key in batch]


def read_current_state(project: Project) -> CurrentState:
    """What the store holds, each manifest read once, and which rows changed."""

    store = project.store.snapshot()

    @cache
    def current(key: AssetPartition) -> Manifest | None:
        return store.current(key.asset, key.partition)

    return CurrentState(current, store.is_whole, ChangedRows(project, current))


def closure(
    project: Project, targets: frozenset[AssetPartition], given: frozenset[AssetPartition] = frozenset()
) -> frozenset[AssetPartition]:
    """The targets and everything that they are made from; what is `given`, and what that is made from, is left out."""
    found: set[AssetPartition] = set()
    left = list(targets)
    while left:
        key = left.pop()
        if key not in found and key not in given:
            found.add(key)
            left += [one.source for one in desired_state(project, key).inputs]
    return frozenset(found)


def find_partitions(project: Project, names: list[str]) -> frozenset[AssetPartition]:
    """The partitions that names such as `selected_subset` or `selected_subset[400|smart]` stand for.

    Raises:
        SmartError: there is no such asset or partition; the message lists what there is.
    """
    found: set[AssetPartition] = set()
    for name in names:
        asset, bracket, partition = name.partition("[")
        if asset not in STEPS:
            raise SmartError(f"there is no asset {asset!r}; there are {', '.join(STEPS)}")
        keys = [key for key in partitions(project, asset) if not bracket or str(key) == name]
        if not keys:
            known = ", ".join(str(key) for key in partitions(project, asset)[:8])
            raise SmartError(f"{asset} has no partition {partition.rstrip(']')!r}; there are {known}")
        found.update(keys)
    return frozenset(found)
