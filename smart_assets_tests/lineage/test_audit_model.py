"""`smart audit model`: the whole making of a model, told truly also where somebody changed the store."""

import gzip
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.cli.audit import show_model
from smart_assets.core.errors import SmartError
from smart_assets.documents.audit_pages import AUDIT
from smart_assets.lineage.history import History, Materialization
from smart_assets.lineage.model_audit.chain import walk
from smart_assets.lineage.model_audit.gather import ModelAudit, audit_model
from smart_assets.lineage.model_audit.page import render_audit
from smart_assets.lineage.model_audit.rows import ROWS
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import SMALL_TASKS, own_copy, write_project, write_tasks

HOSTILE = "<img src=x onerror=alert(1)> \x1b[31m'; DROP TABLE rows; -- ../../etc"


def audit(project: Project, *names: str, seed: int | None = None) -> ModelAudit:
    return audit_model(project, names or ("10", "random"), seed, lambda line: None)


@pytest.fixture(scope="module")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audited")
    tasks = {**SMALL_TASKS, "delta": [{"prompt": HOSTILE, "response": "yes", "template": HOSTILE}]}
    sources = {"small": {"kind": "folder", "path": "tasks", "license": "MIT"}}
    finetune = {"base_model": "tiny", "seeds": [0, 1]}
    project = write_project(root, tasks, {"finetune": finetune, "sources": sources})
    with (root / "tasks" / "alpha.jsonl").open("a") as stream:
        stream.write('{"prompt": "no response"}\n')
    make(project, "finetuned_checkpoint[10|random]")
    return root


@pytest.fixture
def project(template_folder: Path, tmp_path: Path) -> Project:
    return own_copy(template_folder, tmp_path)


def test_every_row_is_named_with_the_line_it_was_read_from(project: Project) -> None:
    found = audit(project)
    assert (found.budget, found.recipe, found.seed, found.current) == (10, "random", 0, True)
    assert found.problems == ()
    assert found.rows.num_rows == 10
    for row in found.rows.to_pylist():
        line = (project.root / "tasks" / row["file"]).read_text().split("\n")[row["line"] - 1]
        told = json.loads(line)
        raw = project.store.current("raw_tasks", "small")
        assert raw is not None
        instances = pq.read_table(project.store.artifact(raw) / "instances.parquet").to_pylist()
        [instance] = [one for one in instances if one["id"] == row["id"]]
        assert (told["prompt"], told["response"]) == (instance["prompt"], instance["response"])
        assert row["trained"]
    assert sum(task.rows for task in found.tasks) == 10
    assert [(one.reason, one.rows, one.first) for one in found.rejected] == [
        ("response is missing", 1, ("alpha.jsonl:41",))
    ]
    assert found.licences == {"small": "MIT"}
    assert {file.state for file in found.raw} == {"as read"}
    assets = {link.asset for link in found.chain}
    compared = {"evaluation_overlap", "prompt_embeddings"}  # random rows need no vectors, those left out do
    assert assets == {"finetuned_checkpoint", "selected_subset", "raw_tasks", *compared}
    assert found.chain[0].asset == "finetuned_checkpoint"


def test_seeds_have_their_own_rows(project: Project) -> None:
    first, second = audit(project, seed=0), audit(project, seed=1)
    assert first.rows["id"].to_pylist() != second.rows["id"].to_pylist()
    with pytest.raises(SmartError, match="has no seed 7; it has 0, 1"):
        audit(project, seed=7)
    with pytest.raises(SmartError, match="has the weights of seed 0, not of seed 1: leave --seed out"):
        audit(project, first.path, seed=1)


def test_a_folder_and_a_version_name_it_too(project: Project) -> None:
    found = audit(project, "10", "random", seed=1)
    assert audit(project, found.path).seed == 1
    assert audit(project, found.content_version[:12]).content_version == found.content_version
    for names, message in [
        (("10", "smart"), r"no checkpoint of 10 smart was ever made; there are 10\|random"),
        (("00000000",), "no checkpoint begins with '00000000'; there are"),
        (("/etc",), "neither a content version nor a folder under"),
        (("a", "b", "c"), "name a budget and a recipe"),
    ]:
        with pytest.raises(SmartError, match=message):
            audit(project, *names)


def test_models_of_the_past_keep_their_audit(project: Project) -> None:
    before = audit(project)
    (project.root / "tasks" / "gamma.jsonl").unlink()
    make(project, "finetuned_checkpoint[10|random]")
    assert audit(project).content_version != before.content_version
    past = audit(project, before.content_version)
    assert not past.current
    assert past.rows.equals(before.rows)
    assert {file.path: file.state for file in past.raw}["gamma.jsonl"] == "not there any more"


def edited(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def drop_a_row(project: Project) -> Path:
    path = project.store.artifact(current(project, "selected_subset", "10|random")) / "subset.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    return path


def edit_a_response(project: Project) -> Path:
    path = project.store.artifact(current(project, "raw_tasks", "small")) / "instances.parquet"
    table = pq.read_table(path)
    other = pa.array(["other", *table["response"].to_pylist()[1:]], pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("response"), "response", other), path)
    return path


def edit_in_place(project: Project) -> Path:
    """A byte of a Parquet file, its size as it was."""
    path = project.store.artifact(current(project, "raw_tasks", "small")) / "instances.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    return path


def edit_origins(project: Project) -> Path:
    raw = current(project, "raw_tasks", "small")
    path = project.store.folder(raw.attachments["origins"]) / "origins.parquet"
    table = pq.read_table(path)
    lines = pa.array([line + 1 for line in table["line"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(2, "line", lines), path)
    return path


def edit_the_page(project: Project) -> Path:
    folder = project.store.folder(current(project, "finetuned_checkpoint", "10|random").attachments[AUDIT])
    edited(folder / "seed-0.html", (folder / "seed-0.html").read_text().replace("MIT", "GPL"))
    return folder / "seed-0.html"


def replace_weights(project: Project) -> Path:
    path = (
        project.store.artifact(current(project, "finetuned_checkpoint", "10|random")) / "seed-0" / "model" / "weights"
    )
    edited(path, path.read_text()[::-1])
    return path


def manifest_file(project: Project, asset: str, partition: str) -> Path:
    [path] = project.store.manifest_folder(asset, partition).glob("*.json")
    return path


def swap_manifest(project: Project) -> Path:
    path = manifest_file(project, "selected_subset", "10|random")
    edited(path, manifest_file(project, "raw_tasks", "small").read_text())
    return path


def swap_the_checkpoints_manifest(project: Project) -> Path:
    path = manifest_file(project, "finetuned_checkpoint", "10|random")
    edited(path, manifest_file(project, "raw_tasks", "small").read_text())
    return path


def change_parameters(project: Project) -> Path:
    path = manifest_file(project, "selected_subset", "10|random")
    edited(path, path.read_text().replace('"kind": "random"', '"kind": "greedy"'))
    return path


ATTACKS: tuple[Callable[[Project], Path], ...] = (
    drop_a_row,
    edit_a_response,
    edit_in_place,
    edit_origins,
    edit_the_page,
    replace_weights,
    swap_manifest,
    swap_the_checkpoints_manifest,
    change_parameters,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.__name__)
def test_what_was_changed_is_named_by_the_audit_and_by_verify(
    project: Project, attack: Callable[[Project], Path]
) -> None:
    assert verify(project.store, lambda _: None).damages == []
    path = attack(project)
    assert path in {damage.path for damage in verify(project.store, lambda _: None).damages}
    try:
        problems = audit(project).problems
    except SmartError as error:  # it cannot be gathered any more, and the file is named all the same
        problems = (str(error),)
    assert any(str(path) in problem for problem in problems), problems


def test_the_page_shows_hostile_names_as_text_and_holds_every_row(project: Project, tmp_path: Path) -> None:
    tasks = dict(SMALL_TASKS)
    write_tasks(project.root / "tasks", {HOSTILE.replace("/", "").replace("\x1b", ""): tasks["alpha"][:20]})
    make(project, "finetuned_checkpoint[10|random]")
    found = audit(project)
    page = render_audit(found)
    assert page == render_audit(replace(audit(project), hashed_at=found.hashed_at))
    assert f"All hashes were taken again for this page, which was written at {found.hashed_at}" in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    packed = re.search(r'id="rows">([^<]*)<', page)
    assert packed is not None
    rows = json.loads(gzip.decompress(b64decode(packed[1])))
    assert rows["columns"] == list(ROWS)
    assert rows["values"][0] == found.rows["id"].to_pylist()


def test_the_command_prints_json_and_a_page_and_tells_damage_by_its_status(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out" / "audit.html"
    assert show_model(project.config, ["10", "random"], None, False, page) == 0
    told = capsys.readouterr().out
    assert "every file between the raw rows and these weights is what was recorded" in told
    assert page.read_text().startswith("<!doctype html>")
    assert show_model(project.config, ["10", "random"], None, True, None) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["rows"]) == 10
    assert found["row_columns"] == list(ROWS)
    replace_weights(project)
    assert show_model(load_project(project.config).config, ["10", "random"], None, False, None) == 1
    assert "is no longer what was recorded" in capsys.readouterr().out


def made(asset: str, content: str, at: int, **inputs: str) -> Manifest:
    """One materialization of an asset, at an hour, of versions of others."""
    return Manifest(asset=asset, partition=None, content_version=content, fingerprint=f"{asset} {inputs}",
        inputs=inputs, parameters={}, code_version="1", files=(), made={"at": f"2026-01-01T{at:02}:00"})  # fmt: skip


def test_of_equal_content_the_chain_names_what_was_made_before_it_was_read() -> None:
    """The same subset came of two orderings: the model that was trained between them comes of the first."""
    first, again = made("orderings", "A", 1), made("orderings", "B", 4)
    then, later = made("subset", "X", 2, orderings="A"), made("subset", "X", 5, orderings="B")
    model, retrained = made("checkpoint", "M", 3, subset="X"), made("checkpoint", "N", 6, subset="X")
    newest_first = (retrained, model, later, then, again, first)
    history = History(tuple(Materialization(one, newest=False, named=True) for one in newest_first), ())
    assert walk(model, history) == ([model, then, first], [])
    assert walk(retrained, history) == ([retrained, later, again], [])


def test_of_equal_rows_the_chain_names_those_that_the_subset_itself_was_made_of() -> None:
    """Lines moved after the vectors were made: the rows are the same, and the subset's were read where they lie now."""
    raw, vectors, moved = made("rows", "R", 1), made("vectors", "V", 2, rows="R"), made("rows", "R", 3)
    subset = made("subset", "X", 4, rows="R", vectors="V")
    model = made("checkpoint", "M", 5, subset="X")
    newest_first = (model, subset, moved, vectors, raw)
    history = History(tuple(Materialization(one, newest=False, named=True) for one in newest_first), ())
    assert walk(model, history) == ([model, subset, moved, vectors], [])
