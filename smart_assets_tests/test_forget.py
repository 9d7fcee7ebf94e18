"""Forgetting rows: looked for in every file of the store, after the next run and after the past is redacted."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.cli.audit_model import show_model
from smart_assets.cli.forget import forget_rows, list_forgotten, remove_forgotten, undo_forgetting
from smart_assets.errors import SelectionError, SmartError
from smart_assets.lineage.audit.past import Past
from smart_assets.lineage.audit.rows import audit_row
from smart_assets.lineage.export import write_subset
from smart_assets.lineage.forget import decide as deciding
from smart_assets.lineage.forget import redact as redacting
from smart_assets.lineage.forget.decide import Forgetting, forget, undo
from smart_assets.lineage.forget.exports import remember_export
from smart_assets.lineage.forget.find import Meant, by_ids, by_task, by_text
from smart_assets.lineage.forget.removal import carry_out, find_removal
from smart_assets.lineage.gc import find_garbage, remove_garbage
from smart_assets.lineage.graph import batches, find_partitions, partitions, wanted_state, what_is_present
from smart_assets.lineage.materialize import materialize
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.lineage.model_audit.page import render_audit
from smart_assets.lineage.plan import PlanStep, make_plan
from smart_assets.lineage.reproduce.reproduction import Extent, reproduce
from smart_assets.lineage.retraining import decide
from smart_assets.lineage.sql import connect
from smart_assets.lineage.standards.subsets import current_subset, trained_subset
from smart_assets.lineage.verify import verify
from smart_assets.pipeline import raw_tasks
from smart_assets.pipeline.step import AssetPartition, RunContext
from smart_assets.pipeline.tombstones import Tombstones
from smart_assets.settings import Project, load_project
from smart_assets.store import Store
from smart_assets.store.settings import Retention
from smart_assets_tests.programs import Programs
from smart_assets_tests.projects import rows, write_project, write_tasks
from smart_assets_tests.store_ages import grow_older

SECRET = "call Ann on 555-0199"
BECAUSE = "she asked for it <b>"
PARTITION = "20|smart"


class Parrot(Programs):
    """Evaluates a model that answers every held-out row with its response."""

    def __call__(self, arguments: Sequence[str]) -> None:
        super().__call__(arguments)
        if arguments[1] == "smart_assets.evaluation":
            job = json.loads(Path(arguments[2]).read_text(encoding="utf-8"))
            answers = {row["id"]: row["response"] for row in pq.read_table(job["rows"]).to_pylist()}
            path = Path(job["out"]) / "rows.parquet"
            table = pq.read_table(path)
            told = pa.array([answers[id_] for id_ in table["id"].to_pylist()], pa.string())
            at = table.column_names.index("prediction")
            pq.write_table(table.set_column(at, "prediction", told), path)


def tasks() -> dict[str, list[dict[str, Any]]]:
    alpha = [{"t": "alpha", **row} for row in rows(1, 24, templates=2)]
    alpha[3]["prompt"] += f" {SECRET}"
    alpha[7]["response"] = SECRET.upper()
    beta = [{"t": "beta", **row} for row in rows(2, 14)]
    gamma = [{"t": "gamma", **row} for row in rows(3, 9)]
    bad = [{"t": "beta", "prompt": f"{SECRET}?", "response": ""}]
    return {"all": alpha + beta + bad, "more": [*gamma, {**alpha[3], "template": "of the twin"}]}


def run_all(project: Project, report: bool = False) -> list[str]:
    """Make everything, with or without the report and its pictures; gives what was not current."""
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu", run_id="run-1")
    keys = [key for batch in batches(project) for key in batch if report or key.asset != "mixture_report"]
    outcomes = {str(key): materialize(project, key, run) for key in keys}
    return [name for name, outcome in outcomes.items() if not outcome.unchanged]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}
    changes = {"sources": sources, "budgets": [20], "finetune": {"base_model": "tiny"}}
    project = write_project(tmp_path_factory.mktemp("forget"), tasks(), changes)
    run_all(project)
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    shutil.copytree(template.root, tmp_path / "project")
    return load_project(tmp_path / "project" / "smart.yaml")


def instances(project: Project) -> list[dict[str, Any]]:
    manifest = project.store.current("raw_tasks", "small")
    assert manifest is not None
    return pq.read_table(project.store.artifact(manifest) / "instances.parquet").to_pylist()


def subset_ids(project: Project) -> list[str]:
    manifest = project.store.current("selected_subset", PARTITION)
    assert manifest is not None
    return pq.read_table(project.store.artifact(manifest) / "subset.parquet")["id"].to_pylist()


def forgotten(project: Project, find: Callable[[Past], Meant], dry_run: bool = False) -> Forgetting:
    past = Past(project)
    return forget(project, past, find(past), BECAUSE, dry_run)


def plan(project: Project) -> dict[str, PlanStep]:
    wanted = wanted_state(project)
    steps = make_plan(wanted, what_is_present(project), frozenset(item.key for item in wanted))
    return {str(step.key): step for step in steps}


def texts_in(path: Path) -> Iterator[str]:
    """Everything in a file that could be read as text."""
    if path.suffix == ".parquet":
        for column in pq.read_table(path).columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield from (value for value in column.to_pylist() if value is not None)
    yield path.read_bytes().decode("utf-8", "ignore")


def files_with(text: str, folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(text.lower() in found.lower() for found in texts_in(path))
    ]


def vectors_like(vector: np.ndarray, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("vectors.npy") if (np.load(path, allow_pickle=False) @ vector > 0.9999).any()]


def vector_of(project: Project, id_: str) -> np.ndarray:
    manifest = project.store.current("prompt_embeddings", "small")
    assert manifest is not None
    folder = project.store.artifact(manifest)
    place = pq.read_table(folder / "rows.parquet")["id"].to_pylist().index(id_)
    return np.load(folder / "vectors.npy", allow_pickle=False)[place]


def current_folders(project: Project) -> list[Path]:
    found: list[Path] = []
    for step in plan(project).values():
        manifest = project.store.current(step.key.asset, step.key.partition)
        assert manifest is not None
        found += [project.store.folder(one) for one in manifest.artifacts]
    return found


def test_a_forgotten_text_leaves_what_is_current_and_then_the_past(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(project, report=True)
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    vector, store = vector_of(project, secret["id"]), project.store
    assert len(files_with(SECRET, store.root)) >= 3, "rows, refused rows, a report"
    done = forgotten(project, lambda past: by_text(past, SECRET))
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


def test_the_plan_names_what_holds_a_row_and_the_audit_of_the_old_model_tells_of_it(
    project: Project, tmp_path: Path
) -> None:
    id_ = subset_ids(project)[0]
    before = project.store.current("finetuned_checkpoint", PARTITION)
    assert before is not None
    done = forgotten(project, lambda past: by_ids(past, [id_[:10]]))
    assert {share.holder.asset for share in done.held_by} >= {"selected_subset", "finetuned_checkpoint"}
    steps = plan(project)
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


def test_a_held_out_row_leaves_the_predictions(project: Project) -> None:
    row = next(row for row in instances(project) if row["split"] == "validation")
    answer = row["response"]
    holders = {"eval_results", "base_model_results"}
    assert holders <= {path.split("/")[1] for path in files_with(answer, project.store.root)}
    forgotten(project, lambda past: by_ids(past, [row["id"]]))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(answer, project.store.root) == []
    past = project.store.history("eval_results", PARTITION)[-1]
    kept = pq.read_table(project.store.artifact(past) / "seed-0" / "rows.parquet")
    assert kept.filter(pa.compute.equal(kept["id"], row["id"]))["prediction"].to_pylist() == [None]
    assert kept["prediction"].null_count == 1, "the other rows' predictions stay"


def test_undoing_brings_everything_back_to_the_byte(project: Project) -> None:
    versions = {key: project.store.current(step.key.asset, step.key.partition) for key, step in plan(project).items()}
    done = forgotten(project, lambda past: by_text(past, SECRET))
    run_all(project)
    undo(project, done.record.key[:6])
    assert any("undone" in reason for reason in plan(project)["raw_tasks[small]"].reasons)
    run_all(project)
    steps = {name: step for name, step in plan(project).items() if name != "mixture_report"}
    assert {step.status for step in steps.values()} == {"current"}
    for name, step in steps.items():
        after, was = project.store.current(step.key.asset, step.key.partition), versions[name]
        assert after is not None
        assert was is not None
        assert after.content_version == was.content_version, name
        assert after.attachments.get("origins") == was.attachments.get("origins"), name


def test_undoing_before_a_run_leaves_nothing_but_a_look(project: Project) -> None:
    done = forgotten(project, lambda past: by_text(past, SECRET))
    undo(project, done.record.key)
    assert run_all(project)[0] == "raw_tasks[small]"
    assert len([row for row in instances(project) if SECRET.lower() in (row["prompt"] + row["response"]).lower()]) == 2


def test_what_is_reused_is_to_the_byte_what_reading_everything_gives(project: Project, tmp_path: Path) -> None:
    forgotten(project, lambda past: by_text(past, SECRET))
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


def test_a_forgotten_task_stays_out_when_new_rows_of_it_come(project: Project) -> None:
    done = forgotten(project, lambda past: by_task(past, "beta"))
    assert len(done.record.ids) == 14
    run_all(project)
    changed = tasks()
    changed["all"] += [{"t": "beta", **row} for row in rows(5, 3)]
    write_tasks(project.root / "tasks", changed)
    run_all(project)
    assert {row["task"] for row in instances(project)} == {"alpha", "gamma"}
    excerpts = connect(project, print).execute("SELECT DISTINCT excerpt FROM rejected WHERE task = 'beta'").fetchall()
    assert excerpts == [(None,)], "its refused row is forgotten too"
    remove_forgotten(project.root, dry_run=False)
    beta = next(row for row in tasks()["all"] if row["t"] == "beta")
    assert files_with(beta["prompt"], project.store.root) == []
    assert verify(project.store, lambda _: None).damages == []


def test_a_source_of_forgotten_rows_alone_cannot_be_made_and_says_what_to_do(project: Project) -> None:
    for task in ("alpha", "beta", "gamma"):
        forgotten(project, lambda past, task=task: by_task(past, task))
    with pytest.raises(SmartError, match=r"Take the source out of smart\.yaml"):
        run_all(project)


def test_nothing_is_trained_on_forgotten_rows(project: Project) -> None:
    forgotten(project, lambda past: by_ids(past, [subset_ids(project)[0]]))
    settings = project.root / "smart.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("tiny", "other"), encoding="utf-8")
    changed = load_project(settings)
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    with pytest.raises(SelectionError, match="holds 1 rows that are to be forgotten"):
        materialize(changed, AssetPartition("finetuned_checkpoint", PARTITION), run)


def test_documents_and_exports_of_an_old_model_are_without_the_row(project: Project) -> None:
    ids = subset_ids(project)
    checkpoint = project.store.current("finetuned_checkpoint", PARTITION)
    assert checkpoint is not None
    forgotten(project, lambda past: by_ids(past, ids[:1]))
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
    forgotten(project, lambda past: by_ids(past, ids[:1]))
    run_all(project)
    after = current_subset(project, PARTITION, None)
    write_subset(after, tmp_path / "after.jsonl")
    remember_export(project.store, tmp_path / "after.jsonl", after.manifest.content_version)
    remove_forgotten(project.root, dry_run=False)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["after.jsonl", "changed.jsonl", "project"]
    assert "changed since: look at it yourself" in capsys.readouterr().out


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


def test_one_forgotten_row_is_reason_enough_to_train_again(project: Project) -> None:
    settings = project.root / "smart.yaml"
    text = settings.read_text(encoding="utf-8") + "automation: {minimum_change: 0.9}\n"
    settings.write_text(text, encoding="utf-8")
    changed = load_project(settings)
    forgotten(changed, lambda past: by_ids(past, [subset_ids(changed)[0]]))
    run = RunContext(log=lambda _: None, launch=Parrot(), device="cpu")
    for batch in batches(changed):
        for key in batch:
            if key.asset not in ("finetuned_checkpoint", "eval_results", "base_model_results", "mixture_report"):
                materialize(changed, key, run)
    names = ("finetuned_checkpoint", "eval_results", "base_model_results")
    only = frozenset(key for name in names for key in partitions(changed, name))
    present = what_is_present(changed)
    steps = {step.key: step for step in make_plan(wanted_state(changed), present, only)}
    due = {str(one.steps[0].key): one.reason for one in decide(changed, steps, present).due}
    assert due[f"finetuned_checkpoint[{PARTITION}]"] == "it was trained on 1 forgotten row"


BAD: dict[str, tuple[Callable[[Past], Meant], str]] = {
    "no id": (lambda past: by_ids(past, ["xyz"]), "is no row's id"),
    "unknown id": (lambda past: by_ids(past, ["ab" * 16]), "has the id"),
    "unknown task": (lambda past: by_task(past, "alhpa"), "names like it: 'alpha'"),
    "short text": (lambda past: by_text(past, " a "), "give 4 characters or more"),
    "text of nobody": (lambda past: by_text(past, "%_ nobody said this"), "stands in no row"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_means_no_row_is_refused(template: Project, kind: str) -> None:
    find, told = BAD[kind]
    with pytest.raises(SmartError, match=told):
        find(Past(template))


def test_the_command_says_what_it_did(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SmartError, match="in one way"):
        forget_rows(project.root, ([], "alpha", "text"), "x", False, False)
    with pytest.raises(SmartError, match="say why"):
        forget_rows(project.root, ([], None, SECRET), " ", False, False)
    with pytest.raises(SmartError, match="nothing is forgotten"):
        remove_forgotten(project.root, dry_run=False)
    forget_rows(project.root, ([], None, SECRET), BECAUSE, True, False)
    assert "3 rows: would be forgotten" in capsys.readouterr().out
    assert not list((project.store.root / "forgotten").glob("*.json"))
    forget_rows(project.root, ([], None, SECRET), BECAUSE, False, True)
    told = json.loads(capsys.readouterr().out)
    assert len(told["record"]["ids"]) == 3
    assert SECRET not in json.dumps(told)
    with pytest.raises(SmartError, match="forgotten already"):
        forget_rows(project.root, ([], None, SECRET), BECAUSE, False, False)
    remove_forgotten(project.root, dry_run=False)
    out = capsys.readouterr().out
    assert "`smart run` makes them without the forgotten rows" in out
    assert "no artifact holds" not in out, "what is current still holds them"
    undo_forgetting(project.root, told["key"])
    list_forgotten(project.root, False)
    assert "undone" in capsys.readouterr().out


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
            manifest = materialize(project, key, run).manifest
            project.store.artifact(manifest)

    make(here)
    make(there)
    forgotten(here, lambda past: by_text(past, SECRET))
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


def test_a_partition_that_smart_yaml_names_no_longer_is_redacted_and_not_damaged(project: Project) -> None:
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    settings = project.root / "smart.yaml"
    shutil.copytree(project.root / "tasks", project.root / "others")
    (project.root / "others" / "all.jsonl").write_text(json.dumps({"t": "o", **rows(8, 1)[0]}), encoding="utf-8")
    (project.root / "others" / "more.jsonl").unlink()
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("small:", "other:").replace("path: tasks", "path: others"), encoding="utf-8")
    other = load_project(settings)
    forgotten(other, lambda past: by_text(past, SECRET))
    remove_forgotten(other.root, dry_run=False)
    assert files_with(secret["prompt"], other.store.root / "artifacts") == []
    assert verify(other.store, lambda _: None).damages == []
    settings.write_text(text, encoding="utf-8")
    named_again = load_project(settings)
    assert run_all(named_again)[0] == "raw_tasks[small]"
    assert secret["id"] not in {row["id"] for row in instances(named_again)}
    assert verify(named_again.store, lambda _: None).damages == []


def test_the_excerpt_of_a_refused_row_leaves_past_reports(project: Project) -> None:
    changed = tasks()
    changed["all"].append({"t": "beta", "prompt": "whom nobody may name", "response": ""})
    write_tasks(project.root / "tasks", changed)
    run_all(project, report=True)
    text = "whom nobody may name"
    assert {"mixture_report", "raw_tasks.origins"} <= {
        path.split("/")[1] for path in files_with(text, project.store.root)
    }
    forgotten(project, lambda past: by_text(past, text))
    run_all(project, report=True)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(text, project.store.root) == []


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


def test_a_row_that_two_tombstones_name_stays_out_while_one_holds(project: Project) -> None:
    secret = next(row for row in instances(project) if SECRET in row["prompt"])
    licence = forgotten(project, lambda past: by_ids(past, [secret["id"]]))
    past = Past(project)
    erasure = forget(project, past, by_text(past, SECRET), "asked for erasure")
    assert secret["id"] in erasure.record.ids
    undo(project, licence.record.key)
    assert run_all(project)[0] == "raw_tasks[small]"
    assert secret["id"] not in {row["id"] for row in instances(project)}


def test_undoing_while_a_source_is_read_gives_no_row_another_text(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {row["id"]: row["prompt"] for row in instances(project)}
    done = forgotten(project, lambda past: by_text(past, SECRET))
    run_all(project)
    forgotten(project, lambda past: by_text(past, rows(3, 1)[0]["prompt"]))
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
    assert plan(project)["raw_tasks[small]"].status == "stale"


def test_an_export_between_the_tombstone_and_the_run_is_found(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "now", lambda: datetime.now(UTC) - timedelta(minutes=1))
    forgotten(project, lambda past: by_text(past, SECRET))
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
    forgotten(project, lambda past: by_ids(past, subset_ids(project)[:1]))
    run_all(project)
    assert len(find_removal(project).exports) == 1
    export()
    assert find_removal(project).exports == ()
    assert (tmp_path / "nightly.jsonl").exists()


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
    forgotten(project, lambda past: by_task(past, "lone"))
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

    monkeypatch.setitem(globals(), "Parrot", Asked)
    forgotten(project, lambda past: by_task(past, "beta"))
    run_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert "no artifact holds the forgotten rows any more" in capsys.readouterr().out


def test_a_reason_cannot_pass_for_other_lines(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "x\nnothing was ever forgotten\x1b[2K"
    forget_rows(project.root, (subset_ids(project)[:1], None, None), reason, False, False)
    told = capsys.readouterr().out
    show_model(project.root, ["20", "smart"], None, False, None)
    told += capsys.readouterr().out
    assert told.count("because x\\n") == 2
    assert "\nnothing was ever" not in told
    assert "\x1b" not in told


def test_a_row_that_comes_back_under_another_task_stays_out(project: Project) -> None:
    row = next(row for row in instances(project) if SECRET in row["prompt"])
    copied = tasks()
    copied["more"].append({"t": "gamma", **{name: row[name] for name in ("prompt", "response", "template")}})
    write_tasks(project.root / "tasks", copied)
    run_all(project)
    done = forgotten(project, lambda past: by_ids(past, [row["id"]]))
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
