"""The way back, held against a reading of every manifest and every subset one by one."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from smart_assets.core.errors import SmartError
from smart_assets.embedding.encoder import load_encoder
from smart_assets.lineage.audit import rows as audited_rows
from smart_assets.lineage.audit.groups import Share, audit_source, audit_task
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.audit.row_history import row_histories
from smart_assets.lineage.audit.row_uses import row_uses
from smart_assets.lineage.audit.rows import audit_row, audit_text
from smart_assets.lineage.audit.similar_rows import prompt_of_row, similar_rows
from smart_assets.lineage.sql.connect import connect
from smart_assets.settings import Project
from smart_assets.tasks.source_kind import Origin
from smart_assets_tests.support.make import current
from smart_assets_tests.support.three_runs import (
    FIRST,
    HOSTILE,
    HOSTILE_ROW,
    REASON,
    SECOND,
    TWIN,
    everything_held,
    first_tasks,
    flat,
    id_of,
    manifests,
    subset,
)


@pytest.fixture(scope="module")
def held(past_project: Project) -> list[dict[str, Any]]:
    return everything_held(past_project)


def test_every_row_is_held_where_reading_all_subsets_says(past_project: Project, held: list[dict[str, Any]]) -> None:
    expected = Counter((row["id"], row["rank"], row["gain"], row["holder"]) for row in held)
    found = row_uses(AuditReader(past_project), sorted({row["id"] for row in held}))
    assert Counter((one.id, one.rank, one.gain, flat(one.holder)) for one in found.held) == expected
    assert {one.reason for one in found.dropped} == {REASON}
    assert len({(one.id, one.holder) for one in found.dropped}) == 2 * len(
        list(manifests(past_project, "finetuned_checkpoint"))
    )
    assert not {(one.id, one.holder) for one in found.dropped} & {(one.id, one.holder) for one in found.held}
    assert {one.holder.artifact for one in found.held} == {"there"}
    budgets = {(one.holder.budget, one.holder.named) for one in found.held}
    assert budgets == {(10, True), (15, True), (20, False)}
    order = [one.holder.current for one in found.held]
    assert order == sorted(order, reverse=True), "what is current comes first"


def test_sql_says_the_same_of_checkpoints(past_project: Project, held: list[dict[str, Any]]) -> None:
    rows = connect(past_project, print).execute(
        "SELECT id, rank, gain, budget || '|' || recipe, seed, content_version, run_id, current FROM trained_rows"
    )
    trained = [row for row in held if row["holder"][0] == "finetuned_checkpoint"]
    # Of equal content made twice, SQL's key is the content, as the manifests' is.
    expected = Counter(
        (row["id"], row["rank"], row["gain"], *row["holder"][1:4], *row["holder"][5:]) for row in trained
    )
    assert Counter(rows.fetchall()) == expected


def test_where_a_row_stands_now_and_stood_before(past_project: Project) -> None:
    found = row_histories(AuditReader(past_project), [*FIRST, *SECOND])
    lines = [{id_: line for line, id_ in enumerate(rows, 1)} for rows in (FIRST, SECOND)]
    for id_, those in found.items():
        places = {one.origin for one in those}
        expected = {Origin(file="all.jsonl", line=those_lines[id_]) for those_lines in lines if id_ in those_lines}
        assert places == expected, "moved lines are places of their own"
        assert [one.current for one in those] == [True, False][: len(those)] if id_ in SECOND else [False]
        now = SECOND.get(id_) or FIRST[id_]
        assert (those[0].task, those[0].template) == (now["t"], now.get("template", ""))
    splits = pq.read_table(
        past_project.store.artifact(current(past_project, "raw_tasks", "small")) / "instances.parquet"
    ).to_pylist()
    assert {row["id"]: row["split"] for row in splits} == {id_: found[id_][0].split for id_ in SECOND}


def test_a_row_that_left_is_followed_into_the_past(past_project: Project, held: list[dict[str, Any]]) -> None:
    gone = next(row["id"] for row in held if row["id"] not in SECOND)
    found = audit_row(past_project, gone, 0.95)
    assert not found.row.held_out
    assert {one.current for one in found.row.standings} == {False}
    assert {one.holder.current for one in found.row.held_by} == {False}
    expected = Counter(row["holder"] for row in held if row["id"] == gone)
    assert Counter(flat(one.holder) for one in found.row.held_by) == expected
    assert found.compared == len({*FIRST, *SECOND}), "vectors of the past are compared too"


def test_an_exact_duplicate_is_named(past_project: Project) -> None:
    row = audit_row(past_project, TWIN, 1.0).row
    assert [(twin.origin, twin.template, twin.current) for twin in row.twins] == [
        (Origin(file="twins.jsonl", line=1), "of the twin", True)
    ]
    assert audit_row(past_project, HOSTILE_ROW, 1.0).row.twins == ()


@pytest.mark.parametrize("kind", ["task", "source"])
def test_counts_of_a_group_are_those_of_its_rows(past_project: Project, held: list[dict[str, Any]], kind: str) -> None:
    def counted(shares: tuple[Share, ...]) -> dict[tuple[Any, ...], tuple[int, int | None]]:
        return {flat(share.holder): (share.rows, share.of) for share in shares}

    of = Counter(row["holder"] for row in held)
    for name in sorted({row[kind] for row in held}):
        rows = Counter(row["holder"] for row in held if row[kind] == name)
        audit = audit_task(past_project, name) if kind == "task" else audit_source(past_project, name)
        assert counted(audit.held_by) == {holder: (count, of[holder]) for holder, count in rows.items()}
        assert audit.unknown == ()


def test_a_task_is_counted_in_its_source_now_and_before(past_project: Project) -> None:
    audit = audit_task(past_project, HOSTILE)
    sums = {(one.current, one.training + one.held_out) for one in audit.rows}
    assert sums <= {(True, 15), (False, 15)}
    [plain_now, plain_before] = audit_task(past_project, "plain").rows
    assert (plain_now.training + plain_now.held_out, plain_now.rejected, plain_now.current) == (18, 1, True)
    assert (plain_before.training + plain_before.held_out, plain_before.current) == (24, False)
    [new] = audit_task(past_project, "new task").rows
    assert (new.training + new.held_out, new.current) == (5, True)
    source = audit_source(past_project, "small")
    assert [(one.rows, one.current, one.run_id, one.artifact) for one in source.rows] == [
        (len(SECOND), True, "run-2", "there"),
        (len(FIRST), False, "run-1", "there"),
    ]
    assert source.settings is not None
    assert source.settings["license"] == "CC0"


def test_likeness_is_the_cosine_of_all_vectors(past_project: Project) -> None:
    reader = AuditReader(past_project)
    vectors: dict[str, np.ndarray] = {}
    for _, _, manifest in manifests(past_project, "prompt_embeddings"):
        folder = past_project.store.root / "artifacts" / "prompt_embeddings" / manifest["content_version"]
        ids = pq.read_table(folder / "rows.parquet")["id"].to_pylist()
        vectors |= dict(zip(ids, np.load(folder / "vectors.npy").astype(np.float64), strict=True))
    for id_ in (TWIN, HOSTILE_ROW, next(iter(FIRST))):
        prompt = prompt_of_row(reader, id_)
        assert prompt is not None
        for threshold in (0.3, 0.8, 1.0):
            expected = {other: round(float(vectors[other] @ vectors[id_]), 6) for other in vectors}
            expected = {other: min(cosine, 1.0) for other, cosine in expected.items() if cosine >= threshold}
            found = similar_rows(reader, prompt, threshold)
            assert found.cosines == expected
            assert list(found.cosines.values()) == sorted(found.cosines.values(), reverse=True)
            assert found.compared == len(vectors)


def test_a_text_finds_the_rows_that_have_it_and_those_like_it(past_project: Project) -> None:
    gone = first_tasks()[2]
    found = audit_text(past_project, gone["prompt"], 0.8)
    assert [row.id for row in found.same_prompt.rows] == [id_of(gone)]
    assert found.same_prompt.rows[0].standings[0].current is False, "the row is of the past"
    assert found.same_response.total == 0
    assert id_of(gone) not in {row.id for row in found.alike.rows}
    encoder = load_encoder(past_project.settings.embedding, "cpu")
    everything = {**FIRST, **SECOND}
    vectors = encoder.encode([row["prompt"] for row in everything.values()]).astype(np.float64)
    cosines = dict(zip(everything, vectors @ encoder.encode([gone["prompt"]])[0].astype(np.float64), strict=True))
    for row in found.alike.rows:  # in bfloat16 a vector depends on its batch by some 3e-5
        assert row.cosine == pytest.approx(cosines[row.id], abs=1e-3)
    surely = {id_ for id_, cosine in cosines.items() if cosine > 0.801 and id_ != id_of(gone)}
    assert surely <= {row.id for row in found.alike.rows} <= {id_ for id_, cosine in cosines.items() if cosine > 0.799}
    answered = audit_text(past_project, "<b>no</b>", 1.0)
    assert [row.id for row in answered.same_response.rows] == [HOSTILE_ROW]


def test_many_rows_are_counted_and_the_first_followed(past_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited_rows, "MOST_ROWS", 3)
    found = audit_row(past_project, TWIN, 0.0)
    cosines = [row.cosine for row in found.alike.rows]
    assert found.alike.total > len(cosines) == 3
    assert cosines == sorted(cosines, key=lambda cosine: -(cosine or 0))


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(
    past_project: Project, held: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for id_ in (TWIN, next(row["id"] for row in held if row["id"] not in SECOND)):
        assert audit_row(past_project, id_[:8].upper(), 1.0) == audit_row(past_project, id_, 1.0)
    monkeypatch.setattr(audited_rows, "SHORTEST_PREFIX", 1)
    [(first, _)] = Counter(id_[0] for id_ in {*FIRST, *SECOND}).most_common(1)
    with pytest.raises(SmartError, match=f"rows have ids that begin with {first}: .*; give more digits"):
        audit_row(past_project, first, 1.0)


def test_the_largest_task_budget_is_that_of_one_row_set(past_project: Project) -> None:
    for _, _, manifest in manifests(past_project, "selected_subset"):
        rows = subset(past_project, manifest["content_version"])
        counts = Counter((row["task"], row["seed"]) for row in rows)
        assert manifest["summary"]["largest task budget"] == max(counts.values())
