"""Signatures of the documents and of the weights they are about, by the OpenSSF Model Signing format, with a local key.

`signatures/documents.sig` covers every other file of the folder, `signatures/weights-seed-N.sig` the seed's folder in
the store. Nothing of it needs a network.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from smart_assets.assets.step import seed_folder
from smart_assets.core.errors import SmartError, StoreError
from smart_assets.documents.bom import PARTITION
from smart_assets.documents.documents import BOM, DocumentSet
from smart_assets.promotion.log import CHECKPOINT
from smart_assets.settings import Project
from smart_assets.store.hashing import file_sha256

FOLDER = "signatures"
_DOCUMENTS = "documents.sig"


def sign(project: Project, documents: DocumentSet, folder: Path, private_key: Path) -> None:
    """Sign a folder of documents and the weights they are about.

    Args:
        private_key: PEM of an elliptic curve key (P-256, P-384 or P-521) without a password.

    Raises:
        SmartError: the package or the key is missing, or the key is none of these.
        StoreError: the weights are not in the store.
    """
    package = _model_signing()
    try:
        signer = package.signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _refused(private_key, "private", error) from error
    (folder / FOLDER).mkdir()
    for checkpoint in documents.checkpoints:
        weights = project.store.artifact(checkpoint.manifest) / seed_folder(checkpoint.seed)
        signer.set_hashing_config(_hashing(package)).sign(weights, folder / FOLDER / _weights(checkpoint.seed))
    signer.set_hashing_config(_hashing(package)).sign(folder, folder / FOLDER / _DOCUMENTS)


def verify_signatures(project: Project, folder: Path, public_key: Path) -> list[str]:
    """Return what does not agree with the signatures of a folder of documents; empty where all does.

    The weights are looked for in the project's store, where the signed ML-BOM says they are. Where the documents do not
    agree they are not believed, and no weights are looked for.

    Raises:
        SmartError: the package, the key or the folder is missing, or the key is no public key of an elliptic curve.
    """
    package = _model_signing()
    if not folder.is_dir():
        raise SmartError(f"{folder} is no folder: name the one that `smart document --sign` wrote")
    try:
        verifier = package.verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _refused(public_key, "public", error) from error

    def check(path: Path, signature: Path) -> str | None:
        return _problem(lambda: verifier.set_hashing_config(_hashing(package)).verify(path, signature), path, signature)

    problem = check(folder, folder / FOLDER / _DOCUMENTS)
    if problem is not None:
        return [problem]
    return list(filter(None, (_weights_problem(project, path, check) for path in sorted(folder.glob(f"*/{BOM}")))))


def _weights_problem(project: Project, bom: Path, check: Callable[[Path, Path], str | None]) -> str | None:
    """Return what is wrong with the weights that a signed ML-BOM is about, in the project's store."""
    seed = int(bom.parent.name.removeprefix("model-seed-"))
    model: dict[str, Any] = json.loads(bom.read_text(encoding="utf-8"))["metadata"]["component"]
    [partition] = [item["value"] for item in model["properties"] if item["name"] == PARTITION]
    try:
        manifest = project.store.find(CHECKPOINT, partition, model["version"])
        if manifest is None:
            return f"no manifest of {CHECKPOINT}[{partition}] in {project.store.root} names {model['version']}"
        artifact = project.store.artifact(manifest)
    except StoreError as error:
        return str(error)
    problem = check(artifact / seed_folder(seed), bom.parent.parent / FOLDER / _weights(seed))
    return problem or _foreign_weights(artifact, model, bom)


def _foreign_weights(artifact: Path, model: Mapping[str, Any], bom: Path) -> str | None:
    """Return what names other weights: they may be signed by the same key and still be another model's."""
    for file in model["components"]:
        path = artifact / file["name"]
        if file_sha256(path) != file["hashes"][0]["content"]:
            return f"{path} is signed, but is not the file that {bom} names"
    return None


def _hashing(package: ModuleType) -> Any:
    """Return how files are hashed: every one counts, also those of git, but for the signatures themselves."""
    return package.hashing.Config().set_ignored_paths(paths=[FOLDER], ignore_git_paths=False)


def _problem(verify: Callable[[], None], path: Path, signature: Path) -> str | None:
    from cryptography.exceptions import InvalidSignature

    try:
        verify()
    except InvalidSignature:
        return f"{signature} was not made with the other half of this key, or was changed since"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path} does not agree with {signature}: {error}"
    return None


def _weights(seed: int) -> str:
    return f"weights-seed-{seed}.sig"


def _refused(key: Path, half: str, error: Exception) -> SmartError:
    return SmartError(
        f"{key} cannot be used: it must be the PEM file of the {half} half of an elliptic curve key on P-256, P-384 or "
        f"P-521, without a password ({error})"
    )


def _model_signing() -> ModuleType:
    try:
        import model_signing
    except ImportError as error:
        raise SmartError(
            f"signatures need the packages of the extra `sign`: pip install 'smart-assets[sign]' ({error})"
        ) from error
    return model_signing
