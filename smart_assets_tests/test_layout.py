"""The tests' own house: folders named as the rooms they test, and nothing shared but through `support`."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PRODUCT = HERE.parent / "smart_assets"
# Also within the programs that tests write and start.
OF_A_TEST_MODULE = re.compile(r"\bsmart_assets_tests(\.\w+)*\.test_|\bfrom smart_assets_tests(\.\w+)* import test_")


def test_no_module_imports_a_test_module() -> None:
    texts = {path.relative_to(HERE).as_posix(): path.read_text(encoding="utf-8") for path in HERE.rglob("*.py")}
    assert [name for name, text in texts.items() if OF_A_TEST_MODULE.search(text)] == []


def test_what_imports_a_test_module_is_recognized() -> None:
    package = "smart_assets_tests"
    assert OF_A_TEST_MODULE.search(f"from {package}.store.test_store import manifest_of")
    assert OF_A_TEST_MODULE.search(f"from {package}.store import test_store")
    assert OF_A_TEST_MODULE.search(f"import {package}.test_end_to_end")
    assert not OF_A_TEST_MODULE.search(f"from {package}.support.artifacts import manifest_of")


def test_every_folder_of_tests_is_named_as_a_room() -> None:
    folders = {path.name for path in HERE.iterdir() if (path / "__init__.py").exists()}
    rooms = {path.name for path in PRODUCT.iterdir() if (path / "__init__.py").exists()}
    assert folders - rooms == {"support", "mutants"}
    assert rooms <= folders, "a room without tests"


def test_support_holds_no_tests() -> None:
    assert list((HERE / "support").rglob("test_*.py")) == []


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/extending.md"])
def test_documents_name_modules_that_are_there(document: str) -> None:
    text = (PRODUCT.parent / document).read_text(encoding="utf-8")
    rooms = {path.name for path in PRODUCT.iterdir() if path.is_dir()}
    named = re.findall(r"`([a-z_]+)/([a-z_/]+)(?:\.[a-z_]+)?`", text)
    modules = [PRODUCT / room / module for room, module in named if room in rooms]
    assert modules
    assert [path for path in modules if not path.is_dir() and not path.with_suffix(".py").is_file()] == []
