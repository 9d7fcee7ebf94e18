"""What a plan reads of subsets, from a store made by hand: forgotten rows in them, and rows that others replaced."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.step import AssetPartition
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.store import Manifest, Store
from smart_assets.tasks.tombstones import TombstoneRecord, write_record
from smart_assets_tests.support.artifacts import manifest_of

PARTITION = "20|smart"
SUBSET = AssetPartition("selected_subset", PARTITION)


def changed_rows(store: Store) -> ChangedRows:
    return ChangedRows(cast(Any, SimpleNamespace(store=store)), lambda _: None)


def write_subset(store: Store, *rows: tuple[str, str, int]) -> Manifest:
    """A version of the subset with rows of (id, task, seed)."""
    with store.draft() as draft:
        (draft / "content").mkdir()
        names = ("id", "task", "seed")
        table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
        pq.write_table(table, draft / "content" / "subset.parquet")
        manifest = manifest_of(store.commit("selected_subset", draft / "content"), PARTITION)
    store.record(manifest)
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store("store", tmp_path)


def forget(store: Store, action: Any = "forget", **what: Any) -> TombstoneRecord:
    record = TombstoneRecord(at=datetime(2026, 5, 4, tzinfo=UTC), action=action, who="Ann", **what)
    write_record(store, record)
    return record


def test_forgotten_rows_of_a_subset_are_counted_once_whatever_seeds_draw_them(store: Store) -> None:
    subset = write_subset(store, ("a", "alpha", 0), ("a", "alpha", 1), ("b", "beta", 0), ("c", "beta", 1))
    assert changed_rows(store).forgotten(subset) == ()
    first = forget(store, ids=("a", "x"))
    assert changed_rows(store).forgotten(subset) == ("holds 1 forgotten row",)
    forget(store, task="beta")
    assert changed_rows(store).forgotten(subset) == ("holds 3 forgotten rows",)
    forget(store, "undo", of=(first.key,))
    assert changed_rows(store).forgotten(subset) == ("holds 2 forgotten rows",)


def test_a_checkpoint_is_asked_about_the_subset_that_it_was_trained_on(store: Store) -> None:
    before = write_subset(store, ("a", "alpha", 0), ("b", "beta", 0))
    write_subset(store, ("b", "beta", 0))
    forget(store, ids=("a",))
    inputs = {str(SUBSET): before.content_version}
    trained = before.model_copy(update={"asset": "finetuned_checkpoint", "content_version": "c", "inputs": inputs})
    assert changed_rows(store).forgotten(trained) == ("was trained on 1 forgotten row",)
    assert changed_rows(store).forgotten(trained.model_copy(update={"inputs": {}})) == ()
    assert changed_rows(store).forgotten(trained.model_copy(update={"inputs": {str(SUBSET): "gone"}})) == ()
    assert changed_rows(store).forgotten(trained.model_copy(update={"asset": "eval_results"})) == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("ab", "ab", (0, 2), id="the same"),
        pytest.param("ab", "ac", (1, 2), id="one for another"),
        pytest.param("ab", "abcd", (2, 4), id="more rows"),
        pytest.param("abcd", "ax", (3, 4), id="fewer rows"),
    ],
)
def test_replaced_rows_are_the_larger_of_what_came_and_went(
    store: Store, before: str, after: str, expected: tuple[int, int]
) -> None:
    old = write_subset(store, *((id_, "alpha", 0) for id_ in before))
    new = write_subset(store, *((id_, "alpha", 0) for id_ in after))
    assert changed_rows(store).replaced(SUBSET, old.content_version, new) == expected
    assert changed_rows(store).replaced(SUBSET, "gone", new) is None


def test_a_row_of_another_seed_is_another(store: Store) -> None:
    old, new = (write_subset(store, ("a", "alpha", seed)) for seed in (0, 1))
    assert changed_rows(store).replaced(SUBSET, old.content_version, new) == (1, 1)
