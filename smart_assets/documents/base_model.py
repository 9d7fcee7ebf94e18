"""The base model as documents name it."""

from dataclasses import dataclass
from pathlib import PurePath

from smart_assets.documents.checkpoints import CheckpointRecord

_LOCAL = (".", "/", "~")
_PACKAGE = "package:"


@dataclass(frozen=True, slots=True)
class BaseModelRecord:
    """What the fine-tune started from. Of a local folder only the last part is named: its place is the machine's."""

    label: str
    hub_name: str | None  # `owner/name` on the Hugging Face hub; None for a folder or a package
    revision: str | None  # commit of a hub model, hash of a package's file
    weights_sha256: str  # sha256 of what `sha256sum *.safetensors` prints


def base_model(checkpoint: CheckpointRecord) -> BaseModelRecord:
    """The base model that a fine-tune recorded of itself."""
    recorded = checkpoint.result.base_model
    reference, revision = recorded.reference, recorded.revision
    on_hub = revision is not None and not reference.startswith((*_LOCAL, _PACKAGE))
    is_place = revision is None or reference.startswith(_LOCAL)
    return BaseModelRecord(
        label=PurePath(reference).name or reference if is_place else reference,
        hub_name=reference if on_hub else None,
        revision=revision,
        weights_sha256=recorded.weights_sha256,
    )
