"""Tasks whose prompts are longer than the encoder's window: counted, told apart by their ends, and trained on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.checks.artifact_checks import no_evaluation_text, tasks_keep_their_rows
from smart_assets.assets.records import EmbeddingSummary, OverlapSummary
from smart_assets.assets.step import AssetPartition
from smart_assets.cli.forget import remove_forgotten
from smart_assets.defs.metadata import metadata_of
from smart_assets.forgetting.find import by_ids
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.make import current, made_again, make, read_rows, run_context
from smart_assets_tests.support.plans import current_plan
from smart_assets_tests.support.projects import WORDS, in_settings, own_copy, rows, write_project, write_tasks
from smart_assets_tests.support.secret_project import forgotten

WINDOW = 32  # tokens, two of them special
PREAMBLE = "Definition: say what the note is about. " + " ".join(
    f"Example {place}: a note on {word} near the {other}, so the answer is {word}."
    for place, (word, other) in enumerate(zip(WORDS[:5], WORDS[5:10], strict=True))
)
VECTORS = AssetPartition("prompt_embeddings", "small")
EMBEDDING = {"batch_size": 1, "max_length": WINDOW, "precision": "float32"}


def few_shot(count: int) -> list[dict[str, str]]:
    """Rows with one preamble, and notes that have nothing in common."""
    random = np.random.default_rng(5)
    notes = [" ".join(random.choice(WORDS, 45)) for _ in range(count)]
    return [
        {"prompt": f"{PREAMBLE} Now complete. Input: {note} Output:", "response": f"answer {place}"}
        for place, note in enumerate(notes)
    ]


def tasks() -> dict[str, list[dict[str, str]]]:
    return {"few_shot": few_shot(24), "short": [{"prompt": f"Say {word}.", "response": word} for word in WORDS]}


def few_shot_project(folder: Path, **embedding: Any) -> Project:
    changes = {"embedding": EMBEDDING | embedding, "budgets": [20], "validation": {"fraction": 0.1}}
    return write_project(folder, tasks(), changes)


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, log: list[str]) -> Project:
    project = few_shot_project(tmp_path_factory.mktemp("few-shot"))
    make(project, "selected_subset", "similarity_index", run=run_context(log=log.append))
    return project


def long_rows(project: Project) -> list[dict[str, Any]]:
    return [row for row in read_rows(project, "raw_tasks", "instances.parquet", "small") if row["task"] == "few_shot"]


def vectors_of(project: Project) -> dict[str, tuple[Any, ...]]:
    """Task and vector of each row."""
    vectors = np.load(project.store.artifact(current(project, "prompt_embeddings", "small")) / "vectors.npy")
    table = read_rows(project, "prompt_embeddings", "rows.parquet", "small")
    return {row["id"]: (row["task"], vector) for row, vector in zip(table, vectors, strict=True)}


def with_embedding(project: Project, **changes: Any) -> Project:
    return in_settings(embedding=EMBEDDING | changes)(project)


def test_no_row_is_left_out_for_its_preamble_and_a_mixture_takes_both_tasks(made: Project) -> None:
    subset = read_rows(made, "selected_subset", "subset.parquet", "20|smart")
    assert {row["task"] for row in subset} == {"few_shot", "short"}
    assert read_rows(made, "evaluation_overlap", "overlaps.parquet") == []
    assert no_evaluation_text(made, "20|smart").passed
    assert tasks_keep_their_rows(made, None).passed


def test_long_prompts_are_counted_by_task_where_one_looks(made: Project, log: list[str]) -> None:
    manifest = current(made, "prompt_embeddings", "small")
    counted = EmbeddingSummary.read(manifest).long_prompts
    assert counted is not None
    assert {name: (task.rows, task.read_in_part) for name, task in counted.items()} == {"few_shot": (24, 0)}
    table = read_rows(made, "prompt_embeddings", "long_prompts.parquet", "small")
    assert len(table) == 24
    assert {row["windows"] for row in table} == {-(-row["tokens"] // (WINDOW - 2)) for row in table}
    assert all(row["read"] == row["windows"] for row in table)
    last = np.load(made.store.artifact(manifest) / "last_windows.npy")
    np.testing.assert_allclose(np.linalg.norm(last, axis=1), 1, atol=1e-5)
    said = "24 rows have prompts longer than the encoder's window; their vectors are the mean of their windows"
    assert f"{said}: few_shot (24)" in log
    assert "prompts longer than the encoder's window" in metadata_of(made, MaterializeResult(manifest, unchanged=True))
    assert connect(made, print).execute("SELECT count(*), min(source) FROM long_prompts").fetchall() == [(24, "small")]


def test_prompts_of_one_document_are_told_apart_from_duplicates(made: Project, log: list[str]) -> None:
    assert read_rows(made, "similarity_index", "near_duplicates.parquet", "small") == []
    pairs = read_rows(made, "similarity_index", "same_documents.parquet", "small")
    assert pairs
    assert all(row["cosine"] >= 0.95 > row["last_cosine"] for row in pairs)
    assert current(made, "similarity_index", "small").summary["same-document pairs"] == len(pairs)
    documents = read_rows(made, "evaluation_overlap", "same_documents.parquet")
    assert {(row["kind"], row["task"], row["evaluation_task"]) for row in documents} <= {
        ("same_document", "few_shot", "few_shot")
    }
    summary = OverlapSummary.read(current(made, "evaluation_overlap"))
    assert sum((summary.same_documents or {}).values()) == len({row["id"] for row in documents})
    assert bool(documents) == any("the same document, not the same question" in line for line in log)


def test_fewer_windows_make_only_the_prompts_anew_that_have_more(made: Project, tmp_path: Path) -> None:
    project = own_copy(made.root, tmp_path)
    before = vectors_of(project)
    index = current(project, "similarity_index", "small").content_version
    project = with_embedding(project, windows=40)
    assert made_again(make(project, "similarity_index")) == ["prompt_embeddings[small]"], "no prompt has so many"
    assert current(project, "prompt_embeddings", "small").made["prompts embedded"] == 0
    assert current(project, "similarity_index", "small").content_version == index

    project = with_embedding(own_copy(made.root, tmp_path / "fewer"), windows=2)
    lines: list[str] = []
    make(project, "evaluation_overlap", run=run_context(log=lines.append))
    manifest = current(project, "prompt_embeddings", "small")
    assert manifest.made["prompts embedded"] == 24
    after = vectors_of(project)
    assert all((before[row][1] == after[row][1]).all() for row in before if before[row][0] == "short")
    assert any("24 rows have prompts of more than 2 windows" in line for line in lines)
    summary = OverlapSummary.read(current(project, "evaluation_overlap"))
    assert summary.read_in_part is not None
    assert summary.read_in_part.training_rows + sum(summary.read_in_part.evaluation_rows.values()) == 24
    words = no_evaluation_text_words(project)
    assert "vectors are of some windows alone" in words


def no_evaluation_text_words(project: Project) -> str:
    make(project, "selected_subset")
    return no_evaluation_text(project, "20|smart").sentence


def test_one_window_compares_no_prompt_by_its_beginning(tmp_path: Path) -> None:
    project = few_shot_project(tmp_path, windows=1)
    make(project, "selected_subset", "similarity_index")
    assert "windows" not in current(project, "prompt_embeddings", "small").parameters
    assert read_rows(project, "evaluation_overlap", "overlaps.parquet") == []
    summary = OverlapSummary.read(current(project, "evaluation_overlap"))
    assert summary.long_prompts is not None
    assert summary.long_prompts.training_rows + sum(summary.long_prompts.evaluation_rows.values()) == 24
    assert read_rows(project, "similarity_index", "near_duplicates.parquet", "small") == []
    documents = read_rows(project, "similarity_index", "same_documents.parquet", "small")
    assert len(documents) > 24, "all begin alike"
    assert {row["last_cosine"] for row in documents} == {None}
    few = [vector for task, vector in vectors_of(project).values() if task == "few_shot"]
    np.testing.assert_allclose(few, few[:1] * len(few), atol=1e-5)


def as_made_before(project: Project) -> None:
    """Make the manifests of vectors those of a version that cut prompts and did not count them."""
    for path in (project.store.root / "manifests" / "prompt_embeddings").rglob("*.json"):
        manifest = json.loads(path.read_text())
        del manifest["summary"]["prompts longer than the encoder's window"]
        path.write_text(json.dumps(manifest | {"code_version": "1", "fingerprint": "0" * 32}))


def test_a_store_of_before_embeds_long_prompts_again_and_no_others(tmp_path: Path) -> None:
    project = few_shot_project(tmp_path / "long", windows=1)
    make(project, "prompt_embeddings")
    before = vectors_of(project)
    as_made_before(project)
    project = with_embedding(load_project(project.config), windows=3)
    assert rows_to_embed_now(project) == {}, "not known before prompts are cut into tokens"
    make(project, "prompt_embeddings")
    assert current(project, "prompt_embeddings", "small").made["prompts embedded"] == 24
    after = vectors_of(project)
    for row, (task, vector) in before.items():
        assert (vector == after[row][1]).all() == (task == "short")
    assert rows_to_embed_now(project) == {"rows to embed": 0}


def rows_to_embed_now(project: Project) -> dict[str, int]:
    item = current_plan(project)[str(VECTORS)]
    return dict(item.cost.work) if item.cost is not None else {"rows to embed": 0}


def test_vectors_of_before_that_cut_as_now_stay(tmp_path: Path) -> None:
    project = few_shot_project(tmp_path, windows=1)
    make(project, "prompt_embeddings")
    version = current(project, "prompt_embeddings", "small").content_version
    as_made_before(project)
    make(load_project(project.config), "prompt_embeddings")
    manifest = current(project, "prompt_embeddings", "small")
    assert (manifest.made["prompts embedded"], manifest.content_version) == (0, version)


def test_what_depends_on_short_prompts_alone_stays_current(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"short": tasks()["short"]}, {"embedding": EMBEDDING})
    make(project, "task_scores", "similarity_index", "instance_orderings")
    as_made_before(project)
    project = load_project(project.config)
    again = make(project, "task_scores", "similarity_index", "instance_orderings")
    assert made_again(again) == ["prompt_embeddings[small]"]
    assert current(project, "prompt_embeddings", "small").made["prompts embedded"] == 0


def test_a_forgotten_long_prompt_leaves_the_vectors_of_windows(made: Project, tmp_path: Path) -> None:
    project = own_copy(made.root, tmp_path)
    row = long_rows(project)[0]
    manifest = current(project, "prompt_embeddings", "small")
    folder = project.store.artifact(manifest)
    table = pq.read_table(folder / "long_prompts.parquet").to_pylist()
    [place] = [place for place, long in enumerate(table) if long["prompt_hash"] == row["prompt_hash"]]
    vector = np.load(folder / "last_windows.npy")[place]

    def holding() -> list[Path]:
        files = project.store.root.rglob("last_windows.npy")
        return [path for path in files if (np.load(path) == vector).all(axis=1).any()]

    assert holding()
    forgotten(project, lambda reader: by_ids(reader, [row["id"]]))
    make(project, "selected_subset", "similarity_index")
    remove_forgotten(project.root, dry_run=False)
    assert holding() == []
    assert len(read_rows(project, "prompt_embeddings", "long_prompts.parquet", "small")) == 23


def test_outside_evaluation_prompts_are_compared_by_their_ends_and_remembered(tmp_path: Path) -> None:
    own = few_shot(24)
    write_tasks(tmp_path / "exams", {"exam": [own[3], few_shot(30)[27]]})
    evaluate = {"held_out": False, "collections": {"exams": {"path": "exams"}}}
    changes = {"embedding": EMBEDDING, "validation": {"fraction": 0}, "evaluate": evaluate, "budgets": [20]}
    project = write_project(tmp_path, tasks(), changes)
    make(project, "evaluation_overlap")
    overlaps = read_rows(project, "evaluation_overlap", "overlaps.parquet")
    by_id = {row["id"]: row["prompt"] for row in long_rows(project)}
    assert {by_id[row["id"]] for row in overlaps} == {own[3]["prompt"]}
    assert "similarity" in {row["kind"] for row in overlaps}
    attached = current(project, "evaluation_overlap").attachments["vectors"]
    assert pq.read_table(project.store.folder(attached) / "long_prompts.parquet").num_rows == 2
    make(in_settings(contamination={"similarity": 0.98})(project), "evaluation_overlap")
    assert current(project, "evaluation_overlap").made["prompts embedded"] == 0


def test_a_task_that_loses_more_than_half_of_its_rows_is_named(tmp_path: Path) -> None:
    copied = rows(1, 12)
    write_tasks(tmp_path / "exams", {"exam": copied[:8]})
    evaluate = {"held_out": False, "collections": {"exams": {"path": "exams"}}}
    changes = {"validation": {"fraction": 0}, "evaluate": evaluate, "contamination": {"similarity": None}}
    project = write_project(tmp_path, {"copied": copied, "kept": rows(2, 12)}, changes)
    lines: list[str] = []
    made = make(project, "evaluation_overlap", run=run_context(log=lines.append))
    result = made["evaluation_overlap"]
    words = "task 'copied' of source 'small': 8 of 12 training rows hold evaluation text (exact 8"
    assert any(words in line for line in lines)
    [(source, task, found)] = OverlapSummary.read(result.manifest).mostly_found()
    assert (source, task, found.training_rows, found.rows) == ("small", "copied", 12, 8)
    metadata = metadata_of(project, result)
    assert "tasks that lose more than half of their rows" in metadata
    check = tasks_keep_their_rows(project, None)
    assert (check.passed, check.warning, check.figures["first tasks"]) == (False, True, ["copied"])
    assert words in check.sentence
    assert check.rows is not None
    assert set(check.rows["task"].to_pylist()) == {"copied"}
