"""What the catalog is asked: which assets there are, and what each is made from."""

from smart_assets.assets.catalog.entries import ENTRIES
from smart_assets.assets.declaration import Asset, Job, Requester
from smart_assets.core.errors import CatalogError


def checked(assets: tuple[Asset, ...]) -> tuple[Asset, ...]:
    """Return a catalog that agrees with itself.

    Raises:
        CatalogError: A name or view stands twice, an asset comes before its upstream, or a job has two partitionings.
    """
    names: list[str] = []
    views: list[str] = []
    for asset in assets:
        if asset.name in names:
            raise CatalogError(f"the catalog has two assets `{asset.name}`")
        for upstream in asset.upstream:
            if upstream.asset not in names:
                raise CatalogError(f"{asset.name} stands before its upstream `{upstream.asset}` in the catalog")
        names.append(asset.name)
        views += [table.view for table in asset.tables if table.view is not None]
    if repeated := {view for view in views if views.count(view) > 1}:
        raise CatalogError(f"two tables of the catalog are the view `{min(repeated)}`")
    for job in {asset.job for asset in assets}:
        partitionings = {asset.partitioned_by for asset in assets if asset.job == job} - {"nothing"}
        if len(partitionings) > 1:
            raise CatalogError(f"assets of the job {job} have different partitions, and Dagster runs no such job")
    return assets


CATALOG = checked(ENTRIES)


def assets() -> tuple[Asset, ...]:
    """Return all assets, each after its upstreams."""
    return CATALOG


def names() -> tuple[str, ...]:
    """Return the names of all assets, each after its upstreams."""
    return tuple(asset.name for asset in CATALOG)


def asset(name: str) -> Asset:
    """Return an asset by its name.

    Raises:
        CatalogError: There is none of that name.
    """
    known = find(name)
    if known is None:
        raise CatalogError(f"there is no asset {name!r}; there are {', '.join(names())}")
    return known


def find(name: str) -> Asset | None:
    """Return an asset by its name; None for one that this version does not know."""
    return next((asset for asset in CATALOG if asset.name == name), None)


def of_artifact(name: str) -> tuple[Asset, str | None]:
    """Return the asset whose artifact or attachment is stored under a name such as `raw_tasks.origins`, and which."""
    owner, _, attachment = name.partition(".")
    return asset(owner), attachment or None


def jobs() -> dict[Job, tuple[str, ...]]:
    """Return the assets of each job."""
    order: tuple[Job, ...] = ("update_sources", "update_subsets", "update_results")
    return {job: tuple(asset.name for asset in CATALOG if asset.job == job) for job in order}


def requested_by(requester: Requester) -> tuple[str, ...]:
    """Return the assets that a sensor or schedule asks for."""
    return tuple(asset.name for asset in CATALOG if asset.requested_by == requester)


def ancestors(name: str) -> frozenset[str]:
    """Return all assets that an asset is made from, under whatever settings."""
    direct = {upstream.asset for upstream in asset(name).upstream}
    return frozenset(direct).union(*(ancestors(upstream) for upstream in direct))
