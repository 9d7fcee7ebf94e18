"""Which encoder the settings mean, as an identity made from content and found without loading torch.

Vectors are cached under this identity, and every plan asks for it: so it must change when, and only when, the vectors
would, and cost milliseconds. The files of a local or packaged model are hashed; a hub model is its name and revision.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Literal

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.settings import Embedding
from smart_assets.store.hashing import content_version, file_sha256, json_version

_PACKAGE = "package:"
_SCHEME = 1  # raise it when this package itself comes to make other vectors from the same model
_MATRIX_UNIT = "amx_bf16"
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", _MATRIX_UNIT})


def encoder_version(settings: Embedding) -> str:
    """Return 32 hex digits that name the vectors these settings give: model content, precision, prompt length.

    Raises:
        EmbeddingError: the package or local folder named by `model` is not there or holds no encoder.
    """
    folder = local_model(settings)
    model = f"hub:{settings.model}@{settings.revision or 'main'}" if folder is None else _folder_digest(folder)
    return json_version([_SCHEME, model, resolve_precision(settings), settings.max_length])


def resolve_precision(settings: Embedding) -> Literal["float32", "bfloat16"]:
    """Return the arithmetic that `settings.precision` means on this machine."""
    if settings.precision != "auto":
        return settings.precision
    return "bfloat16" if cpu_computes_bfloat16() else "float32"


def cpu_computes_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions; without them bfloat16 is slower than float32."""
    return not _BFLOAT16_FLAGS.isdisjoint(_cpu_flags())


def cpu_has_matrix_unit() -> bool:
    """Return whether the CPU multiplies bfloat16 matrices in a unit of its own (AMX)."""
    return _MATRIX_UNIT in _cpu_flags()


@lru_cache(maxsize=1)
def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def local_model(settings: Embedding) -> Path | None:
    """Return the folder that holds the encoder, or None where `model` is a name on the hub.

    Raises:
        EmbeddingError: the package or folder is not there, holds no encoder, or stands beside a `revision`.
    """
    model = settings.model
    folder = Path(model).expanduser()
    if model.startswith(_PACKAGE):
        folder = _packaged_model(model.removeprefix(_PACKAGE))
    elif not folder.is_dir():
        if model.startswith((".", "/", "~")) or model.count("/") > 1:
            raise EmbeddingError(f"embedding.model {model!r} is no folder; give an encoder's folder or its hub name")
        return None
    elif not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise EmbeddingError(f"embedding.model {model!r} holds neither modules.json nor config.json: no encoder there")
    if settings.revision is not None:
        raise EmbeddingError(
            f"embedding.revision {settings.revision!r} names a commit on the hub, but embedding.model {model!r} is "
            "local; remove the revision"
        )
    return folder


def _packaged_model(name: str) -> Path:
    """Return the folder with `modules.json` in package `name`, the one nearest its root, without importing it."""
    # A dotted name would make find_spec import the parent.
    spec = importlib.util.find_spec(name) if name.isidentifier() and name != "__main__" else None
    if spec is None:
        raise EmbeddingError(
            f"embedding.model {_PACKAGE + name!r} names no installed package; install it, or give a hub name or folder"
        )
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    folders = [path.parent for root in roots for path in root.rglob("modules.json")]
    if not folders:
        raise EmbeddingError(f"package {name!r} holds no sentence encoder: there is no modules.json in it")
    return min(folders, key=lambda folder: (len(folder.parts), folder.as_posix()))


def _folder_digest(folder: Path) -> str:
    """Hash names and content of a model's files; hidden files are the download's bookkeeping, not the model."""
    files: dict[str, str] = {}
    try:
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
                stat = path.stat()
                files[name.as_posix()] = _file_digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise EmbeddingError(f"the encoder in {str(folder)!r} cannot be read: {error}; check its files") from error
    return content_version(files)


@lru_cache(maxsize=4096)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - both are the cache's key
    return file_sha256(path)
