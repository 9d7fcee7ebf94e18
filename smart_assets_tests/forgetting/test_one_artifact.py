"""One artifact at a time: whether it holds forgotten rows, and what is left of it when they are taken out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.declaration import NO_DIGEST
from smart_assets.forgetting.affected import AffectedArtifact, ForgottenScan, Kept
from smart_assets.forgetting.redact import redact
from smart_assets.lineage.history import read_history
from smart_assets.settings import Project
from smart_assets.store import Artifact
from smart_assets.store.redaction import Redaction
from smart_assets.tasks.forgotten import Forgotten, refusal_id
from smart_assets.upkeep.verify import verify
from smart_assets_tests.support.make import current, read_rows
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.secret_project import PARTITION, SECRET, instances

TEXTS = {"prompt": "", "response": "", "messages": None, "prompt_hash": NO_DIGEST}


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def in_small_row_groups(project: Project) -> Artifact:
    """The rows of the project as an artifact of its own, a few rows in each row group."""
    store, made = project.store, project.store.artifact(current(project, "raw_tasks", "small"))
    with store.draft() as draft:
        content = draft / "content"
        content.mkdir()
        for path in made.iterdir():
            (content / path.name).write_bytes(path.read_bytes())
        pq.write_table(pq.read_table(made / "instances.parquet"), content / "instances.parquet", row_group_size=5)
        return store.commit("raw_tasks", content)


def take_out(
    project: Project, artifact: Artifact, *ids: str, kept: Kept = "the other rows", because: str = "key"
) -> Redaction:
    redact(project.store, AffectedArtifact(artifact, ids, kept, current=False), [because])
    redaction = project.store.redaction(artifact.asset, artifact.version)
    assert redaction is not None
    return redaction


def test_a_row_loses_its_texts_and_its_signature_and_the_others_nothing(project: Project) -> None:
    artifact = in_small_row_groups(project)
    folder = project.store.folder(artifact)
    before = pq.read_table(folder / "instances.parquet").to_pylist()
    signatures = np.load(folder / "signatures.npy", allow_pickle=False)
    chosen = [0, 7, len(before) - 1]
    assert signatures[chosen].any(axis=1).all()
    redaction = take_out(project, artifact, *(before[place]["id"] for place in chosen))

    assert redaction.replaced_by is not None
    left = project.store.folder(redaction.replaced_by)
    after = pq.read_table(left / "instances.parquet").to_pylist()
    assert after == [{**row, **(TEXTS if place in chosen else {})} for place, row in enumerate(before)]
    signatures[chosen] = 0
    assert np.array_equal(np.load(left / "signatures.npy", allow_pickle=False), signatures)
    assert {path.name for path in left.iterdir()} == {file.path for file in artifact.files}
    assert pq.read_schema(left / "instances.parquet").names == [*before[0]]


def test_the_record_says_what_went_and_why_and_what_was_is_there_no_more(project: Project) -> None:
    artifact = current(project, "raw_tasks", "small").artifact
    first, second, third = sorted(row["id"] for row in instances(project)[:3])
    one = take_out(project, artifact, third, first, because="of this")
    assert (one.asset, one.version, one.ids, one.because) == (
        "raw_tasks", artifact.version, (first, third), ("of this",),
    )  # fmt: skip
    assert not project.store.artifact_folder("raw_tasks", artifact.version).exists()
    kept_at_first = one.replaced_by
    both = take_out(project, artifact, second, because="of that")
    assert (both.ids, both.because) == ((first, second, third), ("of that", "of this"))
    assert kept_at_first is not None
    assert both.replaced_by not in (None, kept_at_first)
    assert not project.store.artifact_folder("raw_tasks", kept_at_first.version).exists()
    texts = {row["id"]: row["prompt"] for row in read_rows(project, "raw_tasks", "instances.parquet", "small")}
    assert {id_ for id_, prompt in texts.items() if not prompt} == {first, second, third}


def test_taking_out_what_is_out_already_keeps_what_is_kept(project: Project) -> None:
    artifact = current(project, "raw_tasks", "small").artifact
    id_ = instances(project)[0]["id"]
    one, again = take_out(project, artifact, id_), take_out(project, artifact, id_)
    assert again.replaced_by == one.replaced_by
    assert again.replaced_by is not None
    assert project.store.has(again.replaced_by)


def test_where_nothing_can_be_kept_nothing_is(project: Project) -> None:
    artifact = current(project, "prompt_embeddings", "small").artifact
    assert take_out(project, artifact, "a", kept="nothing").replaced_by is None
    assert not project.store.artifact_folder(artifact.asset, artifact.version).exists()
    assert not project.store.has(artifact)


def test_a_refused_row_loses_its_excerpt_and_the_others_nothing(project: Project) -> None:
    artifact = current(project, "raw_tasks", "small").attachments["origins"]
    before = pq.read_table(project.store.folder(artifact) / "rejected.parquet").to_pylist()
    [secret] = {row["excerpt"] for row in before if SECRET in (row["excerpt"] or "")}
    redaction = take_out(project, artifact, refusal_id(secret))
    assert redaction.replaced_by is not None
    after = pq.read_table(project.store.folder(redaction.replaced_by) / "rejected.parquet").to_pylist()
    assert after == [row | {"excerpt": None} if row["excerpt"] == secret else row for row in before]


def test_a_held_out_row_loses_its_predictions_in_every_seed(project: Project) -> None:
    artifact = current(project, "eval_results", PARTITION).artifact
    folder = project.store.folder(artifact)
    before = {path.parent.name: pq.read_table(path).to_pylist() for path in folder.glob("*/rows.parquet")}
    assert before
    [id_, *_] = [row["id"] for row in next(iter(before.values())) if row["prediction"] is not None]
    redaction = take_out(project, artifact, id_)
    assert redaction.replaced_by is not None
    for name, rows in before.items():
        after = pq.read_table(project.store.folder(redaction.replaced_by) / name / "rows.parquet").to_pylist()
        assert after == [row | {"prediction": None} if row["id"] == id_ else row for row in rows]


def scan(project: Project, **forgotten: Any) -> dict[str, AffectedArtifact]:
    gone = Forgotten(**{name: frozenset(values) for name, values in forgotten.items()})
    found = ForgottenScan(project.store, read_history(project), gone).find()
    assert len(found) == len({one.artifact.version for one in found}), "each once"
    return {one.artifact.asset: one for one in found}


def one_row(split: str) -> Callable[[Project], dict[str, Any]]:
    return lambda project: {"ids": [next(row["id"] for row in instances(project) if row["split"] == split)]}


def excerpt(project: Project) -> dict[str, Any]:
    rows = pq.read_table(
        project.store.folder(current(project, "raw_tasks", "small").attachments["origins"]) / "rejected.parquet"
    )
    return {"ids": [refusal_id(text) for text in rows["excerpt"].to_pylist() if text]}


FROM_ALL_ROWS = {"raw_tasks", "prompt_embeddings"}


@pytest.mark.parametrize(
    ("forgotten", "holders"),
    [
        pytest.param(one_row("train"), {*FROM_ALL_ROWS, "task_scores"}, id="a training row"),
        pytest.param(
            one_row("validation"), {*FROM_ALL_ROWS, "eval_results", "base_model_results"}, id="a held-out row"
        ),
        pytest.param(
            lambda _: {"tasks": ["beta"]},
            {*FROM_ALL_ROWS, "task_scores", "eval_results", "base_model_results", "raw_tasks.origins"},
            id="a task",
        ),
        pytest.param(excerpt, {"raw_tasks.origins"}, id="refused rows"),
        pytest.param(lambda _: {"ids": ["ab" * 16]}, set(), id="rows of nobody"),
        pytest.param(lambda _: {"tasks": ["omega"]}, set(), id="a task of nobody"),
    ],
)
def test_what_holds_something_of_forgotten_rows(
    secret_project: Project, forgotten: Callable[[Project], dict[str, Any]], holders: set[str]
) -> None:
    given = forgotten(secret_project)
    found = scan(secret_project, **given)
    # An index is made where somebody asks for one, and holds all vectors.
    assert found.keys() - {"similarity_index"} == holders
    for asset, one in found.items():
        can_be_rewritten = asset in ("raw_tasks", "raw_tasks.origins", "eval_results", "base_model_results")
        assert one.kept == ("the other rows" if can_be_rewritten else "nothing"), asset
        assert one.current
        assert one.ids
        if "ids" in given:
            assert set(one.ids) <= set(given["ids"])


def test_what_was_taken_out_is_held_no_more(project: Project) -> None:
    id_ = next(row["id"] for row in instances(project) if row["split"] == "train")
    for one in scan(project, ids=[id_]).values():
        redact(project.store, one, ["key"])
    assert scan(project, ids=[id_]) == {}
    damages = verify(project.store, lambda _: None).damages
    assert {damage.what for damage in damages} == {"says that rows are forgotten which no tombstone names"}


def test_what_was_computed_from_rows_that_no_manifest_explains_may_hold_any_forgotten_row(
    secret_project: Project,
) -> None:
    history = read_history(secret_project)
    unexplained = replace(history, made=tuple(one for one in history.made if one.manifest.asset != "raw_tasks"))
    gone = Forgotten(ids=frozenset({"ab" * 16, "cd" * 16}))
    affected = {one.artifact.asset: one for one in ForgottenScan(secret_project.store, unexplained, gone).find()}
    assert "task_scores" in affected
    assert "prompt_embeddings" not in affected, "it lists the rows that it is of"
    assert {one.ids for one in affected.values()} == {("ab" * 16, "cd" * 16)}
