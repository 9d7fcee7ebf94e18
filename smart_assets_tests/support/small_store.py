"""Artifacts of a few bytes and their manifests."""

from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import json_version


def write_and_commit(store: Store, files: dict[str, bytes], asset: str = "raw_tasks") -> Artifact:
    with store.draft() as folder:
        content = folder / "content"
        for name, text in files.items():
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(text)
        content.mkdir(exist_ok=True)
        return store.commit(asset, content)


def manifest_of(artifact: Artifact, partition: str | None = "sample") -> Manifest:
    return Manifest(
        asset=artifact.asset,
        partition=partition,
        content_version=artifact.version,
        fingerprint=json_version({"inputs": {}, "outside": {}, "parameters": {}, "code": "1"}),
        inputs={},
        parameters={},
        code_version="1",
        files=artifact.files,
    )
