"""Static partitions from `smart.yaml`: one for each source, and the grid of budgets and recipes."""

import dagster as dg

from smart_assets.assets.step import AssetPartition
from smart_assets.planning.graph import BY_BUDGET_AND_RECIPE, BY_SOURCE, partitions
from smart_assets.settings import Project


def partitions_of(project: Project, asset: str) -> dg.PartitionsDefinition[str] | None:
    """The partitions of an asset; None for an asset of the whole project."""
    if asset in BY_SOURCE:
        return dg.StaticPartitionsDefinition(list(project.settings.sources))
    if asset in BY_BUDGET_AND_RECIPE:
        return dg.MultiPartitionsDefinition(
            {
                "budget": dg.StaticPartitionsDefinition([str(budget) for budget in project.settings.budgets]),
                "recipe": dg.StaticPartitionsDefinition(list(project.settings.recipes)),
            }
        )
    return None


def dependency(upstream: str, asset: str) -> dg.AssetDep:
    """How partitions of `asset` depend on `upstream`'s: equal keys where both have the same, else all of them."""
    same = any({upstream, asset} <= family.keys() for family in (BY_SOURCE, BY_BUDGET_AND_RECIPE))
    if same or upstream not in BY_SOURCE | BY_BUDGET_AND_RECIPE:
        return dg.AssetDep(upstream)
    return dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping())


def upstream_partitions(project: Project, upstream: str, key: AssetPartition) -> list[AssetPartition]:
    """The partitions of an upstream asset that `dependency` maps a partition to."""
    if any({upstream, key.asset} <= family.keys() for family in (BY_SOURCE, BY_BUDGET_AND_RECIPE)):
        return [AssetPartition(upstream, key.partition)]
    return partitions(project, upstream)


def partition_key(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str | None:
    """The partition of a run; None for an asset without partitions."""
    return str(context.partition_key) if context.has_partition_key else None
