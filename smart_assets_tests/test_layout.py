"""The tests' own house: folders named as the rooms they test, and nothing shared but through `support`."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PRODUCT = HERE.parent / "smart_assets"
MOST_LINES = 350
SAY_NOTHING = frozenset({"one", "found", "there", "here", "at", "of", "told", "gone"})
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


@pytest.mark.parametrize("folder", [PRODUCT, HERE], ids=["product", "tests"])
def test_no_file_is_longer_than_a_reader_takes_in(folder: Path) -> None:
    lines = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in folder.rglob("*.py")
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}, "split it by meaning"


def names_that_say_nothing(text: str) -> list[str]:
    """Variables, parameters, captures and fields of a program whose names do not say what they hold, with lines."""
    tree = ast.parse(text)
    # `record.at` and `record.of` are keys of what is stored or shown, and read well at an object.
    fields = {
        id(item.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id in ("at", "of")
    }
    bound = [
        (node.lineno, name)
        for node in ast.walk(tree)
        if id(node) not in fields and (name := _name_that_is_bound(node)) in SAY_NOTHING
    ]
    return [f"{line}: {name}" for line, name in sorted(bound)]


def _name_that_is_bound(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case ast.MatchAs(name=name) | ast.MatchStar(name=name) | ast.ExceptHandler(name=name):
            return name
        case ast.alias(asname=name):
            return name
        case _:
            return None


def test_variables_are_named_by_what_they_hold() -> None:
    said = {path.relative_to(PRODUCT).as_posix(): path.read_text(encoding="utf-8") for path in PRODUCT.rglob("*.py")}
    assert {name: names for name, text in said.items() if (names := names_that_say_nothing(text))} == {}


def test_names_that_say_nothing_are_recognized() -> None:
    text = """
        import shutil as told
        def there(of, *, at: int = 0):
            found = [one for one in of if (here := one)]
            with open(at) as gone: pass
            return lambda told: told
        class Record:
            at: str
            found: str
        """
    assert names_that_say_nothing(textwrap.dedent(text)) == [
        "2: told",
        "3: at",
        "3: of",
        "4: found",
        "4: here",
        "4: one",
        "5: gone",
        "6: told",
        "9: found",
    ]
    assert names_that_say_nothing("record.found = table.at(of=1)\nrows = record.at") == []


def test_benchmarks_import_what_is_there() -> None:
    imports = [
        (path.name, node.module, alias.name)
        for path in (PRODUCT.parent / "benchmarks").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smart_assets.")
        for alias in node.names
    ]
    assert imports
    assert [each for each in imports if not hasattr(__import__(str(each[1]), fromlist=[each[2]]), each[2])] == []
