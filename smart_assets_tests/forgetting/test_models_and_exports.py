"""What holds forgotten rows or was trained on them: the plan, audits, documents and exports tell of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.cli.forget import remove_forgotten
from smart_assets.core.errors import SelectionError, SmartError
from smart_assets.documents.export import write_subset
from smart_assets.documents.subsets import current_subset, trained_subset
from smart_assets.forgetting import tombstone
from smart_assets.forgetting.exports import remember_export
from smart_assets.forgetting.find import by_ids, by_text
from smart_assets.forgetting.removal import find_removal
from smart_assets.lineage.audit.rows import audit_row
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.lineage.model_audit.page import render_audit
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.graph import batches, desired_states, partitions, read_current_state
from smart_assets.planning.materialize import materialize
from smart_assets.planning.plan import make_plan
from smart_assets.planning.retraining import decide
from smart_assets.reproduce.reproduction import Extent, reproduce
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.secret_project import (
    BECAUSE,
    PARTITION,
    SECRET,
    Parrot,
    forgotten,
    run_all,
    subset_ids,
)


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def test_the_plan_names_what_holds_a_row_and_the_audit_of_the_old_model_tells_of_it(
    project: Project, tmp_path: Path
) -> None:
    id_ = subset_ids(project)[0]
    before = project.store.current("finetuned_checkpoint", PARTITION)
    assert before is not None
    done = forgotten(project, lambda reader: by_ids(reader, [id_[:10]]))
    assert {share.holder.asset for share in done.held_by} >= {"selected_subset", "finetuned_checkpoint"}
    steps = whole_plan(project)
    raw = steps["raw_tasks[small]"]
    assert raw.status == "stale"
    assert f"'1 row on {done.record.at:%Y-%m-%d} ({done.record.key})' is new" in raw.reasons[0]
    assert any("1 removed row" in reason for reason in raw.reasons)
    assert steps[f"selected_subset[{PARTITION}]"].reasons == ("holds 1 forgotten row",)
    assert steps[f"finetuned_checkpoint[{PARTITION}]"].reasons == ("was trained on 1 forgotten row",)

    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    audit = audit_model(project, [before.content_version], None, lambda _: None)
    assert [(row.id, row.reason, row.removed) for row in audit.forgotten] == [(id_, BECAUSE, True)]
    assert audit.problems == ()
    assert {link.asset for link in audit.chain if link.verdict == "redacted"} >= {"raw_tasks", "prompt_embeddings"}
    page = render_audit(audit)
    assert "she asked for it &lt;b&gt;" in page
    assert "stay so until the model is trained again" in page
    subset = project.store.history("selected_subset", PARTITION)[-1]
    with pytest.raises(SmartError, match="cannot be derived again: 1 of its rows are forgotten"):
        reproduce(project, subset, tmp_path / "again", Extent(), RunContext(lambda _: None, Parrot(), "cpu"))
    now = project.store.current("selected_subset", PARTITION)
    assert now is not None
    again = Extent(from_raw=True)
    assert reproduce(project, now, tmp_path / "raw", again, RunContext(lambda _: None, Parrot(), "cpu")).holds
    newest = audit_model(project, ["20", "smart"], None, lambda _: None)
    assert newest.forgotten == ()
    assert id_ not in newest.rows["id"].to_pylist()

    told = audit_row(project, id_, 0.95).row
    assert told.forgotten == f"on {done.record.at:%Y-%m-%d} because {BECAUSE}"
    assert {held.holder.current for held in told.held_by} == {False}
    query = "SELECT id, reason, undone, removed FROM forgotten"
    assert connect(project, print).execute(query).fetchall() == [(id_, BECAUSE, False, True)]


def test_nothing_is_trained_on_forgotten_rows(project: Project) -> None:
    forgotten(project, lambda reader: by_ids(reader, [subset_ids(project)[0]]))
    settings = project.root / "smart.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("tiny", "other"), encoding="utf-8")
    changed = load_project(settings)
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    with pytest.raises(SelectionError, match="holds 1 rows that are to be forgotten"):
        materialize(changed, AssetPartition("finetuned_checkpoint", PARTITION), run)


def test_one_forgotten_row_is_reason_enough_to_train_again(project: Project) -> None:
    settings = project.root / "smart.yaml"
    text = settings.read_text(encoding="utf-8") + "automation: {minimum_change: 0.9}\n"
    settings.write_text(text, encoding="utf-8")
    changed = load_project(settings)
    forgotten(changed, lambda reader: by_ids(reader, [subset_ids(changed)[0]]))
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    for batch in batches(changed):
        for key in batch:
            if key.asset not in ("finetuned_checkpoint", "eval_results", "base_model_results", "mixture_report"):
                materialize(changed, key, run)
    names = ("finetuned_checkpoint", "eval_results", "base_model_results")
    only = frozenset(key for name in names for key in partitions(changed, name))
    current_state = read_current_state(changed)
    steps = {step.key: step for step in make_plan(desired_states(changed), current_state, only)}
    due = {str(one.steps[0].key): one.reason for one in decide(changed, steps, current_state).due}
    assert due[f"finetuned_checkpoint[{PARTITION}]"] == "it was trained on 1 forgotten row"


def test_documents_and_exports_of_an_old_model_are_without_the_row(project: Project) -> None:
    ids = subset_ids(project)
    checkpoint = project.store.current("finetuned_checkpoint", PARTITION)
    assert checkpoint is not None
    forgotten(project, lambda reader: by_ids(reader, ids[:1]))
    subset = trained_subset(project, checkpoint, None)
    assert subset.rows["id"].to_pylist() == ids[1:]
    assert subset.forgotten == 1


def test_exports_that_hold_a_row_are_removed_unless_somebody_changed_them(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids, subset = subset_ids(project), current_subset(project, PARTITION, None)
    for name in ("as-written.jsonl", "folder", "changed.jsonl"):
        write_subset(subset, tmp_path / name)
        remember_export(project.store, tmp_path / name, subset.manifest.content_version)
    (tmp_path / "changed.jsonl").open("a", encoding="utf-8").write("{}\n")
    forgotten(project, lambda reader: by_ids(reader, ids[:1]))
    run_all(project)
    after = current_subset(project, PARTITION, None)
    write_subset(after, tmp_path / "after.jsonl")
    remember_export(project.store, tmp_path / "after.jsonl", after.manifest.content_version)
    remove_forgotten(project.root, dry_run=False)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["after.jsonl", "changed.jsonl", "project"]
    assert "changed since: look at it yourself" in capsys.readouterr().out


def test_an_export_between_the_tombstone_and_the_run_is_found(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstone, "now", lambda: datetime.now(UTC) - timedelta(minutes=1))
    forgotten(project, lambda reader: by_text(reader, SECRET))
    (tmp_path / "all.duckdb").write_text(SECRET, encoding="utf-8")
    remember_export(project.store, tmp_path / "all.duckdb", None)
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert not (tmp_path / "all.duckdb").exists()


def test_an_export_that_a_later_one_replaced_counts_no_more(project: Project, tmp_path: Path) -> None:
    def export() -> None:
        subset = current_subset(project, PARTITION, None)
        write_subset(subset, tmp_path / "nightly.jsonl")
        remember_export(project.store, tmp_path / "nightly.jsonl", subset.manifest.content_version)

    export()
    forgotten(project, lambda reader: by_ids(reader, subset_ids(project)[:1]))
    run_all(project)
    assert len(find_removal(project).exports) == 1
    export()
    assert find_removal(project).exports == ()
    assert (tmp_path / "nightly.jsonl").exists()
