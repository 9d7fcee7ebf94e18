"""Logs of the store: every record stays, in the order of decisions, and what is none of them stops the reader."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from smart_assets.core.errors import StoreError
from smart_assets.store import Store, log
from smart_assets.store.log import append, now, records
from smart_assets_tests.support.disk import Disk


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(f"memory://log/{tmp_path.name}" if request.param == "remote" else "store", tmp_path)


def test_records_come_in_the_order_in_which_they_were_appended(store: Store) -> None:
    assert records(store, "decided") == []
    for number in range(5):
        append(store, "decided", {"number": number, "ä": "ß"})
    append(store, "others/of it", {"other": True})
    assert records(store, "decided") == [{"number": number, "ä": "ß"} for number in range(5)]
    assert records(store, "others/of it") == [{"other": True}]
    assert list(store.drafts.folder.iterdir()) == []


def test_a_clock_that_goes_back_or_stands_still_changes_no_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, "decided", {"number": 0})

    class Past(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(log, "datetime", Past)
    for number in range(1, 6):
        append(store, "decided", {"number": number})
    monkeypatch.undo()
    append(store, "decided", {"number": 6})
    assert [record["number"] for record in records(store, "decided")] == list(range(7))


def test_a_file_that_is_no_record_by_its_name_is_left_alone(store: Store) -> None:
    path = append(store, "decided", {"number": 0})
    notes = path.with_name("notes.txt")
    notes.write_text("{")
    if store.remote is not None:
        store.remote.push(notes)
    assert records(store, "decided") == [{"number": 0}]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read: restore it, or move it away to undo it"), ("[1]", "is no JSON object: restore it")],
    ids=["cut", "a list"],
)
def test_a_damaged_record_stops_the_reader_and_is_named(tmp_path: Path, content: str, message: str) -> None:
    store = Store("store", tmp_path)
    append(store, "decided", {"number": 0})
    path = append(store, "decided", {"number": 1})
    path.write_text(content)
    with pytest.raises(StoreError, match=rf"{path.name} {message}"):
        records(store, "decided")


def test_a_record_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    (store.root / "decided").write_text("in the way")
    with pytest.raises(StoreError, match=r"a record cannot be written in .*decided: "):
        append(store, "decided", {})
    with pytest.raises(ValueError, match="JSON"):
        append(store, "figures", {"figure": float("nan")})
    assert records(store, "figures") == []
    assert list(store.drafts.folder.iterdir()) == []


def test_a_record_is_on_the_disk_before_it_has_its_name(tmp_path: Path, disk: Disk) -> None:
    path = append(Store("store", tmp_path), "decided", {"by": "Ann"})
    named = disk.calls.index(("name", str(path)))
    assert ("sync", path.stat().st_ino) in disk.calls[:named]
    assert ("sync", path.parent.stat().st_ino) in disk.calls[named:]


def test_another_machine_reads_what_this_one_decided(tmp_path: Path) -> None:
    here, there = (Store(f"memory://log-of/{tmp_path.name}", tmp_path / name) for name in ("one", "two"))
    append(here, "decided", {"by": "Ann"})
    assert records(there, "decided") == [{"by": "Ann"}]
    append(there, "decided", {"by": "Bob"})
    assert [record["by"] for record in records(here, "decided")] == ["Ann", "Bob"]


def test_what_is_done_now_is_told_to_the_second_in_utc() -> None:
    told = now()
    assert (told.microsecond, told.tzinfo) == (0, UTC)
    assert abs((datetime.now(UTC) - told).total_seconds()) < 10
