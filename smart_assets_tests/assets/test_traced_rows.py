"""The check `rows_are_traced`: a row counts as traced only where what it was read from is pinned by a hash."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.checks.artifact_checks import CheckResult
from smart_assets.assets.checks.traced_rows import MOST_NAMED, rows_are_traced
from smart_assets.assets.step import RunContext
from smart_assets.core.errors import UpstreamMissingError
from smart_assets.defs.build import build_definitions
from smart_assets.planning.graph import find_partitions
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.programs import no_program
from smart_assets_tests.support.projects import SMALL_TASKS, own_copy, rows, write_project

COMMIT = "c0" * 20
PARTITION = "60|random"
SUBSET = f"selected_subset[{PARTITION}]"


@pytest.fixture(scope="module")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A subset of three sources: files, a dataset in a folder, and a dataset of the hub that needs no network."""
    from datasets import Dataset

    from smart_assets.tasks import hub

    root = tmp_path_factory.mktemp("traced")
    (root / "dataset").mkdir()
    pq.write_table(pa.Table.from_pylist(rows(7, 20)), root / "dataset" / "train.parquet")
    sources: dict[str, Any] = {
        "files": {"kind": "folder", "path": "tasks"},
        "dataset": {"kind": "huggingface", "path": "dataset"},
        "hub": {"kind": "huggingface", "path": "someone/rows"},
    }
    project = write_project(root, SMALL_TASKS, {"sources": sources, "budgets": [60], "recipes": ["random"]})
    load = hub.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", root / "cache")
        patch.setattr(hub, "resolve_revision", lambda source: COMMIT)
        patch.setattr(
            hub,
            "load",
            lambda source, path, revision: Dataset.from_list(rows(8, 20)) if revision else load(source, path, revision),
        )
        make(project, SUBSET)
        yield root


@pytest.fixture
def project(template_folder: Path, tmp_path: Path) -> Project:
    return own_copy(template_folder, tmp_path)


def judged(project: Project) -> CheckResult:
    return rows_are_traced(project, PARTITION)


def test_rows_of_files_and_datasets_are_traced(project: Project) -> None:
    subset = current(project, "selected_subset", PARTITION)
    held = pq.read_table(project.store.artifact(subset) / "subset.parquet")
    assert set(held["source"].to_pylist()) == {"files", "dataset", "hub"}
    result = judged(project)
    assert result.passed, result.figures
    assert result.figures == {"rows": 60, "not traced": 0}


def change_origins(source: str, change: Callable[[Path], None], honest: bool = True) -> Callable[[Project], None]:
    """Change the origins of a source; honestly, as if they had been recorded so, or behind the manifest's back."""

    def attack(project: Project) -> None:
        manifest = current(project, "raw_tasks", source)
        folder = project.store.folder(manifest.attachments["origins"])
        if not honest:
            change(folder)
            return
        with project.store.draft() as draft:
            shutil.copytree(folder, draft / "origins")
            change(draft / "origins")
            origins = project.store.commit("raw_tasks.origins", draft / "origins")
        attachments = {**manifest.attachments, "origins": origins}
        project.store.record(manifest.model_copy(update={"attachments": attachments}))

    return attack


def files_json(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / "files.json"
        told = json.loads(path.read_text())
        change(told)
        path.write_text(json.dumps(told))

    return write


def without_alpha(folder: Path) -> None:
    table = pq.read_table(folder / "origins.parquet")
    pq.write_table(table.filter(pa.compute.not_equal(table["file"], "alpha.jsonl")), folder / "origins.parquet")


def cut(folder: Path) -> None:
    (folder / "origins.parquet").write_bytes(b"PAR1")


def turn_a_byte(folder: Path) -> None:
    content = bytearray((folder / "origins.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "origins.parquet").write_bytes(content)


def forget_origins(project: Project) -> None:
    manifest = current(project, "raw_tasks", "files")
    project.store.record(manifest.model_copy(update={"attachments": {}}))


def other_outside(project: Project) -> None:
    manifest = current(project, "raw_tasks", "files")
    outside = {**manifest.outside, "alpha.jsonl": "0" * 64}
    project.store.record(manifest.model_copy(update={"outside": outside}))


def another_row(project: Project) -> None:
    """A row that `raw_tasks` never had takes the place of the first one of `files`."""
    manifest = current(project, "selected_subset", PARTITION)
    path = project.store.artifact(manifest) / "subset.parquet"
    table = pq.read_table(path)
    ids = table["id"].to_pylist()
    ids[table["source"].to_pylist().index("files")] = "f" * 32
    pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids)), path)
    files = [one.model_copy(update={"size": (path.parent / one.path).stat().st_size}) for one in manifest.files]
    project.store.record(manifest.model_copy(update={"files": tuple(files)}))


ATTACKS: dict[str, tuple[Callable[[Project], None], str, str]] = {
    "a file that is not listed": (
        change_origins("files", files_json(lambda told: told["files"].pop(0))),
        "files",
        "'alpha.jsonl' is not among the files that were read",
    ),
    "a file that changed while it was read": (
        change_origins("files", files_json(lambda told: told["files"][0].update(sha256=""))),
        "files",
        "'alpha.jsonl' has no hash: it changed while it was read",
    ),
    "another hash than the manifest's": (other_outside, "files", "'alpha.jsonl' has another hash in the manifest"),
    "rows without an origin": (change_origins("files", without_alpha), "files", "no origin of it is recorded"),
    "origins cut short": (change_origins("files", cut, honest=False), "files", "is missing or cut short"),
    "origins edited": (change_origins("files", turn_a_byte, honest=False), "files", "is no longer what was recorded"),
    "origins that no Parquet is": (change_origins("files", cut), "files", "Parquet"),
    "origins never recorded": (forget_origins, "files", "the origins of raw_tasks[files] were not recorded"),
    "a row that the source never had": (another_row, "files", "no row of version"),
    "a dataset's file without a hash": (
        change_origins("dataset", files_json(lambda told: told["files"][0].update(sha256=""))),
        "dataset",
        "'train.parquet' has no hash",
    ),
    "a dataset without files": (
        change_origins("dataset", files_json(lambda told: told["files"].clear())),
        "dataset",
        "the dataset's files were not recorded",
    ),
    "another revision": (
        change_origins("hub", files_json(lambda told: told.update(revision="d0" * 20))),
        "hub",
        f"'someone/rows@{COMMIT}' is not the revision that was read",
    ),
    "no revision": (
        change_origins("hub", files_json(lambda told: told.update(revision=None))),
        "hub",
        f"'someone/rows@{COMMIT}' is not among the files that were read",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_row_that_cannot_be_followed_is_named(project: Project, attack: str) -> None:
    spoil, source, why = ATTACKS[attack]
    spoil(project)
    result = judged(project)
    assert not result.passed
    named = result.rows.to_pylist()
    assert 0 < len(named) == result.figures["not traced"]
    assert {row["source"] for row in named} == {source}
    assert all(why in row["why"] for row in named), named
    assert f"{len(named)} of 60 rows do not trace" in result.sentence
    if "alpha.jsonl" in why:
        assert {row["file"] for row in named} == {"alpha.jsonl"}


def test_the_versions_are_those_that_the_subset_was_made_from(project: Project) -> None:
    """Rows that left the source since stay traced: the subset's manifest names the version that holds them."""
    (project.root / "tasks" / "alpha.jsonl").unlink()
    before = current(project, "raw_tasks", "files")
    key = next(iter(find_partitions(project, ["raw_tasks[files]"])))
    materialize(project, key, RunContext(log=lambda _: None, launch=no_program, device="cpu"))
    assert current(project, "raw_tasks", "files").content_version != before.content_version
    assert judged(project).passed


def test_without_a_subset_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UpstreamMissingError, match=r"selected_subset\[10\|smart\] was never made"):
        rows_are_traced(write_project(tmp_path), "10|smart")


def test_in_dagster_it_blocks_and_lists_ids(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from smart_assets.tasks import hub

    monkeypatch.setattr(hub, "resolve_revision", lambda source: COMMIT)
    change_origins("files", files_json(lambda told: told["files"].clear()))(project)
    definitions = build_definitions(project)
    result = dg.materialize(
        [*definitions.assets, *definitions.asset_checks],  # type: ignore[misc]
        selection=["selected_subset"],
        partition_key=PARTITION,
        instance=dg.DagsterInstance.ephemeral(),
        resources=dict(definitions.resources or {}),
        raise_on_error=False,
    )
    [found] = [one for one in result.get_asset_check_evaluations() if one.check_name == "rows_are_traced"]
    assert not found.passed
    assert found.blocking
    listed = found.metadata["rows"]
    assert isinstance(listed, dg.TableMetadataValue)
    assert 0 < len(listed.records) <= MOST_NAMED
    assert {"id", "source", "file", "line", "why"} == set(listed.records[0].data)
