"""Forgotten rows stay out of every later run until that is undone, and the commands say what they did."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smart_assets.assets import raw_tasks
from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.cli.audit import show_model
from smart_assets.cli.forget import forget_rows, list_forgotten, remove_forgotten, undo_forgetting
from smart_assets.core.errors import SmartError
from smart_assets.forgetting.find import ForgetRequest, by_ids, by_task, by_text
from smart_assets.forgetting.tombstone import forget, undo
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project, load_project
from smart_assets.store import Store
from smart_assets.tasks.tombstones import Tombstones, read_tombstones
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.projects import every_byte, own_copy, rows, write_tasks
from smart_assets_tests.support.secret_project import (
    BECAUSE,
    SECRET,
    Parrot,
    files_with,
    forgotten,
    instances,
    run_all,
    subset_ids,
    tasks,
)


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def test_a_forgotten_task_stays_out_when_new_rows_of_it_come(project: Project) -> None:
    done = forgotten(project, lambda reader: by_task(reader, "beta"))
    assert len(done.record.ids) == 14
    run_all(project)
    changed = tasks()
    changed["all"] += [{"t": "beta", **row} for row in rows(5, 3)]
    write_tasks(project.root / "tasks", changed)
    run_all(project)
    assert {row["task"] for row in instances(project)} == {"alpha", "gamma"}
    excerpts = connect(project, print).execute("SELECT DISTINCT excerpt FROM rejected WHERE task = 'beta'").fetchall()
    assert excerpts == [(None,)], "its refused row is forgotten too"
    before = every_byte(project.root)
    remove_forgotten(project.root, dry_run=True)
    assert every_byte(project.root) == before
    remove_forgotten(project.root, dry_run=False)
    beta = next(row for row in tasks()["all"] if row["t"] == "beta")
    assert files_with(beta["prompt"], project.store.root) == []
    assert verify(project.store, lambda _: None).damages == []


def test_a_row_that_comes_back_under_another_task_stays_out(project: Project) -> None:
    row = next(row for row in instances(project) if SECRET in row["prompt"])
    copied = tasks()
    copied["more"].append({"t": "gamma", **{name: row[name] for name in ("prompt", "response", "template")}})
    write_tasks(project.root / "tasks", copied)
    run_all(project)
    done = forgotten(project, lambda reader: by_ids(reader, [row["id"]]))
    assert len(done.record.ids) == 2, "what says the same in another task is forgotten with it"
    assert row["prompt"] not in json.dumps(done.record.model_dump(mode="json"))
    run_all(project)
    renamed = tasks()
    for one in renamed["all"]:
        one["t"] = one["t"].replace("alpha", "omega")
    write_tasks(project.root / "tasks", renamed)
    run_all(project)
    assert {one["task"] for one in instances(project)} == {"omega", "beta", "gamma"}
    assert not [one for one in instances(project) if SECRET in one["prompt"]]
    undo(project, done.record.key)
    run_all(project)
    assert {one["task"] for one in instances(project) if SECRET in one["prompt"]} == {"alpha", "omega"}


def test_a_row_that_two_tombstones_name_stays_out_while_one_holds(project: Project) -> None:
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    licence = forgotten(project, lambda reader: by_ids(reader, [secret["id"]]))
    reader = AuditReader(project)
    erasure = forget(project, reader, by_text(reader, SECRET), "asked for erasure")
    assert secret["id"] in erasure.record.ids
    undo(project, licence.record.key)
    assert run_all(project)[0] == "raw_tasks[small]"
    assert secret["id"] not in {row["id"] for row in instances(project)}


def test_a_source_of_forgotten_rows_alone_cannot_be_made_and_says_what_to_do(project: Project) -> None:
    for task in ("alpha", "beta", "gamma"):
        forgotten(project, lambda reader, task=task: by_task(reader, task))
    with pytest.raises(SmartError, match=r"Take the source out of smart\.yaml"):
        run_all(project)


def test_what_is_reused_is_to_the_byte_what_reading_everything_gives(project: Project, tmp_path: Path) -> None:
    forgotten(project, lambda reader: by_text(reader, SECRET))
    run_all(project)
    changed = tasks()
    changed["more"] = changed["more"][1:]
    write_tasks(project.root / "tasks", changed)
    run_all(project)
    reused = project.store.current("raw_tasks", "small")
    shutil.copytree(project.root, tmp_path / "fresh")
    for folder in ("artifacts", "manifests", "cache"):
        shutil.rmtree(tmp_path / "fresh" / ".smart" / folder)
    fresh = load_project(tmp_path / "fresh" / "smart.yaml")
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    read = materialize(fresh, AssetPartition("raw_tasks", "small"), run).manifest
    assert reused is not None
    assert reused.made["files reused"] == 1
    assert (reused.content_version, reused.attachments) == (read.content_version, read.attachments)


def test_undoing_brings_everything_back_to_the_byte(project: Project) -> None:
    versions = {
        key: project.store.current(step.key.asset, step.key.partition) for key, step in whole_plan(project).items()
    }
    done = forgotten(project, lambda reader: by_text(reader, SECRET))
    run_all(project)
    undo(project, done.record.key[:6])
    assert any("undone" in reason for reason in whole_plan(project)["raw_tasks[small]"].reasons)
    run_all(project)
    steps = {name: step for name, step in whole_plan(project).items() if name != "mixture_report"}
    assert {step.status for step in steps.values()} == {"current"}
    for name, step in steps.items():
        after, was = project.store.current(step.key.asset, step.key.partition), versions[name]
        assert after is not None
        assert was is not None
        assert after.content_version == was.content_version, name
        assert after.attachments.get("origins") == was.attachments.get("origins"), name


def test_a_dry_run_of_undoing_changes_nothing_and_says_what_would_come_back(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    was = instances(project)
    secret = next(row for row in was if SECRET in row["prompt"])
    one = forgotten(project, lambda reader: by_ids(reader, [secret["id"]]))
    reader = AuditReader(project)
    several = forget(project, reader, by_text(reader, SECRET), "asked for erasure").record
    run_all(project)
    before = every_byte(project.root)
    undo_forgetting(project.root, several.key, "a mistake", dry_run=True)
    told = capsys.readouterr().out
    undo_forgetting(project.root, several.key, "a mistake", dry_run=True, as_json=True)
    as_json = json.loads(capsys.readouterr().out)
    assert every_byte(project.root) == before
    assert "could be kept again, because a mistake" in told
    assert "nothing was undone" in told
    assert "1 of its rows stay out: other tombstones name them, too" in told
    assert set(as_json["returning"]) == {*several.ids} - {*one.record.ids}
    placed = {id_ for id_, places in as_json["rows"].items() if places}
    assert placed == {row["id"] for row in was if row["id"] in as_json["returning"]}
    assert placed
    assert all(id_ in told for id_ in placed)
    assert (as_json["undone"], as_json["kept_out"], as_json["record"]["sources"]) == (False, 1, ["small"])
    assert read_tombstones(project.store).active[-1].key == several.key
    undo_forgetting(project.root, several.key, "a mistake")
    assert "may be kept again, because a mistake" in capsys.readouterr().out
    assert read_tombstones(project.store).records[-1].reason == "a mistake"
    assert run_all(project)[0] == "raw_tasks[small]"
    came = {row["id"] for row in instances(project)}
    assert came & {*several.ids} == {*as_json["returning"]} & came
    assert secret["id"] not in came


def test_a_task_that_stays_forgotten_keeps_a_row_of_it_out(project: Project) -> None:
    beta = next(row["id"] for row in instances(project) if row["task"] == "beta")
    row = forgotten(project, lambda reader: by_ids(reader, [beta]))
    forgotten(project, lambda reader: by_task(reader, "beta"))
    assert undo(project, row.record.key, dry_run=True).returning == ()


def test_undoing_before_a_run_leaves_nothing_but_a_look(project: Project) -> None:
    done = forgotten(project, lambda reader: by_text(reader, SECRET))
    undo(project, done.record.key)
    assert run_all(project)[0] == "raw_tasks[small]"
    assert len([row for row in instances(project) if SECRET.lower() in (row["prompt"] + row["response"]).lower()]) == 2


def test_undoing_while_a_source_is_read_gives_no_row_another_text(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {row["id"]: row["prompt"] for row in instances(project)}
    done = forgotten(project, lambda reader: by_text(reader, SECRET))
    run_all(project)
    forgotten(project, lambda reader: by_text(reader, rows(3, 1)[0]["prompt"]))
    read = raw_tasks.read_tombstones

    def undone_after(store: Store) -> Tombstones:
        found = read(store)
        if len(found.active) == 2 and calls.append(None) is None and len(calls) == 2:  # the plan's, then the step's
            undo(project, done.record.key)
        return found

    calls: list[None] = []
    monkeypatch.setattr(raw_tasks, "read_tombstones", undone_after)
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    materialize(project, AssetPartition("raw_tasks", "small"), run)
    assert len(calls) == 2
    assert all(texts[row["id"]] == row["prompt"] for row in instances(project))
    assert whole_plan(project)["raw_tasks[small]"].status == "stale"


BAD: dict[str, tuple[Callable[[AuditReader], ForgetRequest], str]] = {
    "no id": (lambda reader: by_ids(reader, ["xyz"]), "is no row's id"),
    "unknown id": (lambda reader: by_ids(reader, ["ab" * 16]), "has the id"),
    "unknown task": (lambda reader: by_task(reader, "alhpa"), "names like it: 'alpha'"),
    "short text": (lambda reader: by_text(reader, " a "), "give 4 characters or more"),
    "text of nobody": (lambda reader: by_text(reader, "%_ nobody said this"), "stands in no row"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_means_no_row_is_refused(secret_project: Project, kind: str) -> None:
    find, told = BAD[kind]
    with pytest.raises(SmartError, match=told):
        find(AuditReader(secret_project))


def test_the_command_says_what_it_did(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SmartError, match="in one way"):
        forget_rows(project.root, ([], "alpha", "text", None), "x", False, False)
    with pytest.raises(SmartError, match="say why"):
        forget_rows(project.root, ([], None, SECRET, None), " ", False, False)
    with pytest.raises(SmartError, match="nothing is forgotten"):
        remove_forgotten(project.root, dry_run=False)
    forget_rows(project.root, ([], None, SECRET, None), BECAUSE, True, False)
    assert "3 rows: would be forgotten" in capsys.readouterr().out
    assert not list((project.store.root / "forgotten").glob("*.json"))
    forget_rows(project.root, ([], None, SECRET, None), BECAUSE, False, True)
    told = json.loads(capsys.readouterr().out)
    assert len(told["record"]["ids"]) == 3
    assert SECRET not in json.dumps(told)
    with pytest.raises(SmartError, match="forgotten already"):
        forget_rows(project.root, ([], None, SECRET, None), BECAUSE, False, False)
    remove_forgotten(project.root, dry_run=False)
    out = capsys.readouterr().out
    assert "`smart run` makes them without the forgotten rows" in out
    assert "no artifact holds" not in out, "what is current still holds them"
    undo_forgetting(project.root, told["key"])
    list_forgotten(project.root, False)
    assert "undone" in capsys.readouterr().out


def test_a_reason_cannot_pass_for_other_lines(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "x\nnothing was ever forgotten\x1b[2K"
    forget_rows(project.root, (subset_ids(project)[:1], None, None, None), reason, False, False)
    told = capsys.readouterr().out
    show_model(project.root, ["20", "smart"], None, False, None)
    told += capsys.readouterr().out
    assert told.count("because x\\n") == 2
    assert "\nnothing was ever" not in told
    assert "\x1b" not in told
