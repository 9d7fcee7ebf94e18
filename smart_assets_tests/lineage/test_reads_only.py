"""`lineage` asks the past and changes nothing: no call in it writes, and no question leaves a trace in the store."""

import ast
from pathlib import Path

import pytest

import smart_assets.lineage
from smart_assets_tests.support.projects import every_byte
from smart_assets_tests.support.store_of_before import QUESTIONS, answer, unpack

MODULES = sorted(Path(smart_assets.lineage.__file__).parent.rglob("*.py"))
WRITING = {
    "cache_folder", "commit", "draft", "mkdir", "push", "record", "rename", "replace", "rmdir", "rmtree",
    "save", "symlink_to", "touch", "unlink", "write", "write_bytes", "write_table", "write_text",
}  # fmt: skip
OF_VALUES = {"replace"}  # that strings, times and dataclasses have, too
OPENING = {"open"}


def calls(module: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def mode(call: ast.Call) -> str:
    named = [word.value for word in call.keywords if word.arg == "mode"]
    given = [*call.args, *named]
    return "".join(str(value.value) for value in given if isinstance(value, ast.Constant))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_call_writes(module: Path) -> None:
    writing = [call for call in calls(module) if called(call) in WRITING - OF_VALUES]
    moving = [call for call in calls(module) if called(call) in OF_VALUES and len(call.args) == 1 and not call.keywords]
    opening = [call for call in calls(module) if called(call) in OPENING and set(mode(call)) & set("wax+")]
    assert [ast.unparse(call) for call in (*writing, *moving, *opening)] == []


@pytest.mark.parametrize("question", [one for one in QUESTIONS if one.startswith(("audit", "diff", "sql"))][:8])
def test_no_question_leaves_a_trace(question: str, tmp_path: Path) -> None:
    root = unpack(tmp_path)
    before = every_byte(root)
    answer(root, question)
    assert every_byte(root) == before
