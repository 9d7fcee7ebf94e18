"""What Dagster shows of every asset: hostile names stay text, texts of rows stay inside, checkpoints explain all."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from markdown_it import MarkdownIt

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import SmartError
from smart_assets.defs.checks import SENTENCE
from smart_assets.defs.metadata import metadata_of
from smart_assets.defs.requests import REASON_TAG, request_run
from smart_assets.defs.tables import TABLE_ROWS
from smart_assets.documents.audit_pages import AUDIT
from smart_assets.lineage.model_audit.gather import audit_model
from smart_assets.planning.graph import partitions
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.planning.plan import PlanStep
from smart_assets.settings import Project, load_project
from smart_assets.store.hashing import file_sha256
from smart_assets_tests.support.dagster_runs import run_check, tamper_table
from smart_assets_tests.support.make import make, run_context
from smart_assets_tests.support.projects import rows, write_project

SECRET = "text-of-a-row"
PAYLOADS = {
    "html": "<img src=x onerror=alert(1)>",
    "script": "</script><script>alert(1)</script>",
    "image": "![pixel](http://evil.example/p.png)",
    "link": "[click](javascript:alert(1))",
    "reference": "[a][b] [b]: http://evil.example",
    "autolink": "<http://evil.example> www.evil.example",
    "emphasis": "**bold** __strong__ `code` ~~gone~~",
    "cells": "| a | b |",
    "entity": "&lt;b&gt; &#60;",
    "sql": "'; DROP TABLE subsets; --",
    "path": "../../etc/passwd",
    "direction": "a\u202egnp.exe",
}
KEY = AssetPartition("finetuned_checkpoint", "10|smart")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Every asset of a project whose tasks, templates and files are called by payloads."""
    tasks = [
        {"t": payload, **row, "prompt": f"{SECRET} {row['prompt']}", "template": payload}
        for number, payload in enumerate(PAYLOADS.values())
        for row in rows(number, 6)
    ]
    refused = [{"t": "refused", "prompt": f"{SECRET} without a response"}]
    settings: dict[str, Any] = {
        "sources": {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}, "license": "[x](http://l)"}},
        "budgets": [10],
        "finetune": {"base_model": "tiny", "seeds": [0, 1]},
        "validation": {"fraction": 0.2},
    }
    root = tmp_path_factory.mktemp("hostile")
    project = write_project(root, {"![f](x) <b>\x1b[31m": tasks, "refused": refused}, settings)
    make(project, run=run_context(run_id="run-1"))
    return project


def current(project: Project, key: AssetPartition) -> MaterializeResult:
    manifest = project.store.current(key.asset, key.partition)
    assert manifest is not None
    return MaterializeResult(manifest, unchanged=False)


def markdown_of(metadata: dict[str, Any]) -> Iterator[str]:
    yield from (value.md_str for value in metadata.values() if isinstance(value, dg.MarkdownMetadataValue))


def obeyed(text: str) -> list[str]:
    """What a reader of Markdown would take as more than text: tags, links, emphasis, images but those in the text."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inline = [child for token in tokens for child in token.children or []]
    harmless = {"text", "softbreak", "text_special", "paragraph_open", "paragraph_close", "inline"}
    lists = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}
    own = [token for token in inline if token.type == "image" and str(token.attrs["src"]).startswith("data:image/png")]
    return [token.type for token in [*tokens, *inline] if token.type not in harmless | lists and token not in own]


@pytest.mark.parametrize("asset", catalog.names())
def test_no_markdown_obeys_a_name_and_no_text_of_a_row_is_told(project: Project, asset: str) -> None:
    for key in partitions(project, asset):
        outcome = current(project, key)
        shown = metadata_of(project, outcome)
        for text in markdown_of(shown):
            assert obeyed(text) == []
        normal = dg.AssetMaterialization(asset, metadata=shown).metadata  # as Dagster stores it
        assert SECRET not in str(normal)
        for value in normal.values():
            if isinstance(value, dg.TableMetadataValue):
                assert len(value.records) <= TABLE_ROWS


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_the_findings_of_a_report_show_a_name_as_it_is(project: Project, payload: str) -> None:
    """Benchmarks and recipes come from settings; a name in a recorded sentence is escaped all the same."""
    outcome = current(project, AssetPartition("mixture_report"))
    recorded = json.loads(json.dumps(outcome.manifest.summary["comparisons"]))
    assert recorded
    for found in recorded:
        found["title"] = payload
        found["sentences"] = [f"{payload} is better than {payload}", payload * 40]
    summary = {**outcome.manifest.summary, "comparisons": recorded}
    shown = metadata_of(
        project, MaterializeResult(outcome.manifest.model_copy(update={"summary": summary}), unchanged=False)
    )
    findings = shown["findings"].md_str
    assert obeyed(findings) == []
    plain = "".join(
        child.content
        for token in MarkdownIt("commonmark").parse(findings)
        for child in token.children or []
        if child.type == "text"
    )
    assert "is better than" in plain
    assert payload.replace("\u202e", "") in plain


def test_a_check_names_tasks_as_text(project: Project, tmp_path: Path) -> None:
    """The UI takes the description of a check for Markdown: an image in it would be fetched."""
    shutil.copytree(project.root, tmp_path / "copy")
    copy = load_project(tmp_path / "copy")

    def spoil(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index("gain"), "gain", pc.add(table["gain"], 1.0))

    tamper_table(copy.store, "instance_orderings", "small", "orderings.parquet", spoil)
    found = run_check(copy, "orderings_reproduce", "instance_orderings", "small")
    assert not found.passed
    assert found.description is not None
    assert obeyed(found.description) == []
    told = str(found.metadata[SENTENCE].value)
    named = [payload for payload in PAYLOADS.values() if payload in told]
    assert len(named) == 3
    assert "gains differ" in told


def test_no_browser_opens_a_file_from_the_ui_so_paths_are_given(project: Project) -> None:
    for asset, name in [(AssetPartition("mixture_report"), "page"), (KEY, "audit page, seed 1")]:
        value = metadata_of(project, current(project, asset))[name]
        assert isinstance(value, dg.PathMetadataValue)
        assert Path(value.path).read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_a_checkpoint_tells_what_it_was_trained_on(project: Project) -> None:
    outcome = current(project, KEY)
    shown = metadata_of(project, outcome)
    audit = audit_model(project, ["10", "smart"], 0, lambda _: None)
    assert shown["base model"] == "tiny"
    assert shown["base model, revision"] == "ab" * 32
    assert shown["base model, weights (sha256)"] == "cd" * 32
    assert shown["recipe"].data == audit.selection["recipe"]
    assert shown["parameters of the fine-tuning"].data["learning_rate"] > 0
    assert [dict(row.data) for row in shown["sources"].records] == [
        {"source": "small", "revision": "", "licence": "[x](http://l)", "files": 2, "rejected rows": 1}
    ]
    files = {row.data["file"]: row.data["sha256"] for row in shown["files of the sources"].records}
    assert files == {
        path.name.replace("\x1b", "\\x1b"): file_sha256(path) for path in (project.root / "tasks").iterdir()
    }
    tasks = [dict(row.data) for row in shown["tasks and weights, seed 0"].records]
    assert [(row["task"], row["rows"], row["weight"]) for row in tasks] == [
        (one.task, one.rows, one.weight) for one in audit.tasks
    ]
    assert sum(row["rows"] for row in tasks) == 10
    assert shown["rejected rows"] == 1
    chain = [(row.data["asset"], row.data["content version"]) for row in shown["chain"].records]
    assert chain == [(link.asset, link.content_version) for link in audit.chain]
    assert shown["made by run"].run_id == "run-1"
    assert "not as recorded" not in shown
    link = urlsplit(shown["subset"].url)
    assert link.path == "/assets/selected_subset"
    assert "|" not in link.query
    assert parse_qs(link.query) == {"view": ["events"], "partition": ["10|smart"]}


def test_the_page_lies_beside_the_checkpoint_and_says_how_its_hashes_were_taken(project: Project) -> None:
    manifest = current(project, KEY).manifest
    assert not any("html" in file.path for file in manifest.files)
    attached = manifest.attachments[AUDIT]
    assert [file.path for file in attached.files] == ["seed-0.html", "seed-1.html"]
    page = (project.store.folder(attached) / "seed-0.html").read_text(encoding="utf-8")
    assert "None was taken again for this page" in page
    assert "smart audit model 10 smart --seed 0" in page
    assert ">right<" not in page
    assert SECRET not in page
    assert "<img" not in page


def test_without_a_page_or_a_subset_the_rest_is_told(project: Project) -> None:
    manifest = current(project, KEY).manifest
    attachments = {name: one for name, one in manifest.attachments.items() if name != AUDIT}
    inputs = {name: version for name, version in manifest.inputs.items() if "selected_subset" not in name}
    poor = manifest.model_copy(update={"attachments": attachments, "inputs": inputs})
    shown = metadata_of(project, MaterializeResult(poor, unchanged=True))
    assert "has no manifest in the store any more" in shown["audit"]
    assert "`smart audit model 10 smart --seed 0 --out audit.html` writes one" in shown["audit page"]
    assert shown["content version"] == manifest.content_version


def test_errors_and_reasons_hold_nothing_that_a_terminal_obeys() -> None:
    assert str(SmartError("file a\x1b[31m\u202e.jsonl\nnext")) == "file a\ufffd[31m\ufffd.jsonl\nnext"
    step = PlanStep(KEY, "stale", ("because",), "state", ())
    with dg.DagsterInstance.ephemeral() as instance:
        asked = request_run(instance, [step], "task `\x9b31m\u202e` is new\nand red", attempts=1)
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[REASON_TAG] == "task `\ufffd31m\ufffd` is new\\nand red"
