"""Signatures of documents and weights: what was changed since is named, whatever it was."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smart_assets.cli.export import document_mixture
from smart_assets.cli.upkeep import verify_documents
from smart_assets.core.errors import SmartError
from smart_assets.documents.signing import verify_signatures
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.documented_project import make_documented_project, write_key


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("signed")
    make_documented_project(root / "project")
    write_key(root, "ours", ec.generate_private_key(ec.SECP256R1()))
    write_key(root, "theirs", ec.generate_private_key(ec.SECP384R1()))
    write_key(root, "locked", ec.generate_private_key(ec.SECP256R1()), "word")
    write_key(root, "other", rsa.generate_private_key(65537, 2048))
    document_mixture(root / "project", (60, "smart"), root / "documents", None, root / "ours.pem")
    return root


@pytest.fixture
def root(signed: Path, tmp_path: Path) -> Path:
    shutil.copytree(signed, tmp_path / "root")
    return tmp_path / "root"


def weights(root: Path) -> Path:
    project = load_project(root / "project" / "smart.yaml")
    manifest = project.store.current("finetuned_checkpoint", "60|smart")
    assert manifest is not None
    return (
        project.store.artifact_folder("finetuned_checkpoint", manifest.content_version) / "seed-1" / "model" / "weights"
    )


def problems(root: Path, key: str = "ours.pub.pem") -> list[str]:
    project: Project = load_project(root / "project" / "smart.yaml")
    return verify_signatures(project, root / "documents", root / key)


def test_what_was_signed_verifies_also_elsewhere(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in (root / "documents" / "signatures").iterdir()} == {
        "documents.sig",
        "weights-seed-0.sig",
        "weights-seed-1.sig",
    }
    assert problems(root) == []
    verify_documents(root / "project", root / "documents", root / "ours.pub.pem")
    assert "are as they were signed" in capsys.readouterr().out


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda root: flip(root / "documents/dataset/croissant.json"), "croissant.json", id="changed"),
        pytest.param(lambda root: (root / "documents/dataset/README.md").unlink(), "README.md", id="gone"),
        pytest.param(lambda root: (root / "documents/.gitignore").write_text("*"), ".gitignore", id="added"),
        pytest.param(lambda root: flip(weights(root)), "model/weights", id="weights changed"),
        pytest.param(lambda root: weights(root).unlink(), "model/weights", id="weights gone"),
        pytest.param(
            lambda root: (root / "documents/signatures/weights-seed-1.sig").unlink(),
            "weights-seed-1.sig",
            id="no signature",
        ),
        pytest.param(
            lambda root: (root / "documents/signatures/documents.sig").write_text("{}"), "documents.sig", id="no bundle"
        ),
        pytest.param(
            lambda root: shutil.rmtree(root / "project/.smart/manifests/finetuned_checkpoint"),
            "no manifest",
            id="no model",
        ),
    ],
)
def test_what_differs_is_named(root: Path, change: Callable[[Path], object], named: str) -> None:
    change(root)
    assert any(named in problem for problem in problems(root)), problems(root)


def test_signed_weights_of_another_seed_do_not_pass_for_these(root: Path) -> None:
    seed_1 = weights(root).parent.parent
    shutil.copytree(seed_1.with_name("seed-0"), seed_1, dirs_exist_ok=True)
    signatures = root / "documents" / "signatures"
    shutil.copy(signatures / "weights-seed-0.sig", signatures / "weights-seed-1.sig")
    [problem] = problems(root)
    assert "model/weights is signed, but is not the file that" in problem


def test_another_key_does_not_verify(root: Path) -> None:
    [problem] = problems(root, "theirs.pub.pem")
    assert "documents.sig" in problem


def test_a_changed_signature_is_told_from_changed_files(root: Path) -> None:
    import base64
    import json

    path = root / "documents" / "signatures" / "documents.sig"
    bundle = json.loads(path.read_text())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(b"README", b"README"[::-1])).decode()
    path.write_text(json.dumps(bundle))
    [problem] = problems(root)
    assert "documents.sig" in problem


@pytest.mark.parametrize(
    "key", ["locked.pem", "other.pem", "ours.pub.pem", "missing.pem", "documents/dataset/README.md"]
)
def test_a_key_that_cannot_sign_leaves_nothing_behind(root: Path, key: str) -> None:
    with pytest.raises(SmartError, match=r"cannot be used: it must be the PEM file of the private half"):
        document_mixture(root / "project", (60, "smart"), root / "new", None, root / key)
    assert not [path for path in root.iterdir() if "new" in path.name]


@pytest.mark.parametrize("key", ["other.pub.pem", "ours.pem", "missing.pem"])
def test_a_key_that_cannot_verify_is_refused(root: Path, key: str) -> None:
    with pytest.raises(SmartError, match=r"cannot be used: it must be the PEM file of the public half"):
        problems(root, key)


def test_what_is_missing_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(root / "documents")
    with pytest.raises(SmartError, match="documents is no folder"):
        problems(root)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(SmartError, match=r"pip install 'smart-assets\[sign\]'"):
        problems(root)
