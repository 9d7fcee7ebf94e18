"""What is not read cannot be looked through: answers say so, and so does what a source is audited by."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.cli.audit import show_source
from smart_assets.cli.forget import forget_rows, remove_forgotten
from smart_assets.core.errors import SmartError
from smart_assets.defs.metadata import metadata_of
from smart_assets.forgetting.removal import find_removal
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project
from smart_assets_tests.support.small_source import edit, make_small, small_project

ROW = {"prompt": "a prompt", "response": "said to ada@example.org", "author": "ada@example.org"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = small_project(tmp_path)
    lines = [json.dumps(ROW), json.dumps({**ROW, "prompt": "another", "author": None, "url": ""})]
    edit(tmp_path / "in", {"a.jsonl": "\n".join(lines)})
    return made


def test_a_match_says_what_it_does_not_cover(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    make_small(project)
    forget_rows(project.root, ([], None, "ada@example", None), "asked to", dry_run=True, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert answer["not_covered"] == ["not looked through, since it is not read: of small: column `author` (1 row)"]
    forget_rows(project.root, ([], None, "ada@example", None), "asked to", dry_run=True, as_json=False)
    assert "column `author`" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SmartError, match=r"stands in no row(.|\n)*not looked through.*column `author`"):
        forget_rows(project.root, ([], None, "nobody at all", None), "asked to", dry_run=True, as_json=True)


def test_a_source_is_audited_with_what_is_not_read(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_small(project)
    show_source(project.root, "small", as_json=True)
    assert json.loads(capsys.readouterr().out)["rows"][0]["not_read"] == {"column `author`": 1}
    show_source(project.root, "small", as_json=False)
    assert "not read: column `author` (1 row has a value)" in capsys.readouterr().out
    columns = connect(project, print).execute('SELECT kind, "column", rows FROM source_columns ORDER BY ALL').fetchall()
    assert columns == [("column", "author", 1), ("read as", "", 2)]
    assert {"columns", "not read"} <= set(metadata_of(project, made))


def test_a_store_of_before_says_that_it_was_not_recorded(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = make_small(project).manifest
    [path] = (project.store.root / "manifests" / "raw_tasks" / "small").glob("*.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["summary"]["rows with a value that is not read"]
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert ORIGINS_FOLDER in manifest.attachments
    show_source(project.root, "small", as_json=False)
    assert "was not recorded: an earlier version read them" in " ".join(capsys.readouterr().out.split())
    forget_rows(project.root, ([], None, "ada@example", None), "asked to", dry_run=True, as_json=True)
    [said] = json.loads(capsys.readouterr().out)["not_covered"]
    assert said == "not looked through: what is not read of small, which was not recorded"


def test_digests_of_what_is_not_read_go_with_the_row(project: Project) -> None:
    """The author's address could be guessed from a digest of it."""
    lines = [json.dumps({**ROW, "author": name}) for name in ("ada@example.org", "bob@example.org")]
    edit(project.root / "in", {"b.jsonl": "\n".join(lines) + "\n" + json.dumps({**ROW, "prompt": "kept"})})
    make_small(project)
    ids = connect(project, print).execute("SELECT id FROM instances WHERE prompt = 'a prompt'").fetchall()
    forget_rows(project.root, ([id_ for (id_,) in ids], None, None, None), "asked to", dry_run=False, as_json=True)
    make_small(project)
    remove_forgotten(project.root, dry_run=False)
    digests: dict[str, set[int]] = {}
    for name in ("origins.parquet", "rejected.parquet"):
        for path in project.store.root.rglob(name):
            for row in pq.read_table(path).to_pylist():
                digests.setdefault(str(row["id"]), set()).add(row["unread"])
    assert len(ids) == 2
    assert all(digests[id_] == {0} for (id_,) in ids)
    assert any(0 not in kept for kept in digests.values())
    affected = find_removal(project)
    assert (affected.past, affected.current) == ((), ())
