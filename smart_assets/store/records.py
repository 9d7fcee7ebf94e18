"""Typed parts of a manifest: what an asset keeps in it, each key in one place.

A manifest holds its summary, its parameters and the circumstances of its making as JSON. A record is the typed form of
one of these. Its fields name the keys, and a key never changes: stores of before have it. What a manifest lacks is an
error where the field is required, and else None: not recorded.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smart_assets.core.errors import StoreError
from smart_assets.store.manifest import Manifest


def kept_as(key: str) -> Any:
    """Return the annotation of a field whose key in manifests is not its name."""
    return Field(validation_alias=key, serialization_alias=key)


class RecordModel(BaseModel):
    """Values under the keys of a manifest. What else stands beside them is kept, and written again as it was."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    @classmethod
    def parse(cls, value: object, manifest: Manifest, place: str) -> Self:
        """Return the record that a value in a manifest is.

        Args:
            value: What is kept at the place.
            manifest: Whose it is.
            place: Where in the manifest, for the error.

        Raises:
            StoreError: It lacks a key, or holds something else under it.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            wrong = error.errors()[0]
            path = ".".join([place, *map(str, wrong["loc"])])
            partition = "" if manifest.partition is None else f"[{manifest.partition}]"
            raise StoreError(
                f"the manifest of {manifest.asset}{partition} in version {manifest.content_version[:12]} does not tell "
                f"`{path}` ({wrong['msg']}): it was changed, or another version of smart-assets made it"
            ) from error

    def as_kept(self) -> dict[str, Any]:
        """Return what a manifest keeps: fields under their keys, but for those that are as if they were not there."""
        return self.model_dump(by_alias=True, exclude_defaults=True)


class ManifestRecord(RecordModel):
    """A whole part of a manifest, or those keys of it that an asset adds."""

    PART: ClassVar[Literal["summary", "made", "parameters"]] = "summary"

    @classmethod
    def read(cls, manifest: Manifest) -> Self:
        """Return the record of a manifest.

        Raises:
            StoreError: The manifest lacks a key, or holds something else under it.
        """
        return cls.parse(getattr(manifest, cls.PART), manifest, cls.PART)


class Circumstances(ManifestRecord):
    """How a materialization was made. Each of them may be unknown: earlier versions recorded less."""

    PART = "made"

    at: str | None = None  # ISO 8601, UTC
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None
    run_id: str | None = None  # None outside Dagster
    settings_version: str | None = None
    git_commit: str | None = None  # None where the project is no checkout
    python: str | None = None
    machine: str | None = None
    refused: str | None = None  # why nothing of it may be used; None: it was recorded as the partition's state
    packages: dict[str, str] = {}


def made_at(manifest: Manifest) -> str:
    """Return when a manifest's artifact was made, in ISO 8601 and UTC.

    Raises:
        StoreError: It was not recorded.
    """
    recorded = Circumstances.read(manifest).at
    if recorded is None:
        raise StoreError(f"the manifest of {manifest.asset} {manifest.content_version[:12]} does not tell `made.at`")
    return recorded
