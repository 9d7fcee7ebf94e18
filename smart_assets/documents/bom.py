"""An ML-BOM in CycloneDX 1.6 (ECMA-424, https://cyclonedx.org/docs/1.6/json/): what a model is made of.

Written as JSON here, since no library writes a `modelCard`; a test holds it to the standard's own schema.
"""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from smart_assets.documents.bom_model_card import bom_model_card, properties
from smart_assets.documents.checkpoints import CheckpointRecord
from smart_assets.documents.sources import SourceRecord
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import (
    NOT_RECORDED,
    BaseModelRecord,
    base_model,
    moment,
    packages,
    software_version,
    spdx_expression,
    started,
)
from smart_assets.store.records import Circumstances

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_MODEL, _BASE, _SUBSET = "model", "base-model", "subset"
PARTITION = "smart:partition"
"""The property that names the checkpoint's budget and recipe."""


def bom(checkpoint: CheckpointRecord, subset: SubsetRecord, croissant_sha256: str) -> dict[str, Any]:
    """Return the document, ready for JSON.

    Its serial number is a hash of its content, so equal contents have the same.
    """
    base = base_model(checkpoint)
    libraries = [_library(name, version) for name, version in packages(checkpoint.manifest).items()]
    sources = [_source(source) for source in subset.sources]
    content: dict[str, Any] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(checkpoint.manifest),
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "smart-assets",
                        "version": software_version(checkpoint.manifest),
                    }
                ]
            },
            "component": _model(checkpoint, subset, base),
        },
        "components": [_base_model(base), _subset(subset, croissant_sha256), *sources, *libraries],
        "dependencies": [
            {"ref": _MODEL, "dependsOn": [_BASE, _SUBSET, *(library["bom-ref"] for library in libraries)]},
            {"ref": _SUBSET, "dependsOn": [source["bom-ref"] for source in sources]},
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **content}


def _model(checkpoint: CheckpointRecord, subset: SubsetRecord, base: BaseModelRecord) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": checkpoint.name,
        "version": checkpoint.manifest.content_version,
        "description": f"{base.label} fine-tuned on the rows of {subset.name}.",
        "pedigree": {"ancestors": [{"type": "machine-learning-model", "name": base.label, **_version(base)}]},
        "components": [
            {
                "type": "file",
                "bom-ref": f"file:{file.path}",
                "name": file.path,
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for file in checkpoint.weights
        ],
        "modelCard": bom_model_card(checkpoint, _SUBSET),
        "properties": properties(dict(_circumstances(checkpoint))),
    }


def _circumstances(checkpoint: CheckpointRecord) -> Iterator[tuple[str, str]]:
    manifest, made = checkpoint.manifest, Circumstances.read(checkpoint.manifest)
    yield PARTITION, str(manifest.partition)
    yield "smart:content_version", manifest.content_version
    yield "smart:code_version", manifest.code_version
    yield "smart:fingerprint", manifest.fingerprint
    yield "smart:run_id", made.run_id or "not run by Dagster"
    yield "smart:started", started(manifest)
    yield "smart:ended", moment(manifest)
    yield "smart:device", made.device or NOT_RECORDED
    yield "smart:python", made.python or NOT_RECORDED
    if checkpoint.evaluation is not None:
        yield "smart:evaluation_version", checkpoint.evaluation.content_version
        intervals = "95 % over a task's rows: Student's t, rows - 1 degrees; none where all rows came out alike"
        yield "smart:evaluation_intervals", intervals


def _base_model(base: BaseModelRecord) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _BASE,
        "name": base.label,
        **_version(base),
        "properties": properties(
            {
                "smart:weights_sha256": base.weights_sha256,
                "smart:weights_sha256_is": "the sha256 of what `sha256sum *.safetensors` prints",
            }
        ),
    }
    if base.hub_name is not None and base.revision is not None:
        component["purl"] = f"pkg:huggingface/{quote(base.hub_name)}@{base.revision.lower()}"
    return component


def _version(base: BaseModelRecord) -> dict[str, str]:
    return {} if base.revision is None else {"version": base.revision}


def _subset(subset: SubsetRecord, croissant_sha256: str) -> dict[str, Any]:
    """Return the rows by their Croissant file, which names the hash of each file of theirs."""
    return {
        "type": "data",
        "bom-ref": _SUBSET,
        "name": subset.name,
        "version": subset.manifest.content_version,
        "externalReferences": [
            {
                "type": "documentation",
                "url": "../dataset/croissant.json",
                "comment": "Croissant 1.1",
                "hashes": [{"alg": "SHA-256", "content": croissant_sha256}],
            }
        ],
        "data": [{"type": "dataset", "name": subset.name, "description": f"{subset.rows.num_rows} rows"}],
    }


def _source(source: SourceRecord) -> dict[str, Any]:
    """Return a source without its files, which Croissant lists."""
    component: dict[str, Any] = {
        "type": "data",
        "bom-ref": f"source:{source.name}",
        "name": source.label,
        "version": source.revision or source.version,
        "data": [{"type": "dataset", "name": source.label, "description": f"{source.rows} rows in the subset"}],
    }
    if source.url is not None:
        component["externalReferences"] = [{"type": "distribution", "url": source.url}]
    expression = spdx_expression(source.licence)
    if expression is not None:
        component["licenses"] = [{"expression": expression}]
    elif source.licence is not None:
        component["licenses"] = [{"license": {"name": source.licence}}]
    return component


def _library(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
