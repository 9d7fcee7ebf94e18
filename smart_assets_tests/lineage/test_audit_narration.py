"""What audits tell: what is not there, collected or damaged; hostile text escaped, JSON whole, and nothing written."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smart_assets.cli.audit import show_row, show_source, show_task, show_text
from smart_assets.core.errors import SmartError
from smart_assets.lineage.audit.groups import audit_source, audit_task
from smart_assets.lineage.audit.rows import audit_row, audit_text
from smart_assets.promotion.log import promote
from smart_assets.settings import Project
from smart_assets_tests.support.make import current
from smart_assets_tests.support.promotions import commit, put
from smart_assets_tests.support.three_runs import (
    HOSTILE,
    HOSTILE_PROMPT,
    HOSTILE_ROW,
    TWIN,
    everything_held,
    first_tasks,
    id_of,
    manifests,
)

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def held(past_project: Project) -> list[dict[str, Any]]:
    return everything_held(past_project)


@pytest.mark.parametrize(
    ("ask", "name", "message"),
    [
        pytest.param(audit_row, "abc", "'abc' is no row's id: an id is 32 hex digits", id="short"),
        pytest.param(audit_row, "g" * 32, "is no row's id", id="not hex"),
        pytest.param(audit_row, "\x1b[31m", r"'\\x1b\[31m' is no row's id", id="hostile"),
        pytest.param(audit_row, "0" * 12, "has an id that begins with 0{12}; `smart audit text", id="prefix"),
        pytest.param(audit_row, "0" * 32, "has an id that begins with 0{32}", id="whole id"),
        pytest.param(audit_text, " \n", "the text is empty", id="text"),
    ],
)
def test_a_row_that_is_not_there_is_an_error(past_project: Project, ask: Any, name: str, message: str) -> None:
    with pytest.raises(SmartError, match=message):
        ask(past_project, name, 0.9)


@pytest.mark.parametrize(
    ("ask", "name", "message"),
    [
        pytest.param(
            audit_task, "plian", r"no task 'plian' is or was in the store \(names like it: 'plain'\)", id="near"
        ),
        pytest.param(audit_task, "'; --", r"no task \"'; --\" is or was in the store", id="hostile"),
        pytest.param(audit_source, "smal", r"no source 'smal' .* \(names like it: 'small'\)", id="source"),
    ],
)
def test_a_name_that_is_not_there_is_an_error_with_names_like_it(
    past_project: Project, ask: Any, name: str, message: str
) -> None:
    with pytest.raises(SmartError, match=message):
        ask(past_project, name)


def test_what_was_collected_is_told(
    own_past: Project, held: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(
        manifest
        for partition, _, manifest in manifests(own_past, "selected_subset")
        if partition == "20|smart" and manifest["made"]["run_id"] == "run-1"
    )
    weights = next(
        manifest
        for partition, _, manifest in manifests(own_past, "finetuned_checkpoint")
        if partition == "20|random" and manifest["made"]["run_id"] == "run-1"
    )
    row = next(one["id"] for one in held if one["holder"][3] == weights["content_version"])
    artifacts = own_past.store.root / "artifacts"
    shutil.rmtree(artifacts / "selected_subset" / first["content_version"])
    shutil.rmtree(artifacts / "finetuned_checkpoint" / weights["content_version"])
    found = audit_row(own_past, row, 1.0)
    states = {one.holder.content_version: one.holder.artifact for one in found.row.held_by}
    assert states[weights["content_version"]] == "collected"
    assert first["content_version"] not in states
    unknown = {(one.holder.asset, one.holder.seed): one.why for one in found.unknown}
    assert unknown == {
        ("selected_subset", None): "collected; its manifest remains",
        ("finetuned_checkpoint", 0): f"its subset {first['content_version'][:12]} is not there any more",
        ("finetuned_checkpoint", 1): f"its subset {first['content_version'][:12]} is not there any more",
    }
    show_row(own_past.config, row, 1.0, False)
    shown = capsys.readouterr().out
    assert "past, in smart.yaml no more, collected; its manifest remains" in shown
    assert "of 3 others it cannot be told whether they hold it" in shown
    shares = {(share.holder.asset, share.of) for share in audit_task(own_past, "plain").held_by if share.of is None}
    assert shares == {("finetuned_checkpoint", None)}, "the checkpoint's own record counts its tasks"
    with pytest.raises(SmartError, match="of 3 subsets and checkpoints it cannot be told any more"):
        audit_row(own_past, "0" * 32, 1.0)


def test_production_and_a_damaged_manifest_are_told(own_past: Project, capsys: pytest.CaptureFixture[str]) -> None:
    promote(own_past, 10, "smart", 1)
    folder = own_past.store.manifest_folder("selected_subset", "20|smart")
    own_past.store.manifests_in(folder)[0].write_text("{")
    audit = audit_task(own_past, "plain")
    assert [
        (one.holder.budget, one.holder.recipe, one.holder.seed) for one in audit.held_by if one.holder.production
    ] == [(10, "smart", 1)]
    assert audit.unreadable == 1
    show_task(own_past.config, "plain", False)
    shown = capsys.readouterr().out
    assert "current, production" in shown
    assert "1 manifests cannot be relied on" in shown


def test_a_dataset_is_named_with_revision_and_index(own_past: Project) -> None:
    earlier = current(own_past, "raw_tasks", "small")
    attachment = earlier.attachments["origins"]
    artifact = commit(own_past.store, "raw_tasks", {"instances.parquet": pq.read_table(
        own_past.store.artifact(earlier) / "instances.parquet").slice(0, 3)})  # fmt: skip
    source = {"kind": "huggingface", "path": "org/<name>"}
    put(own_past, artifact, "hub", parameters={"source": source, "validation": {}}, outside={"revision": "abc123"},
        attachments={"origins": attachment}, made={})  # fmt: skip
    row = pq.read_table(own_past.store.artifact_folder("raw_tasks", artifact.version) / "instances.parquet")["id"][0]
    origins = {one.source: one.origin for one in audit_row(own_past, row.as_py(), 1.0).row.standings}
    assert origins["hub"].dataset == "org/<name>"
    assert (origins["hub"].revision, origins["hub"].file) == ("abc123", None)
    assert isinstance(origins["hub"].index, int)


def test_hostile_names_and_texts_are_escaped_everywhere(
    past_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    def outputs(as_json: bool) -> Iterator[str]:
        for show, name in ((show_task, HOSTILE), (show_source, "small")):
            show(past_project.config, name, as_json)
            yield capsys.readouterr().out
        for ask, name in ((show_row, HOSTILE_ROW), (show_text, HOSTILE_PROMPT), (show_row, id_of(first_tasks()[30]))):
            ask(past_project.config, name, 0.2, as_json)
            yield capsys.readouterr().out

    for shown in outputs(as_json=False):
        assert not CONTROL.search(shown)
        assert not [
            line for line in shown.splitlines() if line.startswith(("row 0000", "\N{REPLACEMENT CHARACTER}[31m"))
        ]
    for shown in outputs(as_json=True):
        assert shown.isascii()
        assert not CONTROL.search(shown)
        assert not set("<>&") & set(shown)
        json.loads(shown)
    show_task(past_project.config, HOSTILE, True)
    assert json.loads(capsys.readouterr().out)["task"] == HOSTILE
    show_task(past_project.config, HOSTILE, False)
    assert HOSTILE in capsys.readouterr().out


def without_empty_kept(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Rows of a source that keeps no columns do not say so."""
    return {name: value for name, value in pairs if name != "kept" or value}


def test_json_holds_the_whole_audit(past_project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    show_row(past_project.config, TWIN, None, True)
    told = json.loads(capsys.readouterr().out)
    threshold = past_project.settings.index.near_duplicate
    whole = json.dumps(asdict(audit_row(past_project, TWIN, threshold)))
    assert told == json.loads(whole, object_pairs_hook=without_empty_kept)
    assert told["threshold"] == threshold
    assert "prompt" not in json.dumps(told), "ids, never texts of rows"


def test_an_audit_writes_nothing(own_past: Project) -> None:
    def listed() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in own_past.store.root.rglob("*") if "drafts" not in path.parts}

    before = listed()
    audit_row(own_past, TWIN, 0.9)
    audit_task(own_past, "plain")
    audit_source(own_past, "small")
    assert listed() == before
