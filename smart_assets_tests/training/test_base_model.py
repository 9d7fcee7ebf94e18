import hashlib
import os
import shutil
from pathlib import Path

import pytest

from smart_assets.core.errors import TrainingError
from smart_assets.core.files import new_folder
from smart_assets.training.base_model import base_model_version, resolve_base_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def ignore(line: str) -> None:
    """A log that nobody reads."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder, as far as hashing looks."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model-1.safetensors").write_bytes(b"one")
    (folder / "model-2.safetensors").write_bytes(b"two")
    return folder


def sha256sum(files: list[Path]) -> str:
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def test_a_local_folder_is_named_by_its_weights(folder: Path, tmp_path: Path) -> None:
    model = resolve_base_model(str(folder), None, tmp_path / "cache", False, ignore)
    listing = sha256sum([folder / "model-1.safetensors", folder / "model-2.safetensors"])
    assert model.path == folder
    assert model.revision is None
    assert model.weights_sha256 == hashlib.sha256(listing.encode()).hexdigest()


def test_the_version_of_a_folder_is_its_content_and_not_its_place(folder: Path, tmp_path: Path) -> None:
    before = base_model_version(str(folder), None)
    shutil.copytree(folder, tmp_path / "copy")
    assert base_model_version(str(tmp_path / "copy"), None) == before
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert base_model_version(str(folder), None) != before


def test_the_version_of_a_hub_model_is_its_revision() -> None:
    assert base_model_version("owner/model", "v1") == "owner/model@v1"
    assert base_model_version("owner/model", None) == "owner/model@main"


def test_a_hub_model_in_the_cache_is_found_offline_and_pinned_to_its_commit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--owner--model"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = resolve_base_model("owner/model", None, tmp_path / "cache", False, ignore)
    assert (model.revision, model.path) == (COMMIT, repository / "snapshots" / COMMIT)
    with pytest.raises(TrainingError, match="'owner/model' at revision 'v9': neither a folder here nor reachable"):
        resolve_base_model("owner/model", "v9", tmp_path / "cache", False, ignore)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        pytest.param("./no-such-folder", "not a folder; name the folder that holds config.json", id="missing folder"),
        pytest.param(__file__, "not a folder", id="a file"),
        pytest.param("package:no_such_package", "no package 'no_such_package' is installed", id="missing package"),
        pytest.param("package:os.path", "no package 'os.path' is installed", id="no package name"),
        pytest.param("package:", "no package '' is installed", id="no name"),
        pytest.param("package:hypothesis", "must carry one .gguf file; it carries 0", id="package without a model"),
    ],
)
def test_unknown_models_are_refused(reference: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=message):
        base_model_version(reference, None)
    with pytest.raises(TrainingError, match=message):
        resolve_base_model(reference, None, tmp_path, False, ignore)


@pytest.mark.parametrize("reference", ["a/b/c", "smart-assets-no-such-owner/no-such-model"])
def test_unknown_hub_names_are_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="neither a folder here nor reachable on the Hugging Face hub"):
        resolve_base_model(reference, None, tmp_path, False, ignore)


def test_a_folder_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(TrainingError, match=r"holds no \*\.safetensors file"):
        resolve_base_model(str(folder), None, tmp_path, False, ignore)


def test_a_package_is_looked_up_without_running_it_and_a_broken_model_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "broken_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "weights.gguf").write_bytes(b"not a model")
    monkeypatch.syspath_prepend(tmp_path / "site")
    cache = tmp_path / "cache"
    expected = f"package:broken_model@{hashlib.sha256(b'not a model').hexdigest()}"
    assert base_model_version("package:broken_model", None) == expected
    with pytest.raises(TrainingError, match="transformers cannot read it"):
        resolve_base_model("package:broken_model", None, cache, False, ignore)
    assert not list(cache.iterdir())


def test_of_two_writers_the_first_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path / "target") as first, new_folder(tmp_path / "target") as second:
        (first / "file").write_text("first")
        (second / "file").write_text("second")
    assert (tmp_path / "target" / "file").read_text() == "second"  # it ended first
    assert os.listdir(tmp_path) == ["target"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="division"), new_folder(tmp_path / "target") as draft:
        (draft / "file").write_text(str(1 / 0))
    assert not list(tmp_path.iterdir())
