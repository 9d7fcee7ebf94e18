"""What holds for the code as a whole, and no linter says: one name for one thing, borders in one module each."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

PRODUCT = Path(__file__).parents[2] / "smart_assets"


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the product, by its path in it."""
    paths = sorted(PRODUCT.rglob("*.py"))
    return {path.relative_to(PRODUCT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def test_no_public_class_name_stands_for_two_things() -> None:
    places = defaultdict[str, list[str]](list)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_private_names_of_dagster_are_imported_in_one_module() -> None:
    imported = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        for module in _imported(node)
        if any(part.startswith("_") for part in module.split(".")) and module.split(".")[0].startswith("dagster")
    }
    assert imported == {"defs/dagster_private.py"}


def test_one_module_renames_and_one_locks() -> None:
    """`os.replace`, `Path.rename`, `Path.replace`, `fsync`, `fcntl` and `filelock` stand there alone."""
    renaming, locking = set[str](), set[str]()
    for path, tree in trees().items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="rename" | "fsync" | "renames")):
                    renaming.add(path)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="replace")):
                    renaming.add(path)
                case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
                    renaming.add(path)
                case _:
                    locking |= {path for module in _imported(node) if module in ("fcntl", "filelock")}
    assert (renaming, locking) == ({"core/files.py"}, {"core/locks.py"})


def test_questions_and_documents_change_nothing_in_the_store() -> None:
    """The pages of an audit that are kept with their checkpoint are the one thing that these rooms store."""
    writing = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if path.startswith(("lineage/", "documents/")) and isinstance(node, ast.Call) and _called(node) in _WRITE
    }
    assert writing == {"documents/audit_pages.py"}


_WRITE = {"commit", "record", "draft", "write_record", "remember_export"}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) else []
