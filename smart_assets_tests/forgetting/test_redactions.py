"""Redactions of the past: cut off, made again, kept from the collector, and forged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.declaration import NO_DIGEST
from smart_assets.cli.forget import remove_forgotten
from smart_assets.core.errors import StoreError
from smart_assets.forgetting import redact as redacting
from smart_assets.forgetting.affected import AffectedArtifact
from smart_assets.forgetting.exports import LOG as EXPORTS
from smart_assets.forgetting.exports import exports_with
from smart_assets.forgetting.find import by_ids, by_text
from smart_assets.forgetting.removal import carry_out, find_removal
from smart_assets.lineage.history import History
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.settings import Project
from smart_assets.store import Store
from smart_assets.store.log import append
from smart_assets.store.redaction import log_of
from smart_assets.store.settings import Retention
from smart_assets.tasks.tombstones import LOG as TOMBSTONES
from smart_assets.tasks.tombstones import Tombstones, read_tombstones
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.artifacts import grow_older
from smart_assets_tests.support.projects import own_copy, write_project
from smart_assets_tests.support.secret_project import (
    PARTITION,
    SECRET,
    files_with,
    forgotten,
    instances,
    run_all,
    subset_ids,
)


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
    forgotten(project, lambda reader: by_text(reader, SECRET))
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
    forgotten(project, lambda reader: by_ids(reader, [first]))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(prompts[first], project.store.root) == []
    forgotten(project, lambda reader: by_ids(reader, [second]))
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
    done = forgotten(project, lambda reader: by_text(reader, SECRET))
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
    forgotten(project, lambda reader: by_text(reader, SECRET))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    [path, *_] = (project.store.root / "redacted" / "raw_tasks").rglob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "ids": ["ab" * 16]}), encoding="utf-8")
    assert [damage.what for damage in verify(project.store, lambda _: None).damages] == [
        "says that rows are forgotten which no tombstone names"
    ]


READERS: dict[str, tuple[str, Callable[[Project], object]]] = {
    "tombstones": (TOMBSTONES, lambda project: read_tombstones(project.store)),
    "redactions": (log_of("raw_tasks", "ab" * 16), lambda project: project.store.redaction("raw_tasks", "ab" * 16)),
    "exports": (EXPORTS, lambda project: [*exports_with(project, History((), ()), Tombstones(()))]),
}


@pytest.mark.parametrize("name", READERS)
def test_a_record_that_is_none_is_told_and_never_passed_over(tmp_path: Path, name: str) -> None:
    """Without it, rows would come back that must not, or stay where they must not."""
    project = write_project(tmp_path)
    log, read = READERS[name]
    assert not read(project) or read(project) == Tombstones(())
    append(project.store, log, {"action": "forget"})
    with pytest.raises(StoreError, match="is none of ours: restore it"):
        read(project)


def test_what_is_kept_has_nothing_of_the_forgotten_rows_and_all_of_the_others(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    ids = [f"{index}" * 32 for index in range(5)]
    texts = {name: pa.array([f"{name} {id_}" for id_ in ids]) for name in ("prompt", "response", "messages")}
    rows = pa.table({"id": pa.array(ids), "task": pa.array(["t"] * 5), **texts, "prompt_hash": pa.array(ids)})
    signatures = np.arange(1, 41, dtype=np.uint32).reshape(5, 8)
    with store.draft() as draft:
        (draft / "content").mkdir()
        pq.write_table(rows, draft / "content" / "instances.parquet", row_group_size=2)
        np.save(draft / "content" / "signatures.npy", signatures)
        artifact = store.commit("raw_tasks", draft / "content")
    redacting.redact(store, AffectedArtifact(artifact, (ids[1], ids[4]), "the other rows", current=False), ["key"])

    kept = store.folder(artifact)
    assert not np.load(kept / "signatures.npy")[[1, 4]].any(), "signatures tell of the prompts' words"
    assert (np.load(kept / "signatures.npy")[[0, 2, 3]] == signatures[[0, 2, 3]]).all()
    found = pq.read_table(kept / "instances.parquet")
    gone = {"prompt": "", "response": "", "messages": None, "prompt_hash": NO_DIGEST}
    assert found.to_pylist() == [row | (gone if row["id"] in (ids[1], ids[4]) else {}) for row in rows.to_pylist()]
