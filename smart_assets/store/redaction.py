"""What became of artifacts of the past from which forgotten rows were taken out."""

from datetime import datetime

from pydantic import Field

from smart_assets.core.section import Section
from smart_assets.store.manifest import Artifact

FOLDER = "redacted"


class Redaction(Section):
    """An artifact that manifests name, and the one that holds what may be kept of it."""

    at: datetime = Field(description="When, in UTC.")
    asset: str = Field(description="Of the artifact that was.")
    version: str = Field(description="Its content version, which manifests go on naming.")
    replaced_by: Artifact | None = Field(description="What is kept of it; null where it was removed as a whole.")
    ids: tuple[str, ...] = Field(description="Of the forgotten rows in it.")
    because: tuple[str, ...] = Field(description="The keys of the tombstones that name these rows.")


def log_of(asset: str, version: str) -> str:
    """Return the log of an artifact's redactions, of which the newest counts."""
    return f"{FOLDER}/{asset}/{version}"
