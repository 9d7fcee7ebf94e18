"""Which rows a model was trained on: audits, SQL, the audit of a model and documents all say the same."""

from collections import defaultdict

import pytest

from smart_assets.core.errors import StoreError
from smart_assets.documents.subsets import trained_subset
from smart_assets.lineage.audit.groups import shares_of
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.audit.row_uses import row_uses
from smart_assets.lineage.diff.subsets import SubsetRows
from smart_assets.lineage.history import read_history
from smart_assets.lineage.model_audit.gather import audit_by_manifests
from smart_assets.lineage.sql.connect import connect
from smart_assets.lineage.trained_rows import Training, trainings
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets_tests.support.store_of_before import unpack

Model = tuple[str, str | None, int]
"""Content version, when it was made, and seed: a version may have been made twice, from other versions of a subset."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return load_project(unpack(tmp_path_factory.mktemp("trained")))


@pytest.fixture(scope="module")
def models(project: Project) -> dict[Model, Training]:
    found = {(one.content_version, one.item.made_at, one.seed): one for one in trainings(read_history(project))}
    assert len(found) == 16
    return found


@pytest.fixture(scope="module")
def oracle(project: Project, models: dict[Model, Training]) -> dict[Model, set[str]]:
    """Read from the subsets' files without any of what is tested."""
    import pyarrow.parquet as pq

    found: dict[Model, set[str]] = {}
    for model, training in models.items():
        manifest = training.item.manifest
        version = manifest.inputs[f"selected_subset[{manifest.partition}]"]
        rows = pq.read_table(project.store.root / f"artifacts/selected_subset/{version}/subset.parquet").to_pylist()
        dropped = [row["id"] for row in manifest.summary["seeds"][str(model[2])]["dropped"]]
        assert len(dropped) <= 1
        found[model] = {row["id"] for row in rows if row["seed"] in (None, model[2])} - set(dropped)
    assert len({frozenset(ids) for ids in found.values()}) > 8, "seeds and versions are told apart"
    return found


def test_audits_say_so_row_by_row(project: Project, oracle: dict[Model, set[str]]) -> None:
    every = sorted({id_ for ids in oracle.values() for id_ in ids})
    uses = row_uses(AuditReader(project), every)
    told: defaultdict[Model, set[str]] = defaultdict(set)
    for use in uses.held:
        if use.holder.asset == "finetuned_checkpoint":
            assert use.holder.seed is not None
            told[use.holder.content_version, use.holder.made_at, use.holder.seed].add(use.id)
    assert told == oracle
    assert {use.reason for use in uses.dropped} == {"the response has no token"}


def test_shares_count_them(project: Project, oracle: dict[Model, set[str]]) -> None:
    reader = AuditReader(project)
    every = sorted({id_ for rows in oracle.values() for id_ in rows})
    for ids in (every[:3], []):
        shares = [
            share
            for share in shares_of(reader, "id IN (SELECT unnest($p0))", ids)
            if share.holder.asset == "finetuned_checkpoint"
        ]
        told = {(one.holder.content_version, one.holder.made_at, one.holder.seed): (one.rows, one.of) for one in shares}
        own = {model: (len(rows & set(ids)), len(rows)) for model, rows in oracle.items()}
        assert told == {model: counts for model, counts in own.items() if counts[0]}


def test_sql_says_so(project: Project, oracle: dict[Model, set[str]]) -> None:
    connection = connect(project, lambda _: None)
    rows = connection.execute("SELECT content_version, made_at, seed, id FROM trained_rows").fetchall()
    told: defaultdict[tuple[str, str, int], list[str]] = defaultdict(list)
    for version, made_at, seed, id_ in rows:
        told[version, made_at.isoformat(timespec="milliseconds"), seed].append(id_)
    assert {model: sorted(ids) for model, ids in told.items()} == {
        (version, str(made_at).removesuffix("+00:00"), seed): sorted(ids)
        for (version, made_at, seed), ids in oracle.items()
    }


def test_audits_of_models_documents_and_comparisons_say_so(
    project: Project, models: dict[Model, Training], oracle: dict[Model, set[str]]
) -> None:
    newest = [model for model, training in models.items() if training.item.current]
    assert len(newest) == 8
    for model in newest:
        manifest, seed = models[model].item.manifest, model[2]
        rows = audit_by_manifests(project, manifest, seed).rows
        assert set(rows.filter(rows["trained"])["id"].to_pylist()) == oracle[model]
        given = set(rows["id"].to_pylist())
        own_sets = manifest.partition is not None and manifest.partition.endswith("random")
        document = trained_subset(project, manifest, seed if own_sets else None)
        assert set(document.rows["id"].to_pylist()) == given > oracle[model] or given == oracle[model]
        assert {row["id"] for row in contents(project, manifest).of_seed(seed)} == given


def contents(project: Project, checkpoint: Manifest) -> SubsetRows:
    version = checkpoint.inputs[f"selected_subset[{checkpoint.partition}]"]
    return SubsetRows.read(project.store.artifact_folder("selected_subset", version))


def test_a_checkpoint_that_names_no_subset_has_none(project: Project, models: dict[Model, Training]) -> None:
    manifest = next(iter(models.values())).item.manifest.model_copy(update={"inputs": {}})
    with pytest.raises(StoreError, match=r"finetuned_checkpoint\[6.random\] .* names no version of selected_subset"):
        trained_subset(project, manifest, None)
