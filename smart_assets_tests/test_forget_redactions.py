"""Redactions of the past: cut off, made again, kept from the collector, and forged."""

import json
from pathlib import Path

import pytest

from smart_assets.cli.forget import remove_forgotten
from smart_assets.lineage.forget import redact as redacting
from smart_assets.lineage.forget.find import by_ids, by_text
from smart_assets.lineage.forget.removal import carry_out, find_removal
from smart_assets.lineage.gc import find_garbage, remove_garbage
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.lineage.verify import verify
from smart_assets.settings import Project
from smart_assets.store.settings import Retention
from smart_assets_tests.forgetting import (
    PARTITION,
    SECRET,
    files_with,
    forgotten,
    instances,
    run_all,
    subset_ids,
)
from smart_assets_tests.projects import own_copy
from smart_assets_tests.store_ages import grow_older


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def carry_out_killed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to take rows out of the past, and end when the first artifact has its record and is still there."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(redacting, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(project, find_removal(project), lambda _: None)
    monkeypatch.undo()


def test_a_redaction_that_was_cut_off_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten(project, lambda past: by_text(past, SECRET))
    run_all(project)

    carry_out_killed(project, monkeypatch)
    assert verify(project.store, lambda _: None).damages == []
    assert carry_out(project, find_removal(project), lambda _: None)
    assert files_with(SECRET, project.store.root) == []
    assert verify(project.store, lambda _: None).damages == []


def test_what_no_manifest_names_is_removed_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = subset_ids(project)[:2]
    prompts = {row["id"]: row["prompt"] for row in instances(project)}
    with project.store.draft() as draft:  # a run that was killed before its manifest
        (draft / "content").mkdir()
        (draft / "content" / "instances.txt").write_text(prompts[first], encoding="utf-8")
        project.store.commit("raw_tasks", draft / "content")
    forgotten(project, lambda past: by_ids(past, [first]))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(prompts[first], project.store.root) == []
    forgotten(project, lambda past: by_ids(past, [second]))
    run_all(project)

    carry_out_killed(project, monkeypatch)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(prompts[second], project.store.root) == [], "what was kept at first is not kept now"


def test_a_second_forgetting_redacts_what_was_redacted(project: Project) -> None:
    first, second = subset_ids(project)[:2]
    prompts = {row["id"]: row["prompt"] for row in instances(project)}
    before = project.store.current("finetuned_checkpoint", PARTITION)
    assert before is not None
    for id_ in (first, second):
        forgotten(project, lambda past, id_=id_: by_ids(past, [id_]))
        run_all(project)
        remove_forgotten(project.root, dry_run=False)
    assert files_with(prompts[first], project.store.root) == files_with(prompts[second], project.store.root) == []
    assert verify(project.store, lambda _: None).damages == []
    audit = audit_model(project, [before.content_version], None, lambda _: None)
    assert {row.id for row in audit.forgotten} == {first, second}
    assert audit.problems == ()


def test_what_is_kept_of_a_redacted_artifact_is_no_garbage(project: Project) -> None:
    done = forgotten(project, lambda past: by_text(past, SECRET))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    redaction = project.store.redaction("raw_tasks", project.store.history("raw_tasks", "small")[-1].content_version)
    assert redaction is not None
    assert redaction.replaced_by is not None
    assert set(redaction.ids) <= set(done.record.ids)
    grow_older(project.store, 40)
    remove_garbage(find_garbage(project.store, Retention(newest=2, days=30)))
    assert project.store.has(redaction.replaced_by), "the checkpoint of the time is kept, and so is what explains it"
    assert find_garbage(project.store, Retention(newest=1, days=1), frozenset()), "and when it is not, it goes"


def test_a_forged_redaction_is_named(project: Project) -> None:
    forgotten(project, lambda past: by_text(past, SECRET))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    [path, *_] = (project.store.root / "redacted" / "raw_tasks").rglob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "ids": ["ab" * 16]}), encoding="utf-8")
    assert [damage.what for damage in verify(project.store, lambda _: None).damages] == [
        "says that rows are forgotten which no tombstone names"
    ]
