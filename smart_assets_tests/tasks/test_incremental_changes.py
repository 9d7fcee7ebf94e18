"""Changes in a source's rows are those that one side has alone, and are told in words and foreseen."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.assets import raw_tasks
from smart_assets.assets.raw_tasks import preview
from smart_assets.tasks.changes import COLUMNS, changes_between, in_words
from smart_assets_tests.support.projects import rows, write_project, write_tasks
from smart_assets_tests.support.small_source import make_small

ROWS_OF = st.dictionaries(
    st.integers(0, 30),
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "t"]), st.sampled_from("pqr")),
    max_size=30,
)


def row_table(found: Mapping[int, tuple[str, str, str]]) -> pa.Table:
    listed = [{"id": f"{key:032x}", "task": t, "template": m, "prompt_hash": p} for key, (t, m, p) in found.items()]
    return pa.Table.from_pylist(listed, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))


@given(before=ROWS_OF, after=ROWS_OF)
def test_changes_are_the_rows_that_one_side_has_alone(before: Any, after: Any) -> None:
    after = {key: (before[key][0], row[1], before[key][2]) if key in before else row for key, row in after.items()}
    old, new = row_table(before), row_table(after)
    changes = changes_between(old, new)
    assert changes.added.to_pylist() == [row for row in new.to_pylist() if row not in old.to_pylist()]
    assert changes.removed.to_pylist() == [row for row in old.to_pylist() if row not in new.to_pylist()]
    assert changes.tasks_before == Counter(old["task"].to_pylist())
    assert bool(in_words(changes)) == (sorted(old.to_pylist(), key=repr) != sorted(new.to_pylist(), key=repr))


def of(task: str, *prompts: str, salt: str = "") -> list[tuple[str, str, str, str]]:
    return [(f"{task}{prompt}{salt}{n}", task, "", prompt) for n, prompt in enumerate(prompts)]


def words(before: list[tuple[str, str, str, str]], after: list[tuple[str, str, str, str]]) -> tuple[str, ...]:
    tables = [pa.table([[row[at] for row in found] for at in range(4)], schema=SCHEMA) for found in (before, after)]
    return in_words(changes_between(*tables))


SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
MANY = [f"p{n}" for n in range(1500)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(of("a", "p"), of("a", "p"), (), id="nothing"),
        pytest.param(of("a", "p"), of("a", "p", "q"), ("task `a` has 1 new row",), id="one row"),
        pytest.param(of("a", "p"), of("a", "p", *MANY), ("task `a` has 1,500 new rows",), id="many rows"),
        pytest.param(
            of("a", "p", "q", "r"),
            of("a", "p") + of("a", "q", "s", "t", salt="!"),
            ("task `a` has 1 changed row, 2 new, 1 removed",),
            id="a response changed",
        ),
        pytest.param([], of("a", "p"), ("task `a` is new (1 row)",), id="a new task"),
        pytest.param(
            of("a", "p", "q"), of("b", "r"), ("task `a` is gone (2 rows)", "task `b` is new (1 row)"), id="both"
        ),
        pytest.param(
            of("a", "p", "q") + of("c", "p"),
            of("b", "p", "q") + of("c", "p"),
            ("task `a` is now called `b` (2 rows)",),
            id="another name",
        ),
        pytest.param(
            of("a", "p") + of("b", "p"),
            of("c", "p"),
            ("task `a` is now called `c` (1 row)", "task `b` is gone (1 row)"),
            id="two tasks became one",
        ),
        pytest.param(
            of("a", "p", "q") + of("old", *MANY),
            of("new", *MANY) + of("a", "p") + [row for name in "bcdef" for row in of(name, "p", "q")] + of("g", "p"),
            (
                "task `old` is now called `new` (1,500 rows)",
                *(f"task `{name}` is new (2 rows)" for name in "bcde"),
                "and 3 more tasks (3 new rows, 1 removed)",
            ),
            id="more than five",
        ),
        pytest.param([], of("x" * 300, "p"), (f"task `{'x' * 57}...` is new (1 row)",), id="a long name"),
    ],
)  # fmt: skip
def test_changes_in_words(before: Any, after: Any, told: tuple[str, ...]) -> None:
    assert words(before, after) == told


def test_a_preview_of_too_much_or_from_another_version_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path)
    manifest = make_small(project).manifest
    write_tasks(tmp_path / "tasks", {"alpha": rows(1, 39)})
    assert preview(project, "small", manifest.model_copy(update={"code_version": "0"})) is None
    assert preview(project, "small", manifest.model_copy(update={"attachments": {}})) is None
    monkeypatch.setattr(raw_tasks, "PREVIEW_BYTES", 100)
    assert preview(project, "small", manifest) is None
