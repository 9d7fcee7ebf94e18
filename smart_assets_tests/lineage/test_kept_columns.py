"""Kept columns where people look: in SQL, audits of rows and of models, exports and their documents."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.cli.audit import show_model, show_row
from smart_assets.documents.croissant import RowsFile, croissant
from smart_assets.documents.export import write_subset
from smart_assets.documents.exported_rows import exported_rows
from smart_assets.documents.sql_export import export_views
from smart_assets.documents.subsets import current_subset
from smart_assets.forgetting.exports import LOG
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project, load_project
from smart_assets.store.log import records
from smart_assets.tasks.kept_names import OWN_NAMES
from smart_assets_tests.support.make import current, make, run_context
from smart_assets_tests.support.projects import own_copy, rows, write_project, write_tasks

HOSTILE_NAME = 'a "b"/~1 \'; DROP VIEW instances; -- é'
HOSTILE = "Ann <script>alert(1)</script> \x1b[31m\nrow forged"
EXPORTED = ("author", HOSTILE_NAME, "nested", "quality", "verified")


def kept_rows(start: int, count: int) -> list[dict[str, Any]]:
    values = {"author": HOSTILE, HOSTILE_NAME: "odd", "quality": 0.5, "verified": True, "nested": {"b": [1], "a": None}}
    return [{**row, **values} for row in rows(start, count)]


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three sources: one keeps hostile columns, one others and in another case, one none."""
    root = tmp_path_factory.mktemp("kept")
    keep = ["author", HOSTILE_NAME, "quality", "verified", "nested"]
    sources = {
        "small": {"kind": "folder", "path": "tasks", "columns": {"keep": keep}},
        "other": {"kind": "folder", "path": "other", "columns": {"keep": {"AUTHOR": "writer", "lang": "lang"}}},
        "plain": {"kind": "folder", "path": "plain"},
    }
    first = kept_rows(1, 12)
    project = write_project(root, {"alpha": [*first, {**first[0], "author": "of the twin"}]}, {"sources": sources})
    write_tasks(root / "other", {"beta": [{**row, "writer": "bob", "lang": None} for row in rows(2, 12)]})
    write_tasks(root / "plain", {"gamma": rows(3, 12)})
    make(project, "finetuned_checkpoint[20|smart]", run=run_context(run_id="run-1"))
    return root


@pytest.fixture
def project(made_folder: Path, tmp_path: Path) -> Project:
    return own_copy(made_folder, tmp_path)


def test_each_kept_column_is_one_of_the_view(project: Project) -> None:
    lines: list[str] = []
    connection = connect(project, lines.append)
    assert lines == []
    quoted = HOSTILE_NAME.replace('"', '""')
    columns = f'source, author, "{quoted}", quality, verified, nested, lang, count(*)'
    assert sorted(connection.table("instances").aggregate(columns).fetchall()) == [
        ("other", "bob", None, None, None, None, None, 12),
        ("plain", None, None, None, None, None, None, 12),
        ("small", HOSTILE, "odd", "0.5", "true", '{"a":null,"b":[1]}', None, 12),
    ]
    assert connection.execute("SELECT kept ->> 'author' FROM kept WHERE duplicate").fetchall() == [("of the twin",)]


@pytest.mark.parametrize("texts", [False, True])
def test_kept_columns_leave_only_with_texts(project: Project, texts: bool) -> None:
    out = project.root / "all.duckdb"
    export_views(connect(project, print), out, texts)
    with duckdb.connect(str(out), read_only=True) as written:
        columns = {name.lower() for name in written.table("instances").columns}
        of_people = {"author", HOSTILE_NAME.lower(), "lang", "prompt"}
        assert of_people & columns == (of_people if texts else set())
        assert ("kept" in written.table("kept").columns) is texts
        assert {"id", "split", "cluster", "content_version"} <= columns
    assert (HOSTILE.encode() in out.read_bytes()) is texts


def test_no_column_of_ours_can_be_the_name_of_a_kept_one(project: Project) -> None:
    connection = connect(project, print)
    ours = {*connection.table("instances").columns, *connection.table("kept").columns} - {*EXPORTED, "lang"}
    exported = {*current_subset(project, "20|smart", None).rows.column_names} - {*EXPORTED, "lang"}
    assert (ours | exported) - {"AUTHOR"} <= OWN_NAMES


def test_an_audit_of_a_row_shows_what_is_kept(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    [(id_,)] = connect(project, print).execute("SELECT id FROM kept WHERE duplicate").fetchall()
    show_row(project.root, id_, 1, True)
    row = json.loads(capsys.readouterr().out)["row"]
    [history], [twin] = row["standings"], row["twins"]
    assert history["kept"]["author"] == HOSTILE
    assert history["kept"]["nested"] == {"a": None, "b": [1]}
    assert twin["kept"]["author"] == "of the twin"
    show_row(project.root, id_, 1, False)
    out = capsys.readouterr().out
    assert "author of the twin" in out
    assert "quality 0.5" in out
    assert "\nrow forged" not in out
    assert "\x1b" not in out


def test_an_audit_of_a_model_shows_what_is_kept_and_the_kept_page_does_not(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    page = project.root / "audit.html"
    show_model(project.root, ["20", "smart"], None, True, page)
    audit = json.loads(capsys.readouterr().out)
    place = audit["row_columns"].index("kept")
    kept = [row[place] and json.loads(row[place]) for row in audit["rows"]]
    sources = [row[audit["row_columns"].index("source")] for row in audit["rows"]]
    for source, values in zip(sources, kept, strict=True):
        author = {"small": HOSTILE, "other": "bob", "plain": None}[source]
        assert (values or {}).get("AUTHOR" if source == "other" else "author") == author
    exports = [record["path"] for record in records(project.store, LOG)]
    assert exports == [str(page)], "forgotten rows are looked for there"
    manifest = current(project, "finetuned_checkpoint", "20|smart")
    [stored] = project.store.folder(manifest.attachments["audit"]).glob("*.html")
    assert len(stored.read_bytes()) < len(page.read_bytes())


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_kept_columns_are_columns_of_an_export(project: Project, ending: str) -> None:
    subset = current_subset(project, "20|smart", None)
    out = project.root / f"rows{ending}"
    write_subset(subset, out)
    if ending == ".parquet":
        exported = pq.read_table(out).to_pylist()
    else:
        exported = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    by_source = {row["source"]: row for row in exported}
    for row in exported_rows(subset.rows):
        assert row.identity.get("author") == by_source[row.source].get("author"), "trainers' files have them, too"
    small = by_source["small"]
    assert [small[name] for name in EXPORTED] == [HOSTILE, "odd", '{"a":null,"b":[1]}', 0.5, True]
    assert by_source["other"]["AUTHOR"] == "bob"
    assert not any(by_source["plain"][name] for name in EXPORTED)


def test_croissant_names_their_types_and_its_validator_reads_the_rows(project: Project) -> None:
    import mlcroissant

    subset = current_subset(project, "20|smart", None)
    folder = project.root / "dataset"
    folder.mkdir()
    write_subset(subset, folder / "rows.parquet")
    content, columns = (folder / "rows.parquet").read_bytes(), pq.read_schema(folder / "rows.parquet")
    document = croissant(subset, RowsFile("rows.parquet", sha256(content).hexdigest(), len(content), columns))
    [records_of] = document["recordSet"]
    types = {field["name"]: field.get("dataType") for field in records_of["field"]}
    assert {name: types[name] for name in EXPORTED} == {
        "author": "sc:Text",
        HOSTILE_NAME: "sc:Text",
        "nested": "sc:Text",
        "quality": "sc:Float",
        "verified": "sc:Boolean",
    }
    (folder / "croissant.json").write_text(json.dumps(document), encoding="utf-8")
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records_read = list(dataset.records("instances"))
    for index, name in enumerate(subset.kept):
        if name in ("author", HOSTILE_NAME):
            values = [record[f"instances/kept/{index}"] for record in records_read]
            assert [value and value.decode() for value in values] == subset.rows[name].to_pylist()


def test_an_export_is_read_again_with_its_kept_columns(project: Project, tmp_path: Path) -> None:
    subset = current_subset(project, "20|smart", None)
    (tmp_path / "in").mkdir()
    write_subset(subset, tmp_path / "in" / "rows.parquet")
    columns = {"task": "task", "template": "template", "keep": ["author", "quality"]}
    source = {"kind": "folder", "path": str(tmp_path / "in"), "columns": columns}
    again = write_project(tmp_path / "again", {"unused": []}, {"sources": {"small": source}})
    make(again, "raw_tasks[small]")
    shown = connect(again, print).execute("SELECT id, author, quality FROM instances ORDER BY id").fetchall()
    values = zip(*(subset.rows[name].to_pylist() for name in ("id", "author", "quality")), strict=True)
    assert shown == sorted((id_, author, None if quality is None else str(quality)) for id_, author, quality in values)


def test_a_store_without_kept_values_answers_as_before(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"alpha": rows(1, 4)})
    make(project, "raw_tasks[small]")
    connection = connect(load_project(project.root), print)
    assert connection.execute("SELECT count(*) FROM kept").fetchall() == [(0,)]
    assert pa.schema([]).names == [name for name in connection.table("instances").columns if name not in OWN_NAMES]
