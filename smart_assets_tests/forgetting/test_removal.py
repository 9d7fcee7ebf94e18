"""Forgotten rows leave what is current and then the past: they are looked for in every file of the store."""

import json
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.step import RunContext
from smart_assets.cli.forget import remove_forgotten
from smart_assets.core.errors import SmartError
from smart_assets.documents.audit_pages import with_pages
from smart_assets.forgetting.find import by_ids, by_task, by_text
from smart_assets.forgetting.removal import _unnamed
from smart_assets.forgetting.tombstone import undo
from smart_assets.lineage.history import History, Materialization
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.graph import find_partitions
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project, load_project
from smart_assets.store import Store
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support import secret_project
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit
from smart_assets_tests.support.projects import own_copy, rows, write_project, write_tasks
from smart_assets_tests.support.secret_project import (
    PARTITION,
    SECRET,
    Parrot,
    current_folders,
    files_with,
    forgotten,
    instances,
    run_all,
    tasks,
    vector_of,
    vectors_like,
)


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def test_a_forgotten_text_leaves_what_is_current_and_then_the_past(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(project, report=True)
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    vector, store = vector_of(project, secret["id"]), project.store
    assert len(files_with(SECRET, store.root)) >= 3, "rows, refused rows, a report"
    done = forgotten(project, lambda reader: by_text(reader, SECRET))
    assert len(done.record.ids) == 3
    assert done.record.sources == ("small",)
    assert SECRET not in (store.root / "forgotten").glob("*.json").__next__().read_text(encoding="utf-8")

    run_all(project, report=True)
    for folder in current_folders(project):
        assert files_with(SECRET, folder) == []
        assert vectors_like(vector, folder) == []
    rejected = (
        connect(project, print).execute("SELECT reason, id, excerpt FROM rejected ORDER BY file, line").fetchall()
    )
    assert [reason for reason, _, _ in rejected].count("forgotten by `smart forget`") == 3, "both, and the twin of one"
    assert {id_ for _, id_, _ in rejected} == set(done.record.ids)
    assert all(excerpt is None for _, _, excerpt in rejected)
    assert run_all(project, report=True) == []
    assert vectors_like(vector, store.root), "the past still has it"

    remove_forgotten(project.root, dry_run=True)
    assert vectors_like(vector, store.root), "a dry run changes nothing"
    remove_forgotten(project.root, dry_run=False)
    assert files_with(SECRET, store.root) == []
    assert vectors_like(vector, store.root) == []
    assert "redacted" in capsys.readouterr().out
    found = verify(store, lambda _: None)
    assert found.damages == []
    assert found.redacted > 0
    assert run_all(project, report=True) == [], "what is current is as it was"
    with pytest.raises(SmartError, match="is final"):
        undo(project, done.record.key)
    remove_forgotten(project.root, dry_run=False)
    assert "nothing of the past holds forgotten rows" in capsys.readouterr().out


def test_a_held_out_row_leaves_the_predictions(project: Project) -> None:
    row = next(row for row in instances(project) if row["split"] == "validation")
    answer = row["response"]
    holders = {"eval_results", "base_model_results"}
    assert holders <= {path.split("/")[1] for path in files_with(answer, project.store.root)}
    forgotten(project, lambda reader: by_ids(reader, [row["id"]]))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(answer, project.store.root) == []
    past = project.store.history("eval_results", PARTITION)[-1]
    kept = pq.read_table(project.store.artifact(past) / "seed-0" / "rows.parquet")
    assert kept.filter(pa.compute.equal(kept["id"], row["id"]))["prediction"].to_pylist() == [None]
    assert kept["prediction"].null_count == 1, "the other rows' predictions stay"


def test_the_excerpt_of_a_refused_row_leaves_past_reports(project: Project) -> None:
    changed = tasks()
    changed["all"].append({"t": "beta", "prompt": "whom nobody may name", "response": ""})
    write_tasks(project.root / "tasks", changed)
    run_all(project, report=True)
    text = "whom nobody may name"
    assert {"mixture_report", "raw_tasks.origins"} <= {
        path.split("/")[1] for path in files_with(text, project.store.root)
    }
    forgotten(project, lambda reader: by_text(reader, text))
    run_all(project, report=True)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(text, project.store.root) == []


def test_the_mean_of_a_forgotten_task_is_nowhere(project: Project) -> None:
    prompt = {"t": "lone", "prompt": "a task of one row", "response": "yes"}
    write_tasks(project.root / "tasks", {**tasks(), "lone": [prompt]})
    run_all(project)
    [lone] = [row for row in instances(project) if row["task"] == "lone"]
    vector = vector_of(project, lone["id"])

    def means() -> list[str]:
        found = [*project.store.root.rglob("task_vectors.npy"), *project.store.root.rglob("task_means.npy")]
        return [path.name for path in found if (np.load(path, allow_pickle=False) @ vector > 0.9999).any()]

    assert {"task_vectors.npy", "task_means.npy"} <= set(means())
    forgotten(project, lambda reader: by_task(reader, "lone"))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert means() == []
    assert verify(project.store, lambda _: None).damages == []
    assert run_all(project) == []


def test_a_collection_s_task_of_the_same_name_is_another(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Asked(Parrot):
        """Evaluates on a row of a collection, too."""

        def __call__(self, arguments: Sequence[str]) -> None:
            super().__call__(arguments)
            if arguments[1] == "smart_assets.evaluation":
                path = Path(json.loads(Path(arguments[2]).read_text(encoding="utf-8"))["out"]) / "rows.parquet"
                table = pq.read_table(path)
                row = {**table.to_pylist()[0], "id": "ab" * 16, "task": "beta", "benchmark": "unseen"}
                pq.write_table(pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)]), path)

    monkeypatch.setattr(secret_project, "Parrot", Asked)
    forgotten(project, lambda reader: by_task(reader, "beta"))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert "no artifact holds the forgotten rows any more" in capsys.readouterr().out


def test_a_partition_that_smart_yaml_names_no_longer_is_redacted_and_not_damaged(project: Project) -> None:
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    settings = project.root / "smart.yaml"
    shutil.copytree(project.root / "tasks", project.root / "others")
    (project.root / "others" / "all.jsonl").write_text(json.dumps({"t": "o", **rows(8, 1)[0]}), encoding="utf-8")
    (project.root / "others" / "more.jsonl").unlink()
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("small:", "other:").replace("path: tasks", "path: others"), encoding="utf-8")
    other = load_project(settings)
    forgotten(other, lambda reader: by_text(reader, SECRET))
    remove_forgotten(other.root, dry_run=False)
    assert files_with(secret["prompt"], other.store.root / "artifacts") == []
    assert verify(other.store, lambda _: None).damages == []
    settings.write_text(text, encoding="utf-8")
    named_again = load_project(settings)
    assert run_all(named_again)[0] == "raw_tasks[small]"
    assert secret["id"] not in {row["id"] for row in instances(named_again)}
    assert verify(named_again.store, lambda _: None).damages == []


def test_a_store_on_a_url_and_every_machine_s_mirror_of_it_lose_the_row(tmp_path: Path) -> None:
    import fsspec

    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}
    changes = {
        "sources": sources,
        "store": "memory://forget/p",
        "budgets": [20],
        "recipes": ["proportional"],
        "contamination": {"similarity": None},
    }
    here, there = (write_project(tmp_path / name, tasks(), changes) for name in ("here", "there"))
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")

    def make(project: Project) -> None:
        for name in ("raw_tasks[small]", "evaluation_overlap", "selected_subset[20|proportional]"):
            [key] = find_partitions(project, [name])
            manifest = materialize(project, key, run, with_pages).manifest
            project.store.artifact(manifest)

    make(here)
    make(there)
    forgotten(here, lambda reader: by_text(reader, SECRET))
    make(there)
    for project in (here, there):
        remove_forgotten(project.root, dry_run=False)
        assert files_with(SECRET, project.store.root) == []
        assert verify(project.store, lambda _: None).damages == []
    fsspec.filesystem("memory").get("/forget/p", str(tmp_path / "remote"), recursive=True)
    assert (tmp_path / "remote" / "manifests").exists()
    assert files_with(SECRET, tmp_path / "remote") == []
    old = here.store.history("raw_tasks", "small")[-1]
    shutil.rmtree(here.store.root / "artifacts")
    kept = pq.read_table(here.store.file(old, "instances.parquet"))
    assert kept["prompt"].to_pylist().count("") == 2, "what is kept of it is fetched again"


def test_what_nothing_names_goes_here_at_once_and_from_a_remote_after_a_day(tmp_path: Path) -> None:
    import fsspec

    store = Store(f"memory://unnamed/{tmp_path.name}", tmp_path)
    named, old, young = (write_and_commit(store, {"x": name}) for name in (b"named", b"old", b"young"))
    for name, file in fsspec.filesystem("memory").store.items():
        if old.version in name or named.version in name:
            file.created -= timedelta(days=2)
            file.modified -= timedelta(days=2)
    history = History((Materialization(manifest_of(named), newest=False, named=False),), ())
    found = list(_unnamed(store, history))
    assert {item.path.name for item in found if item.place is store.local} == {old.version, young.version}
    assert {item.path.name for item in found if item.place is store.remote} == {old.version}
