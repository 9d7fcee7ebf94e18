"""What was written outside the store: which of it holds forgotten rows, and what becomes of it."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.forgetting.exports import LOG, Export, Exported, exports_with, remember_export
from smart_assets.lineage.history import History, Materialization
from smart_assets.store import Store
from smart_assets.store.log import append, records
from smart_assets.tasks.tombstones import TombstoneRecord, Tombstones
from smart_assets_tests.support.artifacts import manifest_of

EXPORTED = datetime(2026, 5, 4, tzinfo=UTC)
BEFORE, AFTER = EXPORTED - timedelta(days=1), EXPORTED + timedelta(days=1)


def tombstone(at: datetime, ids: Sequence[str] = ("a",)) -> TombstoneRecord:
    return TombstoneRecord(at=at, action="forget", who="Ann", ids=tuple(ids))


class Written:
    """A store with a subset of the rows a and b, and exports of it or of all rows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store("store", folder)
        with self.store.draft() as draft:
            (draft / "content").mkdir()
            pq.write_table(pa.table({"id": ["a", "b"], "task": ["alpha", "beta"]}), draft / "content/subset.parquet")
            self.subset = self.store.commit("selected_subset", draft / "content")
        self.history = History((Materialization(manifest_of(self.subset, "20|smart"), True, True),), ())

    def export(self, name: str = "out.jsonl", whole: bool = False, at: datetime = EXPORTED, **more: Any) -> Path:
        path = self.folder / name
        path.write_text(name)
        remember_export(self.store, path, None if whole else self.subset.version)
        [*_, record] = records(self.store, LOG)
        append(self.store, LOG, {**record, "at": at.isoformat(), **more})
        return path

    def found(self, *tombstones: TombstoneRecord) -> list[tuple[str, str]]:
        project: Any = SimpleNamespace(store=self.store)
        found = exports_with(project, self.history, Tombstones(tombstones))
        return [(Path(one.export.path).name, one.state) for one in found]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.mark.parametrize(
    ("at", "ids", "told"),
    [
        pytest.param(AFTER, ["a"], True, id="a row of it, later"),
        pytest.param(EXPORTED, ["a"], True, id="in the same second"),
        pytest.param(BEFORE, ["a"], False, id="it was written without the row"),
        pytest.param(AFTER, ["x"], False, id="no row of it"),
        pytest.param(AFTER, ["x", "b"], True, id="one of several rows"),
    ],
)
def test_an_export_of_a_subset_holds_what_was_forgotten_since(
    written: Written, at: datetime, ids: list[str], told: bool
) -> None:
    written.export()
    assert written.found(tombstone(at, ids)) == [("out.jsonl", "as written")] * told


def test_an_export_of_all_rows_holds_them_until_they_are_out_of_the_store(written: Written) -> None:
    written.export(whole=True)
    early = tombstone(BEFORE, ["nobody knows"])
    removed = {"action": "removed", "who": "Ann", "of": (early.key,)}
    assert written.found(early) == [("out.jsonl", "as written")]
    gone_before = TombstoneRecord.model_validate({**removed, "at": EXPORTED - timedelta(hours=1)})
    assert written.found(early, gone_before) == []
    gone_after = TombstoneRecord.model_validate({**removed, "at": AFTER})
    assert written.found(early, gone_after) == [("out.jsonl", "as written")]


def test_an_export_whose_subset_is_gone_may_hold_anything(written: Written) -> None:
    written.export(subset="0" * 32)
    assert written.found(tombstone(AFTER, ["x"])) == [("out.jsonl", "as written")]
    assert written.found(tombstone(BEFORE, ["x"])) == []


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda path: None, "as written"),
        (lambda path: path.write_text("changed"), "changed since"),
        (lambda path: path.unlink(), None),
    ],
    ids=["as written", "changed", "gone"],
)
def test_what_became_of_a_file(written: Written, change: Any, state: str | None) -> None:
    change(written.export())
    assert written.found(tombstone(AFTER)) == ([("out.jsonl", state)] if state else [])


def test_an_export_of_another_machine_is_named_whether_or_not_there_is_such_a_file_here(written: Written) -> None:
    written.export(machine=f"not {platform.node()}").unlink()
    assert written.found(tombstone(AFTER)) == [("out.jsonl", "on another machine")]


def test_of_a_folder_that_lost_a_file_the_rest_is_named_as_changed(written: Written) -> None:
    folder = written.folder / "documents"
    (folder / "sub").mkdir(parents=True)
    for name in ("one", "sub/two"):
        (folder / name).write_text(name)
    (folder / "link").symlink_to("one")
    remember_export(written.store, folder, written.subset.version)
    [record] = records(written.store, LOG)
    assert record["files"].keys() == {"one", "sub/two"}
    later = tombstone(datetime.now(UTC) + timedelta(days=1))
    assert written.found(later) == [("documents", "as written")]
    (folder / "sub" / "two").unlink()
    assert written.found(later) == [("documents", "changed since")]


def test_of_two_exports_to_one_place_the_last_counts_and_two_places_count_both(written: Written) -> None:
    written.export("one", at=EXPORTED)
    written.export("one", at=EXPORTED + timedelta(days=3))
    written.export("two", at=EXPORTED)
    assert written.found(tombstone(AFTER)) == [("two", "as written")]


def export_of(path: Path, *names: str) -> Exported:
    export = Export(at=EXPORTED, machine="m", path=str(path), files=dict.fromkeys(names, "0"))
    return Exported(export, "as written")


def test_a_folder_goes_with_its_files_and_stays_with_somebody_else_s(tmp_path: Path) -> None:
    for name in ("own", "shared"):
        (tmp_path / name / "a" / "b").mkdir(parents=True)
        for file in ("x", "a/y", "a/b/z"):
            (tmp_path / name / file).write_text("x")
    (tmp_path / "shared" / "a" / "notes").write_text("mine")
    for name in ("own", "shared"):
        export_of(tmp_path / name, "x", "a/y", "a/b/z").remove()
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]
    assert sorted(path.name for path in (tmp_path / "shared").rglob("*")) == ["a", "notes"]


def test_a_single_file_goes_and_its_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "out.jsonl").write_text("x")
    export_of(tmp_path / "there" / "out.jsonl", "").remove()
    assert list((tmp_path / "there").iterdir()) == []
    export_of(tmp_path / "there" / "out.jsonl", "").remove()
