"""The asset graph below Dagster: every asset's partitions, and the order in which they are made."""

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition, DesiredState, grid_key
from smart_assets.core.errors import SmartError
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.planning.plan import CurrentState
from smart_assets.settings import Project
from smart_assets.store import Manifest


def partitions(project: Project, asset: str) -> list[AssetPartition]:
    """Return the partitions that `smart.yaml` gives an asset."""
    settings = project.settings
    match catalog.asset(asset).partitioned_by:
        case "source":
            return [AssetPartition(asset, source) for source in settings.sources]
        case "budget and recipe":
            return [
                AssetPartition(asset, grid_key(budget, recipe))
                for budget in settings.budgets
                for recipe in settings.recipes
            ]
        case "nothing":
            return [AssetPartition(asset)]


def batches(project: Project) -> Iterator[list[AssetPartition]]:
    """Yield all partitions, in groups that one run makes together (equal partition key), inputs before their users."""
    for partitioned_by, alike in groupby(catalog.assets(), key=lambda asset: asset.partitioned_by):
        columns = [partitions(project, asset.name) for asset in alike]
        if partitioned_by == "nothing":
            yield from columns
        else:
            yield from (list(batch) for batch in zip(*columns, strict=True))


def desired_state(project: Project, key: AssetPartition) -> DesiredState:
    """Return what a partition is to be made from. A source that cannot be read now is a problem, not an error.

    Raises:
        CatalogError: its step is made from what its entry in the catalog does not declare.
    """
    asset = catalog.asset(key.asset)
    try:
        desired = asset.step.desired(project, key.partition)
    except SmartError as error:
        return DesiredState(key, (), {}, "", problem=str(error))
    asset.require_declared_inputs(desired.inputs, project.settings)
    return desired


def desired_states(project: Project) -> list[DesiredState]:
    """Return what every partition is to be made from, inputs before their users."""
    now = project.snapshot()
    return [desired_state(now, key) for batch in batches(project) for key in batch]


def read_current_state(project: Project) -> CurrentState:
    """Return what the store holds, each manifest read once, and which rows changed."""

    store = project.store.snapshot()

    @cache
    def current(key: AssetPartition) -> Manifest | None:
        return store.current(key.asset, key.partition)

    return CurrentState(current, store.is_whole, ChangedRows(project, current))


def closure(
    project: Project, targets: frozenset[AssetPartition], given: frozenset[AssetPartition] = frozenset()
) -> frozenset[AssetPartition]:
    """Return the targets and all that they are made from, without what is `given` and all that is made from."""
    keys: set[AssetPartition] = set()
    left = list(targets)
    while left:
        key = left.pop()
        if key not in keys and key not in given:
            keys.add(key)
            left += [item.source for item in desired_state(project, key).inputs]
    return frozenset(keys)


def find_partitions(project: Project, names: list[str]) -> frozenset[AssetPartition]:
    """Return the partitions that names such as `selected_subset` or `selected_subset[400|smart]` stand for.

    Raises:
        SmartError: there is no such asset or partition; the message lists what there is.
    """
    selected: set[AssetPartition] = set()
    for name in names:
        asset, bracket, partition = name.partition("[")
        keys = [key for key in partitions(project, asset) if not bracket or str(key) == name]
        if not keys:
            known = ", ".join(str(key) for key in partitions(project, asset)[:8])
            raise SmartError(f"{asset} has no partition {partition.rstrip(']')!r}; there are {known}")
        selected.update(keys)
    return frozenset(selected)
