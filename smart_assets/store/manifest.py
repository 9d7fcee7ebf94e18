"""A manifest: the record of one materialization, and the only thing that makes an artifact current."""

from typing import Any

from pydantic import Field

from smart_assets.core.section import Section

REFUSED = ".refused"
"""The end of the file name of a manifest whose artifact is refused: such a one is never a partition's state."""


class ArtifactFile(Section):
    """One file of an artifact."""

    path: str = Field(description="Path inside the artifact, with forward slashes.")
    sha256: str = Field(description="sha256 of the bytes, 64 hex digits.")
    size: int = Field(ge=0, description="Bytes.")


class Artifact(Section):
    """An artifact by name: the folder that a manifest points to, or one that lies beside its data version."""

    asset: str = Field(description="The folder under `artifacts/`.")
    version: str = Field(description="Its content version.")
    files: tuple[ArtifactFile, ...] = Field(description="Its files.")


class Manifest(Section):
    """What was made, from what, how, and where it lies. The newest one of a partition is its current state."""

    asset: str = Field(description="Name of the asset.")
    partition: str | None = Field(description="Partition key; null for an asset without partitions.")
    content_version: str = Field(description="Hash of the artifact's content; also Dagster's data version.")
    fingerprint: str = Field(description="Hash of inputs, outside content, parameters and code version.")
    inputs: dict[str, str] = Field(description="`asset[partition]` or `asset[partition]#facet` -> version read.")
    outside: dict[str, str] = Field(default={}, description="What was read outside the store: file -> sha256.")
    parameters: dict[str, Any] = Field(description="Settings that decide the content.")
    code_version: str = Field(description="Version of the code that decides the content.")
    facets: dict[str, str] = Field(default={}, description="Versions of parts that others may depend on alone.")
    files: tuple[ArtifactFile, ...] = Field(description="The artifact's files.")
    attachments: dict[str, Artifact] = Field(default={}, description="Name -> artifact outside the data version.")
    summary: dict[str, Any] = Field(default={}, description="Counts and figures of the content, for people.")
    made: dict[str, Any] = Field(
        default={}, description="Circumstances: time, seconds, peak memory, device, packages, run id, settings hash."
    )

    @property
    def refused(self) -> str | None:
        """Why nothing of the artifact may be used, which is then kept to be looked at; None elsewhere."""
        return self.made.get("refused")

    @property
    def artifact(self) -> Artifact:
        """The artifact that this materialization gave."""
        return Artifact(asset=self.asset, version=self.content_version, files=self.files)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifact and its attachments."""
        return (self.artifact, *self.attachments.values())
