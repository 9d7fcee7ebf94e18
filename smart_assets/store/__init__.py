"""The content-addressed store: immutable artifacts named by their content, and append-only manifests."""

from smart_assets.store.manifest import Artifact, ArtifactFile, Manifest
from smart_assets.store.store import Store

__all__ = ["Artifact", "ArtifactFile", "Manifest", "Store"]
