"""The assets: each materializes its partition through the store and reports what came of it."""

from typing import Any

import dagster as dg

from smart_assets import __version__
from smart_assets.assets import catalog
from smart_assets.assets.declaration import Asset
from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import SmartError
from smart_assets.core.safe_text import printable
from smart_assets.defs.executors import gpu_tags
from smart_assets.defs.failure import NotMade
from smart_assets.defs.metadata import metadata_of
from smart_assets.defs.partitions import dependency, partition_key, partitions_of
from smart_assets.defs.resources import ComputeDevice, run_context
from smart_assets.documents.audit_pages import with_pages
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project

OWNERS = ("team:smart-assets",)
GPU_POOL = "gpu"


def build_assets(project: Project) -> list[dg.AssetsDefinition]:
    """Return all assets of a project."""
    return [_asset(project, asset) for asset in catalog.assets()]


def _asset(project: Project, asset: Asset) -> dg.AssetsDefinition:
    on_gpu = asset.on_gpu(project.settings)

    @dg.asset(
        name=asset.name,
        description=asset.description,
        group_name=asset.group,
        kinds=set(asset.kinds),
        owners=OWNERS,
        deps=[dependency(upstream, asset.name) for upstream in asset.upstream_of(project.settings)],
        partitions_def=partitions_of(project, asset.name),
        code_version=asset.step.CODE_VERSION,
        pool=GPU_POOL if on_gpu else None,
        op_tags=gpu_tags(project.settings) if on_gpu else None,
        metadata={"smart-assets version": __version__},
    )
    def definition(
        context: dg.AssetExecutionContext, device: ComputeDevice, pipes: dg.ResourceParam[dg.PipesSubprocessClient]
    ) -> dg.MaterializeResult[Any]:
        key = AssetPartition(asset.name, partition_key(context))
        run = run_context(context, device.resolve() if on_gpu else "cpu", pipes)
        try:
            result = materialize(project, key, run, with_pages)
        except SmartError as error:
            raise NotMade(str(error), allow_retries=False) from error
        except OSError as error:  # such as a full disk; nothing of what was begun is recorded
            raise NotMade(f"{key} cannot be made: {printable(str(error))}") from error
        return dg.MaterializeResult(
            metadata=metadata_of(project, result),
            data_version=dg.DataVersion(result.manifest.content_version),
        )

    return definition
