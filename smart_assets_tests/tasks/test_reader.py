import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_assets.core.errors import SourceError
from smart_assets.tasks import reasons
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.read_result import INSTANCES, ORIGINS, REJECTED, TASKS
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.source_kind import Columns
from smart_assets_tests.support.read_rows import read_folder, rows_of

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
ROWS = st.lists(st.fixed_dictionaries({"prompt": TEXT, "response": TEXT}), min_size=1, max_size=12)


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def pair(prompt: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "response": "r", **more}


def test_files_are_found_in_folders_and_sorted_and_others_named(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", pair("1"))
    write(tmp_path / "a" / "deep" / "c.jsonl", pair("2"))
    write(tmp_path / ".cache" / "d.jsonl", pair("3"))
    write(tmp_path / "._b.jsonl", pair("4"))
    (tmp_path / "README.md").write_text("x")
    result, log = read_folder(tmp_path)
    assert [file.path for file in result.files] == ["a/deep/c.jsonl", "b.jsonl"]
    assert result.tasks["task"].to_pylist() == ["b", "c"]
    assert any("README.md" in line for line in log)


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.jsonl", pair("1"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to(tmp_path / "elsewhere")
    assert read_folder(tmp_path / "source", follow_links=True)[0].files[0].path == "link/a.jsonl"


def test_a_path_is_relative_to_the_root(tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "a.jsonl", pair("1"))
    assert rows_of(read_source(FolderSource(path="tasks"), tmp_path, lambda _: None)).num_rows == 1


def test_tables_have_their_schemas_and_order(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *(pair(str(n)) for n in range(30)), pair("1"))
    result, _ = read_folder(tmp_path, task_prefix="flan/")
    assert rows_of(result).schema == INSTANCES
    assert result.origins.schema == ORIGINS
    assert result.rejected.schema == REJECTED
    assert result.tasks.schema == TASKS
    ids = rows_of(result)["id"].to_pylist()
    assert ids == sorted(set(ids)) == result.origins["id"].to_pylist()
    line_of = dict(zip(ids, result.origins["line"].to_pylist(), strict=True))
    assert all(line_of[row["id"]] == int(row["prompt"]) + 1 for row in rows_of(result).to_pylist())
    assert result.rejected.to_pylist() == [
        {
            "file": "a.jsonl",
            "line": 31,
            "task": "flan/a",
            "reason": reasons.DUPLICATE,
            "excerpt": None,
            "id": next(row_id for row_id, line in line_of.items() if line == 2),
            "template": "",
            "unread": 0,
        }
    ]
    assert result.tasks.to_pylist() == [{"task": "flan/a", "accepted": 30, "rejected": 1}]


def test_tasks_left_with_no_rows_are_kept_and_named(tmp_path: Path) -> None:
    write(tmp_path / "good.jsonl", pair("1"))
    write(tmp_path / "hollow.jsonl", {"prompt": "p", "response": ""})
    (tmp_path / "void.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text("no json")
    result, log = read_folder(tmp_path)
    assert result.tasks.to_pylist() == [
        {"task": "broken", "accepted": 0, "rejected": 1},
        {"task": "good", "accepted": 1, "rejected": 0},
        {"task": "hollow", "accepted": 0, "rejected": 1},
        {"task": "void", "accepted": 0, "rejected": 0},
    ]
    assert log[-1].endswith("left with no rows: broken, hollow, void")


@pytest.mark.parametrize("task", [pytest.param(t, id=t[:9]) for t in ("../../etc", "a|b", "<script>", "x" * 300)])
def test_a_column_may_name_any_task_and_a_task_may_span_files(tmp_path: Path, task: str) -> None:
    write(tmp_path / "one" / "part.jsonl", pair("1", subject=task), pair("2", subject="a\x1b[0m"))
    write(tmp_path / "two" / "part.jsonl", pair("3", subject=task))
    result, _ = read_folder(tmp_path, columns=Columns(task="subject"))
    assert result.tasks.to_pylist() == [{"task": task, "accepted": 2, "rejected": 0}]
    assert result.rejected["reason"].to_pylist() == [reasons.TASK_CONTROL]


def test_flan_shards_of_one_name_need_no_configuration(tmp_path: Path) -> None:
    row = {"inputs": "1", "targets": "r", "task_name": "t"}
    write(tmp_path / "one" / "train.jsonl", row)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "train.jsonl").write_text(json.dumps({**row, "inputs": "2"}) + "\nno json")
    result, _ = read_folder(tmp_path)
    assert result.tasks.to_pylist() == [{"task": "t", "accepted": 2, "rejected": 0}]
    assert result.rejected["task"].to_pylist() == [None]


def test_file_names_that_cannot_be_shown_are_escaped(tmp_path: Path) -> None:
    for name in (b"a\x1b[31m.jsonl", b"\xff.jsonl", b"a\nb.jsonl"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text(json.dumps(pair("1")))
    result, _ = read_folder(tmp_path)
    assert result.tasks["task"].to_pylist() == ["\\udcff", "a\\nb", "a\\x1b[31m"]
    assert all(file.path.isprintable() for file in result.files)


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        pytest.param({}, "missing", "missing does not exist. Create it", id="missing folder"),
        pytest.param({"a.jsonl": "{}"}, "a.jsonl", "a.jsonl is a file", id="not a folder"),
        pytest.param({}, "", r"no task files among its 0 files. .*\.jsonl", id="empty folder"),
        pytest.param({"a.txt": "x"}, "", "no task files among its 1 files", id="no task files"),
        pytest.param({"a.jsonl": ""}, "", "none of its 0 rows can be used", id="no rows"),
        pytest.param(
            {"a.jsonl": '{"question": "p"}\n{}\nx'},
            "",
            r"none of its 3 rows can be used \(2 x prompt is missing, 1 x not valid JSON\).*`columns`",
            id="no accepted row",
        ),
        pytest.param(
            {"x/a.jsonl": json.dumps(pair("1")), "y/a.csv": "prompt,response\np,r"},
            "",
            "x/a.jsonl and y/a.csv both give the task 'a'.*Rename one of them, or set `columns.task`",
            id="one task in two files",
        ),
    ],
)
def test_what_stops_a_source_says_what_to_do(tmp_path: Path, files: dict[str, str], path: str, message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=message):
        read_folder(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_an_unreadable_folder_stops_a_source(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", pair("1"))
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(SourceError, match=r"locked cannot be read: Permission denied. Grant access"):
        read_folder(tmp_path)


def test_a_folder_the_system_refuses_stops_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"cannot be read: Permission denied. Grant access"):
        read_folder(tmp_path)


def test_the_state_changes_with_the_bytes_alone(tmp_path: Path) -> None:
    source = FolderSource(path=str(tmp_path))
    write(tmp_path / "a.jsonl", pair("1"))
    write(tmp_path / "sub" / "b.jsonl", pair("2"))
    before = source.state(tmp_path)
    result, _ = read_folder(tmp_path)
    assert before == {file.path: file.sha256 for file in result.files}
    os.utime(tmp_path / "a.jsonl", (1, 1))
    assert source.state(tmp_path) == before
    write(tmp_path / "a.jsonl", pair("3"))
    assert {path for path, sha in source.state(tmp_path).items() if before[path] != sha} == {"a.jsonl"}


def test_a_remembered_hash_does_not_outlive_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_assets.tasks.files._SETTLED_NS", -1)
    source = FolderSource(path=str(tmp_path))
    write(tmp_path / "a.jsonl", pair("1"))
    before = source.state(tmp_path)
    write(tmp_path / "new.jsonl", pair("2"))
    (tmp_path / "new.jsonl").replace(tmp_path / "a.jsonl")
    assert source.state(tmp_path) != before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=ROWS, data=st.data())
def test_moving_lines_changes_nothing_but_origins(
    rows: list[dict[str, str]], data: st.DataObject, tmp_path: Path
) -> None:
    rows = [*rows, pair("always")]
    write(tmp_path / "a.jsonl", *rows)
    first, _ = read_folder(tmp_path)
    write(tmp_path / "a.jsonl", *data.draw(st.permutations(rows)))
    second, _ = read_folder(tmp_path)
    assert rows_of(first).equals(rows_of(second))
    assert first.tasks.equals(second.tasks)
    assert sorted(first.rejected["reason"].to_pylist()) == sorted(second.rejected["reason"].to_pylist())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=ROWS, more=ROWS)
def test_other_rows_never_change_an_id(rows: list[dict[str, str]], more: list[dict[str, str]], tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *rows, pair("always"))
    ids = set(rows_of(read_folder(tmp_path)[0])["id"].to_pylist())
    write(tmp_path / "a.jsonl", *more, *rows, pair("always"))
    assert ids <= set(rows_of(read_folder(tmp_path)[0])["id"].to_pylist())


def test_every_row_is_accepted_or_rejected_and_the_first_of_equal_rows_kept(tmp_path: Path) -> None:
    rows = [pair(str(n % 7), template=f"t{n}") if n % 3 else {"prompt": n} for n in range(100)]
    write(tmp_path / "a.jsonl", *rows)
    result, _ = read_folder(tmp_path)
    assert rows_of(result).num_rows + result.rejected.num_rows == 100
    first = {row["prompt"]: row["template"] for row in reversed(rows) if "template" in row}
    assert {row["prompt"]: row["template"] for row in rows_of(result).to_pylist()} == first
