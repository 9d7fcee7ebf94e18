"""A source of which no row can be used: its rejected rows stay where people find them, and its good state stays."""

import json
from pathlib import Path
from typing import Any

import pytest

from smart_assets.assets.checks.source_checks import rows_are_accepted
from smart_assets.core.errors import SourceError
from smart_assets.forgetting.find import by_text
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.history import read_history
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project
from smart_assets.store.inventory import recorded
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.artifacts import grow_older
from smart_assets_tests.support.make import current
from smart_assets_tests.support.small_source import edit, make_small, small_project


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = lines(*({"prompt": f"question {index}", "response": f"answer {index}"} for index in range(9)))
BAD = lines(*({"question": f"secret {index}"} for index in range(4)))


def rejected(project: Project) -> list[tuple[Any, ...]]:
    with connect(project, lambda _: None) as connection:
        return connection.execute("SELECT source, file, line, task, excerpt FROM rejected ORDER BY line").fetchall()


def test_rejected_rows_of_a_source_without_rows_are_in_sql(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"lost.jsonl": BAD})
    for _ in range(2):  # once, however often it is tried
        with pytest.raises(SourceError, match=r"none of its 4 rows can be used \(4 x prompt is missing\)"):
            make_small(project)
    assert project.store.current("raw_tasks", "small") is None
    assert len(recorded(project.store)[0]) == 1
    rows = rejected(project)
    assert [(row[:4]) for row in rows] == [("small", "lost.jsonl", line, "lost") for line in (1, 2, 3, 4)]
    assert all("secret" in row[4] for row in rows)
    result = rows_are_accepted(project, "small")
    assert (result.passed, result.warning) == (False, False)
    assert "none of its 4 rows" in result.sentence


def test_what_was_good_stays_current_until_something_better_is_read(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"kept.jsonl": GOOD})
    good = make_small(project).manifest
    assert rejected(project) == []
    edit(tmp_path / "in", {"kept.jsonl": BAD})
    with pytest.raises(SourceError, match="none of its 4 rows"):
        make_small(project)
    assert current(project, "raw_tasks", "small") == good
    assert len(rejected(project)) == 4
    assert [(item.newest, item.last_refused) for item in read_history(project).made] == [(False, True), (True, False)]
    edit(tmp_path / "in", {"kept.jsonl": GOOD + lines({"prompt": "one more", "response": "answer"})})
    make_small(project)
    assert rejected(project) == []
    assert rows_are_accepted(project, "small").passed


def test_the_store_counts_a_refused_reading_as_no_state(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"kept.jsonl": GOOD})
    make_small(project)
    edit(tmp_path / "in", {"kept.jsonl": BAD})
    with pytest.raises(SourceError, match="none of its 4 rows"):
        make_small(project)
    grow_older(project.store, 99)
    assert find_garbage(project.store, Retention(newest=1, days=1)) == []
    assert verify(project.store, lambda _: None).damages == []
    assert by_text(AuditReader(project), "secret 2").refused


@pytest.mark.parametrize(
    ("bad", "limit", "passed", "words"),
    [
        (0, None, True, "0 of 9 rows are refused"),
        (1, None, False, r"1 of 10 rows are refused (10.0%, more than `refused_warning` allows, 5.0%): 1 x prompt"),
        (1, 0.1, True, "1 of 10 rows are refused"),
        (1, 0.09, False, "10.0%, more than `refused_warning` allows, 9.0%"),
    ],
)
def test_many_refused_rows_are_warned_of(
    tmp_path: Path, bad: int, limit: float | None, passed: bool, words: str
) -> None:
    changes: dict[str, Any] = {} if limit is None else {"refused_warning": limit}
    project = small_project(tmp_path, None, **changes)
    edit(tmp_path / "in", {"some.jsonl": GOOD + lines(*({"q": "x"} for _ in range(bad)))})
    make_small(project)
    result = rows_are_accepted(project, "small")
    assert (result.passed, result.warning) == (passed, True)
    assert words in result.sentence
