"""Artifacts that forgotten rows were taken out of: what a store gives in their place, and what it says of them."""

import shutil
from pathlib import Path

import pytest

from smart_assets.core.errors import StoreError
from smart_assets.store import Artifact, Store
from smart_assets.store.inventory import kept_of, name_of, recorded, redacted
from smart_assets.store.log import append, now
from smart_assets.store.redaction import Redaction, log_of
from smart_assets_tests.support.artifacts import manifest_of, write_and_commit


def redact(store: Store, artifact: Artifact, kept: Artifact | None, ids: tuple[str, ...] = ("a", "b")) -> Redaction:
    """Write down what became of an artifact, and remove it."""
    found = Redaction(
        at=now(), asset=artifact.asset, version=artifact.version, replaced_by=kept, ids=ids, because=("key",)
    )
    append(store, log_of(artifact.asset, artifact.version), found.model_dump(mode="json"))
    if store.artifact_folder(artifact.asset, artifact.version).exists():
        shutil.rmtree(store.artifact_folder(artifact.asset, artifact.version))
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store("store", tmp_path)


@pytest.fixture
def whole(store: Store) -> Artifact:
    return write_and_commit(store, {"rows": b"all rows"})


@pytest.fixture
def rest(store: Store) -> Artifact:
    return write_and_commit(store, {"rows": b"the rest"})


def test_what_is_kept_stands_in_for_what_was(store: Store, whole: Artifact, rest: Artifact) -> None:
    manifest = manifest_of(whole)
    store.record(manifest)
    assert store.what_is_kept(whole) == whole
    assert store.redaction(whole.asset, whole.version) is None
    redaction = redact(store, whole, rest)
    assert store.folder(whole) == store.artifact_folder(rest.asset, rest.version)
    assert store.file(manifest, "rows").read_bytes() == b"the rest"
    assert store.has(whole)
    assert store.is_whole(manifest)
    assert store.what_is_kept(whole) == rest
    assert store.what_became_of(whole) == redaction == store.redaction(whole.asset, whole.version)


def test_a_chain_of_redactions_is_followed(store: Store, whole: Artifact, rest: Artifact) -> None:
    less = write_and_commit(store, {"rows": b"less"})
    redact(store, whole, rest)
    redact(store, rest, less)
    assert (store.folder(whole) / "rows").read_bytes() == b"less"
    assert store.has(whole)
    shutil.rmtree(store.folder(less))
    assert not store.has(whole)


def test_what_lies_there_is_itself_whatever_a_record_says(store: Store, whole: Artifact, rest: Artifact) -> None:
    """A kill between record and removal, or the same content made again after the rows were allowed back."""
    redact(store, whole, rest)
    assert write_and_commit(store, {"rows": b"all rows"}) == whole
    assert (store.folder(whole) / "rows").read_bytes() == b"all rows"
    assert store.what_became_of(whole) is None
    assert store.what_is_kept(whole) == whole


def test_what_was_removed_as_a_whole_is_named_with_its_day_and_rows(store: Store, whole: Artifact) -> None:
    redaction = redact(store, whole, None)
    assert not store.has(whole)
    assert store.what_is_kept(whole) == whole
    with pytest.raises(StoreError, match=rf"was removed on {redaction.at:%Y-%m-%d}, since 2 rows in it are forgotten"):
        store.folder(whole)


def test_of_several_records_the_newest_counts(store: Store, whole: Artifact, rest: Artifact) -> None:
    redact(store, whole, None, ("a",))
    redact(store, whole, rest, ("a", "b"))
    assert store.what_is_kept(whole) == rest
    [(name, found)] = redacted(store).items()
    assert (name, found.replaced_by, found.ids) == (name_of(whole), rest, ("a", "b"))


def test_all_that_was_redacted_is_listed_with_what_is_kept(store: Store, whole: Artifact, rest: Artifact) -> None:
    assert redacted(store) == {}
    gone = write_and_commit(store, {"rows": b"gone"}, "subset")
    redact(store, whole, rest)
    redact(store, gone, None)
    (store.root / "redacted" / "raw_tasks" / whole.version / "notes.txt").write_text("none of ours")
    assert redacted(store).keys() == {name_of(whole), name_of(gone)}
    assert kept_of(redacted(store).values()) == {name_of(rest): rest}


def test_a_damaged_copy_is_no_longer_the_artifact_and_is_made_again(store: Store, whole: Artifact) -> None:
    (store.folder(whole) / "rows").write_bytes(b"al")
    assert not store.has(whole)
    with pytest.raises(StoreError, match="rows is missing or cut short"):
        store.folder(whole)
    assert write_and_commit(store, {"rows": b"all rows"}) == whole
    assert (store.folder(whole) / "rows").read_bytes() == b"all rows"
    assert list(store.drafts.folder.iterdir()) == []


def test_a_store_at_a_file_url_is_that_folder(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/there", tmp_path / "elsewhere")
    assert store.remote is None
    assert store.root == (tmp_path / "there").resolve()
    assert not (tmp_path / "elsewhere").exists()


def test_manifests_are_found_by_partition_version_and_place_in_time(store: Store) -> None:
    artifacts = [write_and_commit(store, {"x": content}) for content in (b"1", b"2", b"1")]
    for number, artifact in enumerate(artifacts):
        store.record(manifest_of(artifact).model_copy(update={"code_version": str(number)}))
    store.record(manifest_of(artifacts[1], "other"))
    assert [found.code_version for found in store.history("raw_tasks", "sample")] == ["2", "1", "0"]
    assert [found.code_version for found in store.history("raw_tasks", "sample", newest=2)] == ["2", "1"]
    newest = store.find("raw_tasks", "sample", artifacts[0].version)
    assert newest is not None
    assert newest.code_version == "2"
    assert store.find("raw_tasks", "sample", "0" * 32) is None
    assert store.find("raw_tasks", "nowhere", artifacts[0].version) is None
    assert store.current("raw_tasks", "nowhere") is None
    assert [folder.name for folder in store.manifest_folders()] == ["other", "sample"]


def test_manifests_are_listed_newest_first_by_asset_and_damaged_ones_with_their_problem(store: Store) -> None:
    for content in (b"1", b"2"):
        store.record(manifest_of(write_and_commit(store, {"x": content})))
    path = store.record(manifest_of(write_and_commit(store, {"x": b"3"}, "subset"), "p"))
    [raw, subset] = recorded(store)
    assert [item.manifest and item.manifest.asset for item in (*raw, *subset)] == ["raw_tasks", "raw_tasks", "subset"]
    assert raw[0].at >= raw[1].at
    assert raw[0].path.name > raw[1].path.name
    assert [item.problem for item in (*raw, *subset)] == [""] * 3
    assert recorded(store, ["subset"]) == [subset]
    assert recorded(store, []) == []
    path.write_text("{")
    [[damaged]] = recorded(store, ["subset"])
    assert damaged.manifest is None
    assert damaged.artifacts == ()
    assert damaged.problem.startswith("it cannot be read (")


def test_attachments_count_among_what_a_manifest_names(store: Store, whole: Artifact) -> None:
    origins = write_and_commit(store, {"o": b"1"}, "raw_tasks.origins")
    manifest = manifest_of(whole).model_copy(update={"attachments": {"origins": origins}})
    store.record(manifest)
    [[item]] = recorded(store)
    assert item.artifacts == (whole, origins)
    assert store.is_whole(manifest)
    shutil.rmtree(store.folder(origins))
    assert not store.is_whole(manifest)
    assert store.has(whole)


def test_one_file_of_a_remote_artifact_is_fetched_alone_and_kept(tmp_path: Path) -> None:
    url = f"memory://one-file/{tmp_path.name}"
    here, there = Store(url, tmp_path / "one"), Store(url, tmp_path / "two")
    manifest = manifest_of(write_and_commit(here, {"a": b"1", "b": b"2"}))
    here.record(manifest)
    assert there.file(manifest, "a").read_bytes() == b"1"
    assert not there.artifact_folder(manifest.asset, manifest.content_version).exists()
    assert there.remote is not None
    there.remote.remove(there.root / "artifacts")
    assert there.file(manifest, "a").read_bytes() == b"1", "it is asked for once"
    with pytest.raises(StoreError, match="is not in the remote store any more"):
        there.file(manifest, "b")


def test_a_remote_copy_counts_where_the_mirror_has_none_and_only_if_it_is_whole(tmp_path: Path) -> None:
    url = f"memory://whole/{tmp_path.name}"
    here, there = Store(url, tmp_path / "one"), Store(url, tmp_path / "two")
    artifact = write_and_commit(here, {"a": b"1", "b": b"22"})
    assert there.has(artifact)
    assert there.remote is not None
    (tmp_path / "cut").write_bytes(b"2")
    there.remote.push(there.artifact_folder(artifact.asset, artifact.version) / "b", tmp_path / "cut")
    assert not there.has(artifact)
    assert here.has(artifact), "this machine has its own"
