"""The assets: each materializes its partition through the store and reports what came of it."""

from typing import Any

import dagster as dg

from smart_assets import __version__
from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import SmartError
from smart_assets.defs.catalog import AssetCard, cards
from smart_assets.defs.executors import gpu_tags
from smart_assets.defs.metadata import metadata_of
from smart_assets.defs.partitions import dependency, partition_key, partitions_of
from smart_assets.defs.resources import ComputeDevice, run_context
from smart_assets.documents.audit_pages import with_pages
from smart_assets.planning.graph import STEPS
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project

OWNERS = ("team:smart-assets",)
GPU_POOL = "gpu"


def build_assets(project: Project) -> list[dg.AssetsDefinition]:
    """All assets of a project."""
    return [_asset(project, card) for card in cards(project.settings)]


def _asset(project: Project, card: AssetCard) -> dg.AssetsDefinition:
    @dg.asset(
        name=card.name,
        description=card.description,
        group_name=card.group,
        kinds=set(card.kinds),
        owners=OWNERS,
        deps=[dependency(upstream, card.name) for upstream in card.upstream],
        partitions_def=partitions_of(project, card.name),
        code_version=STEPS[card.name].CODE_VERSION,
        pool=GPU_POOL if card.gpu else None,
        op_tags=gpu_tags(project.settings) if card.gpu else None,
        metadata={"smart-assets version": __version__},
    )
    def definition(
        context: dg.AssetExecutionContext, device: ComputeDevice, pipes: dg.ResourceParam[dg.PipesSubprocessClient]
    ) -> dg.MaterializeResult[Any]:
        key = AssetPartition(card.name, partition_key(context))
        run = run_context(context, device.resolve() if card.gpu else "cpu", pipes)
        try:
            result = materialize(project, key, run, with_pages)
        except SmartError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        return dg.MaterializeResult(
            metadata=metadata_of(project, result),
            data_version=dg.DataVersion(result.manifest.content_version),
        )

    return definition
