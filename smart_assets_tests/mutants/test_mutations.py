"""The changes that are tried: each kind where it should be, in the right place, and still Python."""

import ast
import random
from pathlib import Path

import pytest

from smart_assets_tests.mutants.mutations import find_mutations
from smart_assets_tests.mutants.rooms import PROJECT, ROOMS, concerned_tests, draw, product_files


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a < b", "x = (a <= b)"),
        ("x = a == b", "x = (a != b)"),
        ("x = a and b", "x = (a or b)"),
        ("x = a and b", "x = (b)"),
        ("x = not a", "x = (a)"),
        ("x = a + b", "x = (a - b)"),
        ("x = 5", "x = (6)"),
        ("x = True", "x = (False)"),
        ("x = a[0]", "x = (a[-1])"),
        ("x = a[-1]", "x = (a[0])"),
        ("x = ['ä', 'b']", "x = (['ä'])"),
        ("x = {'a': y, 'b': z}", "x = ({'a': y})"),
        ("x = min(a)", "x = (max(a))"),
        ("x = sorted(a)", "x = (a)"),
        ("x = f(a, key=b)", "x = (f(a))"),
        ("x = [y for y in a if y]", "x = [y for y in a if True]"),
        ("x += y", "pass"),
        ("if a: b()", "if not (a): b()"),
        ("for y in a:\n    b()", "for y in a:\n    b()\n    break"),
        ("def f() -> None:\n    a()\n    b()", "def f() -> None:\n    a()\n    return\n    b()"),
        ("def f() -> int | None:\n    return a", "def f() -> int | None:\n    return None"),
        ("def f() -> bool:\n    return a", "def f() -> bool:\n    return not (a)"),
        ("def f() -> list[int]:\n    return a", "def f() -> list[int]:\n    return []"),
    ],
)
def test_each_kind_of_change(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"# größer\n{line}\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert f"# größer\n{expected}\n" in [mutation.apply(text) for mutation in find_mutations(path)]


@pytest.mark.parametrize(
    "line",
    ['"""Says 5 < 6."""', "def f(x: tuple[1, 2]) -> None: ...", "zip(strict=True)", "log(5)", 'x = f"{1 + 1}"'],
)
def test_what_cannot_be_seen_is_left_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"{line}\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert [new for mutation in find_mutations(path) if (new := mutation.apply(text)) not in ("pass\n", text)] == []


def test_every_change_of_the_product_is_still_python() -> None:
    draws = random.Random(0)
    for room in ROOMS:
        for path in product_files(room):
            text = path.read_text(encoding="utf-8")
            found = find_mutations(path)
            for mutation in draws.sample(found, min(10, len(found))):
                changed = mutation.apply(text)
                assert changed != text
                ast.parse(changed)


def test_a_seed_draws_the_same_changes_again_spread_over_the_rooms() -> None:
    rooms = ["store", "gc"]
    first = draw(rooms, 10, seed=3)
    assert first == draw(rooms, 10, seed=3) != draw(rooms, 10, seed=4)
    assert [room for room, _ in first] == rooms * 5
    assert len({mutation for _, mutation in first}) == 10


def test_rooms_name_files_and_tests_that_there_are() -> None:
    for room in ROOMS:
        assert product_files(room)
        assert all((PROJECT / place).exists() for place in [*product_files(room), *concerned_tests(room)])
