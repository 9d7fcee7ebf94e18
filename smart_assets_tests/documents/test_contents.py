"""What documents hold: the rows and seeds of a checkpoint, names as text, no prompts; equal for equal stores."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.assets.model_records import RecordedBaseModel
from smart_assets.core.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.core.safe_text import escaped
from smart_assets.documents.bom_model_card import performance_metric
from smart_assets.documents.documents import document_set, write_documents
from smart_assets.documents.export import write_subset
from smart_assets.documents.subsets import current_subset
from smart_assets.documents.terms import base_model, hub_licence, licence_reference, spdx_expression
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.documented_project import HOSTILE, make, make_documented_project, read, sha256, written
from smart_assets_tests.support.projects import SMALL_TASKS, own_copy, write_project, write_tasks


@pytest.fixture
def project(documented_folder: Path, tmp_path: Path) -> Project:
    return own_copy(documented_folder, tmp_path)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *strings(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_equal_stores_give_equal_documents_but_for_times(project: Project, tmp_path: Path) -> None:
    again = load_project(make_documented_project(tmp_path / "again") / "smart.yaml")
    one, other = written(project), written(again)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 9
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in files:
        assert timeless(one / file, one) == timeless(other / file, other), file


def timeless(file: Path, folder: Path) -> bytes:
    """A document without its times, and without what hashes them: Croissant's hash, and the serial number."""
    text = file.read_bytes().replace(sha256(folder / "dataset" / "croissant.json").encode(), b"croissant")
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}|\d{4}-\d\d-\d\dT[0-9:.]{12}\+00:00", b"", text)


def test_hostile_names_are_text_in_every_document(project: Project) -> None:
    out = written(project, "random")
    shown = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.suffix in (".md", ".json")}
    assert len(shown) == 5
    for name, text in shown.items():
        assert "<script>" not in text, name
        assert "<b>" not in text, name
        assert not any(character in text for character in "\x1b\N{RIGHT-TO-LEFT OVERRIDE}"), name
        assert "\n# heading" not in text, name
    card = shown["dataset/README.md"]
    assert all(f"| {escaped(name)} | " in card for name in HOSTILE)
    lines = card.splitlines()
    [start] = [index for index, line in enumerate(lines) if line == "| task | rows |"]
    for line in lines[start : lines.index("", start)]:
        assert len(line.replace("\\|", "").split("|")) == 4, "no name makes a cell of its own"
    measured = {text for text in strings(read(out / "model-seed-0" / "bom.cdx.json")) if text.startswith("held_out: ")}
    assert measured & {f"held_out: {name}" for name in HOSTILE}, "JSON holds names as they are"


def test_no_prompt_and_no_response_is_in_a_document(project: Project) -> None:
    out = written(project)
    texts = pq.read_table(out / "dataset" / "data" / "train-00000-of-00001.parquet", columns=["prompt", "response"])
    for path in (path for path in out.rglob("*") if path.suffix in (".md", ".json")):
        text = path.read_text(encoding="utf-8")
        assert not [value for column in texts.columns for value in column.to_pylist() if value in text], path


def test_random_rows_are_documented_by_seed(project: Project) -> None:
    found = document_set(project, "60|random", None)
    assert (found.subset.seed, [one.seed for one in found.checkpoints], found.other_seeds) == (0, [0], (1,))
    found = document_set(project, "60|random", 1)
    assert (found.subset.seed, [one.seed for one in found.checkpoints], found.other_seeds) == (1, [1], ())
    assert [one.seed for one in document_set(project, "60|smart", 1).checkpoints] == [1]
    with pytest.raises(SmartError, match=r"no weights of seed 7; its seeds are \[0, 1\]"):
        document_set(project, "60|smart", 7)
    with pytest.raises(SmartError, match="no row set of seed 7"):
        document_set(project, "60|random", 7)


def test_a_checkpoint_is_documented_with_the_rows_it_was_trained_on(project: Project) -> None:
    before = document_set(project, "60|smart", None)
    tasks = {name: [dict(row) for row in found] for name, found in SMALL_TASKS.items() if name != "alpha"}
    shutil.rmtree(project.root / "tasks")
    write_tasks(project.root / "tasks", tasks)
    make(project, "selected_subset[60|smart]")
    assert "alpha" not in current_subset(project, "60|smart", None).tasks
    after = document_set(project, "60|smart", None)
    assert after.subset.rows == before.subset.rows
    assert "alpha" in after.subset.tasks
    old = project.store.artifact_folder("raw_tasks", after.subset.sources[1].version)
    shutil.rmtree(old)
    with pytest.raises(StoreError, match=rf"{old.name} is not in the store any more: removed by `smart gc`, or lost"):
        document_set(project, "60|smart", None)


def test_what_was_not_trained_or_evaluated_is_said(project: Project, tmp_path: Path) -> None:
    make(project, "finetuned_checkpoint[10|smart]", "selected_subset[10|random]")
    [first, _] = document_set(project, "10|smart", None).checkpoints
    assert first.evaluation is None
    folder = tmp_path / "unmeasured"
    write_documents(document_set(project, "10|smart", None), folder)
    assert "No evaluation of this version" in (folder / "model-seed-0" / "README.md").read_text()
    assert "quantitativeAnalysis" not in (folder / "model-seed-0" / "bom.cdx.json").read_text()
    write_documents(document_set(project, "10|random", None), tmp_path / "rows")
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["dataset"]
    fresh = write_project(tmp_path / "fresh")
    with pytest.raises(UpstreamMissingError, match="was never made: run `smart run --select"):
        document_set(fresh, "10|smart", None)


def test_an_exported_folder_is_the_documented_one(project: Project) -> None:
    write_subset(current_subset(project, "60|smart", None), project.root / "exported")
    out = written(project)
    for path in (path for path in (project.root / "exported").rglob("*") if path.is_file()):
        assert path.read_bytes() == (out / "dataset" / path.relative_to(project.root / "exported")).read_bytes()


@pytest.mark.parametrize(
    ("reference", "revision", "label", "hub_name"),
    [
        pytest.param("owner/model", "ab" * 20, "owner/model", "owner/model", id="hub"),
        pytest.param("package:llm", "ab" * 32, "package:llm", None, id="package"),
        pytest.param("/home/somebody/secret/model", None, "model", None, id="folder"),
        pytest.param("~/models/ours/", None, "ours", None, id="home"),
        pytest.param("models/ours", None, "ours", None, id="folder that reads as a hub name"),
    ],
)
def test_base_models_are_named_without_their_place(
    project: Project, reference: str, revision: str | None, label: str, hub_name: str | None
) -> None:
    [checkpoint] = document_set(project, "60|smart", 0).checkpoints
    recorded = RecordedBaseModel(reference=reference, revision=revision, weights_sha256="cd" * 32)
    base = base_model(replace(checkpoint, result=checkpoint.result.model_copy(update={"base_model": recorded})))
    assert (base.label, base.hub_name, base.revision) == (label, hub_name, revision)


@pytest.mark.parametrize(
    ("licence", "expression", "reference", "hub"),
    [
        pytest.param("apache-2.0", "Apache-2.0", "https://spdx.org/licenses/Apache-2.0", "apache-2.0", id="any case"),
        pytest.param("ODC-By-1.0", "ODC-By-1.0", "https://spdx.org/licenses/ODC-By-1.0", "odc-by", id="hub's own id"),
        pytest.param("MIT OR apache-2.0", "MIT OR Apache-2.0", "MIT OR apache-2.0", "other", id="two"),
        pytest.param("by agreement <b>", None, "by agreement <b>", "other", id="words"),
        pytest.param("LicenseRef-Ours", None, "LicenseRef-Ours", "other", id="own reference"),
    ],
)
def test_licences_in_the_words_of_each_standard(licence: str, expression: str | None, reference: str, hub: str) -> None:
    assert (spdx_expression(licence), licence_reference(licence), hub_licence(licence)) == (expression, reference, hub)
    assert (spdx_expression(None), hub_licence(None)) == (None, "unknown")


@given(st.text())
def test_escaped_text_is_one_line_without_live_markdown(text: str) -> None:
    shown = escaped(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|!#~:]", shown)


@pytest.mark.parametrize(
    ("rows", "stderr", "half"), [(2, 0.1, 1.27062), (20, 0.1, 0.209302), (20, 0.0, None), (1, None, None)]
)
def test_intervals_of_a_bom_know_how_few_rows_there_are(rows: int, stderr: float | None, half: float | None) -> None:
    row = {"benchmark": "held_out", "task": "a", "metric": "exact_match", "value": 0.5, "stderr": stderr, "rows": rows}
    found = performance_metric(row).get("confidenceInterval")
    if half is None:
        assert found is None
    else:
        assert [float(bound) for bound in found.values()] == pytest.approx([0.5 - half, 0.5 + half], abs=1e-5)
