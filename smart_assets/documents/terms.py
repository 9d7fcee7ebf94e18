"""What manifests record, in the terms of documents: times, software, parameters, licences and the base model."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from smart_assets.core.errors import StoreError
from smart_assets.documents.checkpoints import CheckpointRecord
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances, made_at

NOT_RECORDED = "not recorded"
# Ids of the Hugging Face hub that are not the SPDX id in lower case.
_HUB_IDS = {"ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "PDDL-1.0": "pddl"}
_LOCAL = (".", "/", "~")  # what the reference of a folder begins with
_PACKAGE = "package:"


def moment(manifest: Manifest) -> str:
    """Return when it was made, in ISO 8601 with its zone, to the millisecond."""
    return datetime.fromisoformat(made_at(manifest)).isoformat(timespec="milliseconds")


def started(manifest: Manifest) -> str:
    """Return when the making began, likewise.

    Raises:
        StoreError: How long it took was not recorded.
    """
    seconds = Circumstances.read(manifest).seconds
    if seconds is None:
        raise StoreError(
            f"the manifest of {manifest.asset} {manifest.content_version[:12]} does not tell `made.seconds`"
        )
    return (datetime.fromisoformat(made_at(manifest)) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def packages(manifest: Manifest) -> dict[str, str]:
    """Return the packages that took part, with their versions, sorted by name."""
    return dict(sorted(Circumstances.read(manifest).packages.items()))


def software_version(manifest: Manifest) -> str:
    """Return the version of SMART Assets that made it."""
    return packages(manifest).get("smart-assets", NOT_RECORDED)


def flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return nested parameters as names with dots and values as JSON, in the order of their names."""
    for name, value in sorted(parameters.items()):
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def spdx_expression(licence: str | None) -> str | None:
    """Return the SPDX expression that a licence is, in SPDX's own spelling; None where it is none.

    Words of the user's own (`LicenseRef-...` too, since no document here says what it refers to) are none.
    """
    if licence is None or "licenseref" in licence.lower():
        return None
    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        return None


def spdx_id(licence: str | None) -> str | None:
    """Return the id of a single licence on SPDX's list; None for an expression of several, and where it is none."""
    expression = spdx_expression(licence)
    return expression if expression and " " not in expression else None


def licence_reference(licence: str) -> str:
    """Return a licence for Croissant: its page on SPDX's list, else the user's words."""
    listed = spdx_id(licence)
    return f"https://spdx.org/licenses/{listed}" if listed else licence


def hub_licence(licence: str | None) -> str:
    """Return a licence in the ids of the Hugging Face hub.

    `unknown` where none was given, `other` for what has no id.
    """
    if licence is None:
        return "unknown"
    listed = spdx_id(licence)
    return "other" if listed is None else _HUB_IDS.get(listed, listed.lower())


@dataclass(frozen=True, slots=True)
class BaseModelRecord:
    """What the fine-tune started from. Of a local folder only the last part is named: its place is the machine's."""

    label: str
    hub_name: str | None  # `owner/name` on the Hugging Face hub; None for a folder or a package
    revision: str | None  # commit of a hub model, hash of a package's file
    weights_sha256: str  # sha256 of what `sha256sum *.safetensors` prints


def base_model(checkpoint: CheckpointRecord) -> BaseModelRecord:
    """Return the base model that a fine-tune recorded of itself."""
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
