"""`smart forget --where`: which rows a condition means, what it does not cover, and that it can do nothing else."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from smart_assets.cli.main import app
from smart_assets.core.errors import ConditionError, SmartError
from smart_assets.forgetting.find import by_condition, by_text
from smart_assets.forgetting.removal import carry_out, find_removal
from smart_assets.forgetting.where import select
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.make import make
from smart_assets_tests.support.projects import every_byte, own_copy, rows, write_project, write_tasks
from smart_assets_tests.support.secret_project import files_with

ANN = "ann@example.org"
KEEP = {"author": "author", "Quality": "quality", 'odd "name"': "odd"}


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten rows of alpha, of which three are Ann's and a fourth by its duplicate alone; six of beta keep no author."""
    root = tmp_path_factory.mktemp("where")
    sources = {
        "small": {"kind": "folder", "path": "tasks", "columns": {"keep": KEEP}},
        "other": {"kind": "folder", "path": "other", "columns": {"keep": ["quality"]}},
    }
    alpha = [{**row, "author": ANN if place < 3 else "Bob", "quality": place} for place, row in enumerate(rows(1, 10))]
    twin = [{**alpha[5], "author": ANN, "quality": None, "odd": "x'y z"}]
    project = write_project(root, {"alpha": alpha, "twin": [{**row, "task_name": "alpha"} for row in twin]},
                            {"sources": sources})  # fmt: skip
    write_tasks(root / "other", {"beta": [{**row, "author": ANN, "quality": 9} for row in rows(2, 6)]})
    make(project, "raw_tasks[small]", "raw_tasks[other]")
    return root


@pytest.fixture(scope="module")
def reader(made_folder: Path) -> AuditReader:
    return AuditReader(load_project(made_folder))


@pytest.fixture
def project(made_folder: Path, tmp_path: Path) -> Project:
    return own_copy(made_folder, tmp_path)


def run(project: Project, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["forget", "--config", str(project.root), *arguments])


@pytest.mark.parametrize(
    ("condition", "alpha", "beta"),
    [
        pytest.param(f"author = '{ANN}'", 4, 0, id="equal"),
        pytest.param(f"AUTHOR = '{ANN}'", 4, 0, id="whatever its case"),
        pytest.param("author LIKE 'ann@%'", 4, 0, id="pattern"),
        pytest.param(f"author = '{ANN}' AND task = 'alpha' AND file = 'twin.jsonl'", 1, 0, id="a duplicate alone"),
        pytest.param(f"author = '{ANN}' AND file = 'alpha.jsonl'", 3, 0, id="not the duplicate"),
        pytest.param("author IS NULL", 0, 6, id="not kept"),
        pytest.param("CAST(quality AS DOUBLE) >= 9", 1, 6, id="number"),
        pytest.param("source = 'other'", 0, 6, id="source"),
        pytest.param("template = 't0'", 10, 6, id="template"),
        pytest.param('"odd ""name""" = \'x\'\'y z\'', 1, 0, id="hostile name and value"),
        pytest.param("author = 'Bob' -- the rest", 7, 0, id="comment"),
        pytest.param("author IN ('Bob', 'Eve') OR quality = '0'", 8, 0, id="list"),
        pytest.param("id <> ''", 10, 6, id="all"),
    ],
)
def test_a_condition_means_rows(reader: AuditReader, condition: str, alpha: int, beta: int) -> None:
    selected = select(reader, condition)
    assert {count.task: count.rows for count in selected.tasks} == {
        task: rows_of for task, rows_of in (("alpha", alpha), ("beta", beta)) if rows_of
    }
    assert len(selected.ids) == alpha + beta


def test_it_means_the_rows_that_a_view_says(reader: AuditReader, made_folder: Path) -> None:
    connection = connect(load_project(made_folder), print)
    expected = connection.execute(
        "SELECT DISTINCT id FROM kept WHERE kept ->> 'author' = $who ORDER BY id", {"who": ANN}
    ).fetchall()
    assert select(reader, f"author = '{ANN}'").ids == tuple(id_ for (id_,) in expected)


BAD = {
    "no SQL": ("author =", "syntax error"),
    "empty": ("", "."),
    "unknown column": ("writer = 'x'", r'"writer" not found.*over source, task, template, file, quality, author, odd'),
    "texts are not asked": ("prompt = 'x'", "not found"),
    "no condition": ("author", "of the type VARCHAR"),
    "a number": ("1", "of the type INTEGER"),
    "two": ("author = 'x', task = 'y'", "single expression"),
    "a statement": ("SELECT 1", "holds no SELECT"),
    "a second statement": ("true; DROP TABLE rows", "."),
    "closes the bracket": ("true) OR (true", "syntax error"),
    "a union": ("true) UNION SELECT 1 WHERE (true", "syntax error"),
    "a file": ("EXISTS (SELECT * FROM read_text('/etc/passwd'))", "holds no SELECT"),
    "its own rows": ("task IN (SELECT task FROM rows)", "holds no SELECT"),
    "all columns": ("COLUMNS(*) = 'x'", "of the type BOOLEAN, BOOLEAN"),
    "a sum": ("count(*) > 1", "Aggregates cannot"),
    "a parameter": ("author = $1", "."),
    "no number": ("CAST(author AS INTEGER) > 1", "Conversion Error"),
    "surrogate": ("author = '\udcff'", "."),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_condition_on_a_row_is_refused(reader: AuditReader, kind: str) -> None:
    condition, message = BAD[kind]
    with pytest.raises(ConditionError, match=message):
        select(reader, condition)


def test_the_connection_is_locked(reader: AuditReader, tmp_path: Path) -> None:
    from smart_assets.forgetting import where

    connection = where._table_of(list(where._versions(reader)), list(KEEP))  # pyright: ignore[reportPrivateUsage]
    for statement, message in [
        ("SET enable_external_access = true", "Cannot"),
        (f"COPY rows TO '{tmp_path / 'out.csv'}'", "disabled"),
        ("FROM read_text('/etc/passwd')", "disabled"),
        (f"ATTACH '{tmp_path / 'x.duckdb'}'", "disabled|Cannot"),
    ]:
        with pytest.raises(Exception, match=message):
            connection.execute(statement)


def test_what_it_does_not_cover_is_named(reader: AuditReader, project: Project) -> None:
    [lacking] = select(reader, f"author = '{ANN}'").not_covered
    assert (lacking.source, lacking.columns, lacking.current) == ("other", ("author",), True)
    assert select(reader, "quality = '1' AND task = 'alpha'").not_covered == ()
    with pytest.raises(SmartError, match=r"(?s)no accepted row.*the source other does not keep `author`"):
        by_condition(reader, "author = 'nobody'")
    settings = yaml.safe_load(project.config.read_text())
    settings["sources"]["other"]["columns"]["keep"].append("author")
    project.config.write_text(yaml.safe_dump(settings))
    make(load_project(project.root), "raw_tasks[other]")
    again = select(AuditReader(load_project(project.root)), f"author = '{ANN}'")
    assert Counter({count.task: count.rows for count in again.tasks}) == {"alpha": 4, "beta": 6}
    assert [(lacking.source, lacking.current) for lacking in again.not_covered] == [("other", False)]


def test_the_command_shows_what_it_means_before_it_writes(project: Project) -> None:
    before = every_byte(project.store.root)
    dry = run(project, "--where", f"author = '{ANN}'", "--because", "asked", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert every_byte(project.store.root) == before
    lines = [" ".join(line.split()) for line in dry.output.splitlines()]
    assert "small alpha 4 1" in lines
    assert any("the source other does not keep `author`" in line for line in lines)
    assert any("4 rows: would be forgotten, because asked" in line for line in lines)
    done = json.loads(run(project, "--where", f"author = '{ANN}'", "--because", "asked", "--json").output)
    assert len(done["record"]["ids"]) == 4
    assert done["selected"]["not_covered"][0]["source"] == "other"
    assert ANN not in json.dumps(done["record"]), "a tombstone holds no text"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "author = 'x'", "--task", "alpha", "--because", "x"], "do not go together"),
        (["--where", "author = 'x'", "0123456789", "--because", "x"], "do not go together"),
        (["--where", "author = 'x'", "--match", "text", "--because", "x"], "do not go together"),
        (["--where", "author = 'x'", "--list"], "do not go together"),
        (["--where", "author = 'x'"], "needs --because"),
        (["--where", "writer = 'x'", "--because", "x"], "--where cannot be answered"),
    ],
)
def test_what_was_called_wrongly_exits_with_2(project: Project, arguments: list[str], message: str) -> None:
    result = run(project, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_kept_values_leave_the_past_with_the_rows(project: Project) -> None:
    run(project, "--where", f"author = '{ANN}'", "--because", "asked")
    assert files_with(ANN, project.store.root) != []
    make(project, "raw_tasks[small]")
    shown = connect(project, print).execute("SELECT DISTINCT author FROM instances WHERE source = 'small'").fetchall()
    assert shown == [("Bob",)]
    removal = find_removal(project)
    assert not removal.current
    assert carry_out(project, removal, lambda _: None)
    assert files_with(ANN, project.store.root) == []
    assert files_with("Bob", project.store.root) != []
    assert select(AuditReader(project), "author = 'Bob'").tasks[0].rows == 6


def test_a_text_is_found_in_kept_values_and_not_in_their_names(reader: AuditReader) -> None:
    assert len(by_text(reader, ANN.upper()).ids) == 4
    assert len(by_text(reader, "x'y z").ids) == 1
    with pytest.raises(SmartError, match="stands in no row"):
        by_text(reader, "author")
