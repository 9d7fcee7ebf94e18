"""The log of tombstones: what holds, what is final, and which tombstone a row is told by; without any project."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from smart_assets.core.errors import StoreError
from smart_assets.store import Store
from smart_assets.store.log import append
from smart_assets.tasks.forgotten import NOTHING, Forgotten, refusal_id, text_id
from smart_assets.tasks.tombstones import LOG, TombstoneRecord, Tombstones, read_tombstones, write_record

DAY = datetime(2026, 5, 4, 12, tzinfo=UTC)


def record(number: int, action: Any = "forget", **more: Any) -> TombstoneRecord:
    """The record of a day; each day has one."""
    return TombstoneRecord(at=DAY + timedelta(days=number), action=action, who="Ann", **more)


ROWS = record(0, ids=("a", "b"), texts=("text a",), sources=("small", "large"))
TASK = record(1, task="beta", ids=("b", "c"), sources=("small",))
UNDONE = record(2, ids=("d",), texts=("text d",), task="delta", sources=("large",))
UNDO = record(3, "undo", of=(UNDONE.key,), sources=("large",))
REMOVED = record(4, "removed", of=(ROWS.key, TASK.key))
LATER = record(5, ids=("e",), sources=("small",))
ALL = Tombstones((ROWS, TASK, UNDONE, UNDO, REMOVED, LATER))


def test_what_was_not_undone_holds() -> None:
    assert ALL.active == (ROWS, TASK, LATER)
    assert ALL.forgotten == Forgotten(frozenset({"a", "b", "c", "e"}), frozenset({"beta"}), frozenset({"text a"}))
    assert Tombstones(()).forgotten == NOTHING
    assert not NOTHING
    for some in (Forgotten(ids=frozenset("a")), Forgotten(tasks=frozenset("a")), Forgotten(texts=frozenset("a"))):
        assert some


def test_undoing_names_single_tombstones_of_several() -> None:
    both = record(6, "undo", of=(ROWS.key, TASK.key))
    assert Tombstones((ROWS, TASK, LATER, both)).active == (LATER,)


def test_what_was_removed_is_final_from_then_on() -> None:
    assert ALL.final == {ROWS.key, TASK.key}
    assert ALL.removed_before(REMOVED.at + timedelta(seconds=1)) == {ROWS.key, TASK.key}
    assert ALL.removed_before(REMOVED.at) == frozenset(), "what is written in the same second may still hold the rows"
    assert ALL.removed_before(REMOVED.at - timedelta(seconds=1)) == frozenset()


def test_a_row_is_told_by_its_own_tombstone_first_and_by_the_oldest() -> None:
    ids, tasks = ["a", "b", "c", "d", "e", "x", "y"], ["beta", "alpha", "alpha", "delta", "alpha", "beta", "alpha"]
    assert ALL.of(ids, tasks) == [ROWS, ROWS, TASK, None, LATER, TASK, None]
    with pytest.raises(ValueError, match="shorter"):
        ALL.of(["a"], [])


def test_of_two_tombstones_of_a_task_the_older_one_tells() -> None:
    again = record(7, task="beta")
    assert Tombstones((TASK, again)).of(["x"], ["beta"]) == [TASK]


def test_a_source_is_told_of_its_own_records_alone_with_their_days() -> None:
    assert ALL.parameter("small") == [
        f"2 rows on 2026-05-04 ({ROWS.key})",
        f"task 'beta' (2 rows) on 2026-05-05 ({TASK.key})",
        f"1 row on 2026-05-09 ({LATER.key})",
    ]
    assert ALL.parameter("large") == [
        f"2 rows on 2026-05-04 ({ROWS.key})",
        f"task 'delta' (1 row) on 2026-05-06 ({UNDONE.key})",
        f"{UNDONE.key} undone on 2026-05-07 ({UNDO.key})",
    ]
    assert ALL.parameter("other") == ALL.parameter(None) == []


def test_a_key_tells_records_apart_by_all_that_they_say() -> None:
    assert len({one.key for one in ALL.records}) == 6
    assert ROWS.key != TombstoneRecord.model_validate(ROWS.model_dump() | {"who": "Bob"}).key
    assert len(ROWS.key) == 12


def test_the_log_is_read_as_it_was_written_oldest_first(tmp_path: Path) -> None:
    store = Store("store", tmp_path)
    assert read_tombstones(store).records == ()
    for one in ALL.records:
        write_record(store, one)
    assert read_tombstones(store) == ALL


@pytest.mark.parametrize(
    "damaged",
    [
        {"action": "forget"},
        {**ROWS.model_dump(mode="json"), "action": "forgive"},
        {**ROWS.model_dump(mode="json"), "more": 1},
    ],
    ids=["cut", "of another kind", "of a later version"],
)
def test_a_record_that_is_none_stops_everything(tmp_path: Path, damaged: dict[str, Any]) -> None:
    store = Store("store", tmp_path)
    write_record(store, ROWS)
    append(store, LOG, damaged)
    write_record(store, LATER)
    with pytest.raises(StoreError, match="is none of ours: restore it"):
        read_tombstones(store)


def test_rows_are_covered_by_id_or_task_and_a_refused_row_without_either_is_not() -> None:
    gone = Forgotten(frozenset({"a"}), frozenset({"beta"}))
    ids = pa.chunked_array([["a", "a", "b"], ["b", None, None, None]], pa.string())
    tasks = pa.chunked_array([["alpha", "beta", "beta"], ["alpha", "beta", None, "alpha"]], pa.string())
    assert gone.covers(ids, tasks).to_pylist() == [True, True, True, False, True, False, False]
    assert NOTHING.covers(ids, tasks).to_pylist() == [False] * 7


def test_what_a_row_says_has_one_hash_whatever_its_task_and_borders_count() -> None:
    said = [text_id("ab", "c", None), text_id("a", "bc", None), text_id("ab", "c", "[]"), refusal_id("ab")]
    assert len(set(said)) == 4
    assert text_id("ab", "c", None) == text_id("ab", "c", "")
    assert all(len(value) == 32 for value in said)
