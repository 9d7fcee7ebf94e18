"""The store in SQL: views before anything is made, tables against the manifests, the document's queries, the export."""

# ruff: noqa: S608
# Queries of ours, over names of ours.

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.cli.sql import run_sql
from smart_assets.core.errors import SmartError
from smart_assets.documents.sql_export import export_views
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.sql.connect import connect
from smart_assets.lineage.sql.file_views import views
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.inventory import recorded
from smart_assets_tests.support.artifacts import manifest_of
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.sql_queries import DOCUMENT, QUERIES
from smart_assets_tests.support.three_runs import HOSTILE, HOSTILE_PROMPT, REASON

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@pytest.fixture(scope="module")
def connection(past_project: Project) -> Iterator["DuckDBPyConnection"]:
    lines: list[str] = []
    with connect(past_project, lines.append) as opened:
        assert lines == []
        yield opened


def manifests(project: Project) -> list[Manifest]:
    found = [item.manifest for history in recorded(project.store) for item in history]
    assert None not in found
    return [manifest for manifest in found if manifest is not None]


def names(connection: "DuckDBPyConnection") -> set[str]:
    return {row[0] for row in connection.execute("SHOW TABLES").fetchall()}


def columns(connection: "DuckDBPyConnection", name: str) -> list[str]:
    return [column[0] for column in connection.execute(f"SELECT * FROM {name}").description or []]


def test_every_view_is_there_with_its_columns_before_anything_is_made(
    tmp_path: Path, connection: "DuckDBPyConnection"
) -> None:
    empty = connect(write_project(tmp_path), print)
    assert names(empty) == names(connection) >= {*views(), "checkpoints", "lineage", "runs", "trained_rows"}
    for name in names(empty):
        assert empty.execute(f"SELECT * FROM {name}").fetchall() == []
        assert columns(empty, name) == columns(connection, name)


def test_the_document_names_every_view_and_column(connection: "DuckDBPyConnection") -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in names(connection):
        assert f"`{name}`" in text
        assert not [column for column in columns(connection, name) if column not in text], name


def test_there_are_ten_queries() -> None:
    assert len(QUERIES) == 10


@pytest.mark.parametrize(("question", "query"), QUERIES, ids=[question[:50] for question, _ in QUERIES])
def test_a_documented_query_answers(connection: "DuckDBPyConnection", question: str, query: str) -> None:
    rows = connection.execute(query).fetchall()
    assert len(rows) >= (2 if "rejected" not in question else 1), question
    assert len(set(map(repr, rows))) == len(rows)


def test_the_documented_answers_are_right(connection: "DuckDBPyConnection", past_project: Project) -> None:
    answers = {question: connection.execute(query).fetchall() for question, query in QUERIES}
    by_words = {word: next(rows for question, rows in answers.items() if word in question) for word in (
        "each task", "ever, were", "left the sources", "file and line", "came into", "made from, and", "each run",
        "rejected", "go with",
    )}  # fmt: skip
    assert sum(row[-1] for row in by_words["each task"]) == (10 + 15) * 2 * 2 - 8, "a row of each is dropped"
    assert {row[7] for row in by_words["ever, were"]} == {True, False}
    assert any(row[-1] > 0 for row in by_words["left the sources"]), "rows of `run-1` have gone"
    assert all(row[5] == 0 for row in by_words["left the sources"]), "no held-out row is trained on"
    assert {row[-2] for row in by_words["file and line"]} == {"all.jsonl"}
    assert {row[-1] for row in by_words["came into"]} == {"came", "went"}
    assert {"raw_tasks", "selected_subset"} <= {row[2] for row in by_words["made from, and"]}
    assert [row[0] for row in by_words["each run"]] == ["run-1", "run-2", "run-3"]
    [(source, task, _, count, _)] = by_words["rejected"]
    assert (source, task, count) == ("small", "plain", 1)
    assert {row[-1] > 0 for row in by_words["go with"]} >= {True}


def test_edges_and_materializations_are_those_of_the_manifests(
    connection: "DuckDBPyConnection", past_project: Project
) -> None:
    made = manifests(past_project)
    edges = {
        (one.asset, one.partition, one.content_version, name, version)
        for one in made
        for name, version in one.inputs.items()
    }
    key = "input_asset || coalesce('[' || input_partition || ']', '') || coalesce('#' || facet, '')"
    found = connection.execute(
        f"SELECT asset, partition, content_version, {key}, input_version FROM lineage"
    ).fetchall()
    assert len(found) == len(edges)
    assert set(found) == edges
    assert connection.execute("SELECT count(*) FROM lineage WHERE input_content_version IS NULL").fetchone() == (0,)
    counted = connection.execute("SELECT asset, partition, content_version FROM materializations").fetchall()
    assert Counter(counted) == Counter((one.asset, one.partition, one.content_version) for one in made)
    current = connection.execute("SELECT DISTINCT partition FROM materializations WHERE current AND asset LIKE 'fine%'")
    assert {row[0] for row in current.fetchall()} == {"10|smart", "10|random", "15|smart", "15|random"}
    runs = connection.execute("SELECT run_id, materializations, seconds, device FROM runs").fetchall()
    assert {run: count for run, count, _, _ in runs} == Counter(one.made["run_id"] for one in made)
    assert all(seconds > 0 and device == "cpu" for _, _, seconds, device in runs)


def test_checkpoints_are_those_of_the_manifests(connection: "DuckDBPyConnection", past_project: Project) -> None:
    expected: list[tuple[Any, ...]] = []
    for one in manifests(past_project):
        for seed, record in one.summary.get("seeds", {}).items() if one.asset == "finetuned_checkpoint" else ():
            path = past_project.store.artifact_folder(one.asset, one.content_version) / f"seed-{seed}"
            expected.append(
                (one.partition, int(seed), "tiny", record["rows"], 1, 2, 1.0, one.made["run_id"], str(path))
            )
    chosen = "budget || '|' || recipe, seed, base_model, rows, dropped_rows, steps, final_loss, run_id, path"
    assert Counter(connection.execute(f"SELECT {chosen} FROM checkpoints").fetchall()) == Counter(expected)
    assert connection.execute("SELECT DISTINCT reason FROM dropped_rows").fetchall() == [(REASON,)]


def test_past_and_current_subsets_are_all_there_is(connection: "DuckDBPyConnection", past_project: Project) -> None:
    expected: Counter[tuple[Any, ...]] = Counter()
    versions = {
        (one.partition, one.content_version) for one in manifests(past_project) if one.asset == "selected_subset"
    }
    for partition, version in versions:
        rows = pq.read_table(past_project.store.artifact_folder("selected_subset", version) / "subset.parquet")
        expected.update((partition, version, row["id"], row["rank"], row["seed"]) for row in rows.to_pylist())
    chosen = "SELECT budget || '|' || recipe, content_version, id, rank, seed FROM"
    found = connection.execute(f"{chosen} subsets UNION ALL {chosen} past_subsets").fetchall()
    assert Counter(found) == expected
    assert connection.execute("SELECT count(DISTINCT budget) FROM past_subsets WHERE budget = 20").fetchone() == (1,)


def test_an_export_stands_alone_and_quotes_nobody(
    connection: "DuckDBPyConnection", past_project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "it's [a] folder" / "audit.duckdb"
    written = export_views(connection, out, texts=False)
    assert {path.name for path in out.parent.iterdir()} == {"audit.duckdb"}
    with duckdb.connect(str(out), read_only=True) as alone:
        assert names(alone) == set(written) == names(connection)
        tables = alone.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
        assert tables == (len(written),), "tables, not views over files"
        for name in written:
            count = f"SELECT count(*) FROM {name}"
            assert alone.execute(count).fetchone() == connection.execute(count).fetchone()
        assert {"prompt", "response", "messages"}.isdisjoint(columns(alone, "instances"))
        assert "excerpt" not in columns(alone, "rejected")
        everything = repr([alone.execute(f"SELECT * FROM {name}").fetchall() for name in written])
        assert "alert(1)" not in everything
        assert len(alone.execute(QUERIES[1][1]).fetchall()) > 2
    with pytest.raises(SmartError, match="is there already: `--force` replaces it"):
        export_views(connection, out, texts=True)
    export_views(connection, out, texts=True, replace=True)
    with duckdb.connect(str(out), read_only=True) as alone:
        prompts = alone.execute("SELECT prompt FROM instances WHERE response = '<b>no</b>'").fetchall()
        assert prompts == [(HOSTILE_PROMPT,)]
    with pytest.raises(SmartError, match="is a folder"):
        export_views(connection, tmp_path, texts=True, replace=True)


def test_an_export_that_cannot_be_written_leaves_nothing(connection: "DuckDBPyConnection", tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SmartError, match="cannot be written"):
        export_views(connection, tmp_path / "file" / "audit.duckdb", texts=False)
    connection.execute("CREATE TEMP VIEW broken AS SELECT error('no') AS x")
    try:
        with pytest.raises(SmartError, match=r"cannot be written: .*no"):
            export_views(connection, tmp_path / "audit.duckdb", texts=False)
    finally:
        connection.execute("DROP VIEW broken")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    export_views(connection, tmp_path / "audit.duckdb", texts=False)


def test_damaged_files_and_manifests_are_told_and_left_out(own_past: Project) -> None:
    def current(partition: str) -> Manifest:
        manifest = own_past.store.current("selected_subset", partition)
        assert manifest is not None
        return manifest

    cut = own_past.store.artifact(current("10|smart")) / "subset.parquet"
    cut.write_bytes(b"0" * cut.stat().st_size)
    (own_past.store.artifact(current("10|random")) / "subset.parquet").unlink()
    path = own_past.store.manifests_in(own_past.store.manifest_folder("selected_subset", "15|smart"))[0]
    path.write_text("{")
    lines: list[str] = []
    opened = connect(own_past, lines.append)
    found = opened.execute("SELECT DISTINCT budget, recipe FROM subsets").fetchall()
    assert found == [(15, "random")]
    for words in ("that cannot be opened", "selected_subset[10|random] is left out", "cannot be relied on"):
        assert any(words in line for line in lines)


def test_hostile_names_and_texts_are_values_in_sql_and_plain_in_the_terminal(
    connection: "DuckDBPyConnection", past_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    found = connection.execute("SELECT count(*) FROM trained_rows WHERE task = ?", [HOSTILE]).fetchone()
    assert found is not None
    assert found[0] > 0
    quoted = HOSTILE.replace("'", "''")
    query = f"SELECT task, template, prompt FROM instances WHERE task = '{quoted}' ORDER BY ALL"
    run_sql(past_project.config, query, "table")
    shown = capsys.readouterr().out
    assert HOSTILE in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    run_sql(past_project.config, query)
    exact = [*csv.reader(io.StringIO(capsys.readouterr().out, newline=""))]
    assert [*map(tuple, exact[1:])] == connection.execute(query).fetchall()
    assert any("\x1b" in row[2] for row in exact)


@pytest.mark.parametrize(("folder", "sibling"), [("a[1]", "a1"), ("a[!x]", "ab"), ("a*", "ab"), ("a?", "ab")])
def test_a_project_whose_folder_reads_as_a_pattern_never_reads_its_sibling(
    tmp_path: Path, folder: str, sibling: str
) -> None:
    """With the same files in the same places there, only other rows in them."""

    def subset(id_: str) -> pa.Table:
        row = {"id": id_, "source": "small", "task": "t", "template": "", "rank": 0, "gain": None, "seed": 0}
        return pa.Table.from_pylist([row], MIXTURE_COLUMNS)

    project = write_project(tmp_path / folder)
    for row in ("first", "second"):
        with project.store.draft() as draft:
            (draft / "content").mkdir()
            pq.write_table(subset(row), draft / "content" / "subset.parquet")
            artifact = project.store.commit("selected_subset", draft / "content")
        project.store.record(manifest_of(artifact, "10|smart"))
    shutil.copytree(project.root, tmp_path / sibling)
    for path in (tmp_path / sibling).rglob("subset.parquet"):
        pq.write_table(subset("not ours"), path)

    reader = AuditReader(project)
    with connect(project, print) as opened:
        found = {view: opened.execute(f"SELECT id FROM {view}").fetchall() for view in ("subsets", "past_subsets")}
    assert found == {"subsets": [("second",)], "past_subsets": [("first",)]}
    assert reader.query(reader.subsets, "id", "ORDER BY id") == [("first",), ("second",)]
