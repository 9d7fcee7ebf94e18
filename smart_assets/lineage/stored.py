"""What manifests name and the store still holds: what something was made from, and its files."""

from pathlib import Path

from smart_assets.errors import StoreError
from smart_assets.pipeline.step import AssetPartition, parse_input
from smart_assets.store import Manifest, Store


def key_of(manifest: Manifest) -> AssetPartition:
    """The partition that a manifest is of."""
    return AssetPartition(manifest.asset, manifest.partition)


def made_from(store: Store, manifest: Manifest, name: str) -> Manifest:
    """The newest manifest of an input, in the version that counted.

    Args:
        store: where they lie.
        manifest: of what was made from it.
        name: of the input, as the manifest spells it.

    Raises:
        StoreError: it is gone, or was never named.
    """
    key, facet = parse_input(name)
    version = manifest.inputs.get(name, "")
    if facet is None:
        found = store.find(key.asset, key.partition, version)
    else:
        history = store.history(key.asset, key.partition)
        found = next((one for one in history if one.facets.get(facet) == version), None)
    if found is None:
        raise StoreError(
            f"{key_of(manifest)} was made from {name} {version[:12]}, which no manifest of the store names any more"
        )
    return found


def stored_folder(store: Store, manifest: Manifest) -> Path | None:
    """The local folder of an artifact, whole or damaged; None where it is not in the store any more."""
    try:
        return store.artifact(manifest)
    except StoreError:
        folder = store.artifact_folder(manifest.asset, manifest.content_version)
        return folder if folder.exists() else None
