"""Static partitions from `smart.yaml`: one for each source, and the grid of budgets and recipes."""

import dagster as dg

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition
from smart_assets.planning.graph import partitions
from smart_assets.settings import Project


def partitions_of(project: Project, asset: str) -> dg.PartitionsDefinition[str] | None:
    """Return the partitions of an asset; None for an asset of the whole project."""
    settings = project.settings
    match catalog.asset(asset).partitioned_by:
        case "source":
            return dg.StaticPartitionsDefinition(list(settings.sources))
        case "budget and recipe":
            return dg.MultiPartitionsDefinition(
                {
                    "budget": dg.StaticPartitionsDefinition([str(budget) for budget in settings.budgets]),
                    "recipe": dg.StaticPartitionsDefinition(list(settings.recipes)),
                }
            )
        case "nothing":
            return None


def dependency(upstream: str, asset: str) -> dg.AssetDep:
    """Return how partitions of `asset` depend on `upstream`'s: equal keys where both have them, else all of them."""
    if _same_keys(upstream, asset) or catalog.asset(upstream).partitioned_by == "nothing":
        return dg.AssetDep(upstream)
    return dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping())


def upstream_partitions(project: Project, upstream: str, key: AssetPartition) -> list[AssetPartition]:
    """Return the partitions of an upstream asset that `dependency` maps a partition to."""
    if _same_keys(upstream, key.asset):
        return [AssetPartition(upstream, key.partition)]
    return partitions(project, upstream)


def _same_keys(upstream: str, asset: str) -> bool:
    return catalog.asset(upstream).partitioned_by == catalog.asset(asset).partitioned_by


def partition_key(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str | None:
    """Return the partition of a run; None for an asset without partitions."""
    return str(context.partition_key) if context.has_partition_key else None
