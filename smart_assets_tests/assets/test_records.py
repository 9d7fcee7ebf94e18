"""Manifests as records: keys of before are read, a key that is missing is an error or told as such, never a 0."""

from collections.abc import Callable
from typing import Any

import pytest

from smart_assets.assets import catalog
from smart_assets.assets.model_records import CheckpointSummary, evaluation_costs, evaluation_records, training_costs
from smart_assets.assets.records import EmbeddingCost, OrderingCost, OverlapSummary, RawTasksCost, RawTasksSummary
from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import read_history
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances, ManifestRecord, made_at
from smart_assets_tests.support.store_of_before import unpack

SUMMARIES = {asset.name: asset.summary for asset in catalog.assets() if asset.summary is not None}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return load_project(unpack(tmp_path_factory.mktemp("records")))


def newest(project: Project, asset: str) -> Manifest:
    return next(item.manifest for item in read_history(project).of(asset))


def without(manifest: Manifest, part: str, key: str) -> Manifest:
    left = {name: value for name, value in getattr(manifest, part).items() if name != key}
    return manifest.model_copy(update={part: left})


def test_every_summary_of_before_is_written_again_as_it_was(project: Project) -> None:
    history = read_history(project)
    read = [(item.manifest, SUMMARIES.get(item.manifest.asset)) for item in history.made]
    assert {manifest.asset for manifest, kind in read if kind is None} == {"eval_results", "base_model_results"}
    assert {manifest.asset for manifest, _ in read} == set(catalog.names())
    for manifest, kind in read:
        if kind is not None:
            assert kind.read(manifest).as_kept() == manifest.summary
            assert list(kind.read(manifest).as_kept()) == list(manifest.summary), "in their order"


KEYS = [(asset, kind, name) for asset, kind in SUMMARIES.items() for name in kind.model_fields]


@pytest.mark.parametrize(("asset", "kind", "name"), KEYS, ids=lambda value: getattr(value, "__name__", value))
def test_a_missing_figure_is_an_error_or_none(
    project: Project, asset: str, kind: type[ManifestRecord], name: str
) -> None:
    field, manifest = kind.model_fields[name], newest(project, asset)
    key = field.serialization_alias or name
    if field.is_required():
        with pytest.raises(StoreError, match=f"the manifest of {asset}.* does not tell `summary.{key}` "):
            kind.read(without(manifest, "summary", key))
    else:
        assert getattr(kind.read(without(manifest, "summary", key)), name) is None


@pytest.mark.parametrize(
    ("asset", "read", "figure"),
    [
        ("raw_tasks", lambda manifest: RawTasksCost.read(manifest).rows_read, "rows read"),
        ("instance_orderings", lambda manifest: OrderingCost.read(manifest).rows_ordered, "rows ordered"),
        ("raw_tasks", lambda manifest: Circumstances.read(manifest).seconds, "seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cost_that_was_not_recorded_is_none(
    project: Project, asset: str, read: Callable[[Manifest], Any], figure: str
) -> None:
    manifest = newest(project, asset)
    assert read(manifest) is not None
    assert read(without(manifest, "made", figure)) is None


def test_what_must_be_told_names_the_manifest_and_the_key(project: Project) -> None:
    embeddings, rows = newest(project, "prompt_embeddings"), newest(project, "raw_tasks")
    with pytest.raises(
        StoreError, match=r"prompt_embeddings\[small\] in version f124d0c8b1bf .*`made.prompts embedded`"
    ):
        EmbeddingCost.read(without(embeddings, "made", "prompts embedded"))
    with pytest.raises(StoreError, match=r"raw_tasks 8f29a4a0ad2f does not tell `made.at`"):
        made_at(without(rows, "made", "at"))
    wrong = rows.model_copy(update={"summary": {**rows.summary, "training rows": "many"}})
    with pytest.raises(StoreError, match=r"`summary.training rows` \(Input should be a valid integer"):
        RawTasksSummary.read(wrong)


def test_seeds_are_numbers_however_they_were_kept(project: Project) -> None:
    checkpoint, evaluation = newest(project, "finetuned_checkpoint"), newest(project, "eval_results")
    assert [key for key in checkpoint.made if key.startswith("seed")] == ["seed 0", "seed 1"], "as earlier versions did"
    costs = training_costs(checkpoint)
    kept_now = {key: value for key, value in checkpoint.made.items() if not key.startswith("seed")}
    kept_now |= {f"seed-{seed}": cost.as_kept() for seed, cost in costs.items()}
    assert training_costs(checkpoint.model_copy(update={"made": kept_now})) == costs
    assert [cost.tokens_trained for cost in costs.values()] == [200, 200]
    assert (
        list(costs) == list(CheckpointSummary.read(checkpoint).seeds) == list(evaluation_records(evaluation)) == [0, 1]
    )
    assert list(evaluation_costs(evaluation)) == [0, 1]
    assert list(evaluation_costs(newest(project, "base_model_results"))) == [None]


def test_what_a_record_does_not_know_is_kept(project: Project) -> None:
    overlap = newest(project, "evaluation_overlap")
    later = overlap.model_copy(update={"summary": {**overlap.summary, "of a later version": [1]}})
    assert OverlapSummary.read(later).as_kept() == later.summary
