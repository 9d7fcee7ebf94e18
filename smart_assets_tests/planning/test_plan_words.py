"""What a plan says of a change, in words, and when it is told in rows."""

from typing import Any

import pytest

from smart_assets.assets.step import AssetPartition, DesiredState, Input
from smart_assets.planning.plan import (
    CurrentState,
    PlanStep,
    differences,
    fingerprint,
    fingerprint_of,
    input_versions,
    make_plan,
    parameter_differences,
    value_changes,
)
from smart_assets.store import Manifest

RAW, SUBSET = AssetPartition("raw_tasks", "small"), AssetPartition("selected_subset", "10|smart")
HASHES = ("a1" * 16, "b2" * 32)


def desired(
    key: AssetPartition, *inputs: Input, outside: dict[str, str] | None = None, **parameters: Any
) -> DesiredState:
    return DesiredState(key, inputs, parameters, "1", outside or {})


def manifest(item: DesiredState, made: dict[AssetPartition, Manifest] | None = None, version: str = "v1") -> Manifest:
    versions = input_versions(item, (made or {}).get)
    return Manifest(
        asset=item.key.asset,
        partition=item.key.partition,
        content_version=version,
        fingerprint=fingerprint(item, versions),
        inputs=versions,
        outside=dict(item.outside),
        parameters=dict(item.parameters),
        code_version=item.code_version,
        files=(),
    )


class Rows:
    """Tells changes in rows; `gone` are forgotten rows of what is there."""

    def __init__(self, kept: bool = False, gone: tuple[str, ...] = ()) -> None:
        self.kept, self.gone = kept, gone

    def rows_kept(self, item: DesiredState) -> bool:
        return self.kept

    def outside(self, item: DesiredState) -> tuple[str, ...]:
        return ("3 new rows",)

    def input(self, item: Input, before: str, now: Manifest) -> tuple[str, ...]:
        return (f"{item.source} has other rows",)

    def forgotten(self, manifest: Manifest) -> tuple[str, ...]:
        return self.gone


def planned(
    items: list[DesiredState], made: dict[AssetPartition, Manifest], details: Rows | None = None, whole: bool = True
) -> list[PlanStep]:
    state = CurrentState(made.get, lambda _: whole, details)  # pyright: ignore[reportArgumentType]
    return make_plan(items, state, frozenset(item.key for item in items))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param({"seed": 0}, {"seed": 1}, "seed: 0 -> 1", id="a value"),
        pytest.param({}, {"seed": 1}, "seed: None -> 1", id="a value more"),
        pytest.param({"seed": 1}, {}, "seed: 1 -> None", id="a value less"),
        pytest.param({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "a.b.c: 1 -> 2", id="deep"),
        pytest.param({"of": ["x"]}, {"of": ["x", "y"]}, "of: 'y' is new", id="longer list"),
        pytest.param({"of": ["x", "y"]}, {"of": ["y"]}, "of: 'x' is gone", id="shorter list"),
        pytest.param({"of": ["x"]}, {"of": ["y"]}, "of: 'y' is new, 'x' is gone", id="other list"),
        pytest.param({"of": ["x", "y"]}, {"of": ["y", "x"]}, "of: ['x', 'y'] -> ['y', 'x']", id="another order"),
        pytest.param({}, {"of": ["y"]}, "of: 'y' is new", id="first list"),
        pytest.param({"of": ["y"]}, {"of": None}, "of: 'y' is gone", id="list taken away"),
        pytest.param({"rows": HASHES[0]}, {"rows": HASHES[1]}, "rows changed", id="hashes"),
        pytest.param({"rows": HASHES[0]}, {"rows": "x"}, f"rows: '{HASHES[0]}' -> 'x'", id="one hash alone"),
        pytest.param({"engine": "1"}, {"engine": "2"}, "code version of the selection engine: '1' -> '2'", id="engine"),
        pytest.param(
            {"recipe": {"kind": "equal"}}, {"recipe": {"kind": "smart"}},
            "recipe `smart`: kind: 'equal' -> 'smart'", id="recipe",
        ),
        pytest.param({"x": "a" * 58}, {"x": ""}, f"x: '{'a' * 58}' -> ''", id="as long as is shown"),
        pytest.param({"x": "a" * 59}, {"x": ""}, f"x: '{'a' * 56}... -> ''", id="too long to show"),
    ],
)  # fmt: skip
def test_a_changed_parameter_in_words(before: dict[str, Any], after: dict[str, Any], words: str) -> None:
    assert parameter_differences(SUBSET, before, after) == (words,)


def test_what_is_the_same_json_is_no_change() -> None:
    same = {"a": [1, (2, 3)], "b": {"c": None}}
    assert list(value_changes(same, {"a": (1, [2, 3]), "b": {"c": None}})) == []
    assert list(value_changes({"b": 1, "a": 1}, {"b": 2, "a": 2})) == [("a", 1, 2), ("b", 1, 2)]
    assert list(value_changes({"a": {"b": 1}}, {"a": 1})) == [("a", {"b": 1}, 1)]
    assert parameter_differences(SUBSET, same, same) == ()


def test_changed_files_are_counted_and_the_first_three_named() -> None:
    before = {"b": "1", "a": "1", "gone": "1", "same": "1"}
    after = {"b": "2", "a": "2", "same": "1", **{f"new {number}": "1" for number in (4, 3, 2, 1)}}
    [step] = planned([desired(RAW, outside=after)], {RAW: manifest(desired(RAW, outside=before))})
    assert step.reasons == ("2 files changed: a, b", "4 files new: new 1, new 2, new 3, ...", "1 file gone: gone")
    three = {f"new {number}": "1" for number in (3, 2, 1)}
    [step] = planned([desired(RAW, outside=three)], {RAW: manifest(desired(RAW))})
    assert step.reasons == ("3 files new: new 1, new 2, new 3",)


def test_changed_files_are_told_in_rows_where_that_is_known_and_nothing_else_is() -> None:
    was = manifest(desired(RAW, outside={"a": "1"}))
    [step] = planned([desired(RAW, outside={"a": "2"})], {RAW: was}, Rows())
    assert step.reasons == ("1 file changed: a", "3 new rows")
    [step] = planned([desired(RAW, outside={"a": "1"}, split=1)], {RAW: was}, Rows())
    assert step.reasons == ("split: None -> 1",)
    [step] = planned([desired(RAW, outside={"a": "1"}, forgotten=["1 row"])], {RAW: was}, Rows())
    assert step.reasons == ("forgotten: '1 row' is new", "3 new rows")


def test_an_input_that_changed_came_or_went() -> None:
    raw = desired(RAW, outside={"a": "1"})
    subset = desired(SUBSET, Input(RAW))
    made = {RAW: manifest(raw)}
    made[SUBSET] = manifest(subset, made)
    later = {**made, RAW: manifest(raw, version="v2")}
    assert planned([raw, subset], later)[1].reasons == ("raw_tasks[small] changed",)
    assert planned([raw, subset], later, Rows())[1].reasons == ("raw_tasks[small] has other rows",)
    assert planned([desired(SUBSET)], made)[0].reasons == ("raw_tasks[small] is gone",)
    without = {**made, SUBSET: manifest(desired(SUBSET))}
    assert planned([raw, subset], without)[1].reasons == ("raw_tasks[small] is new",)


def test_where_nothing_tells_another_version_recorded_it() -> None:
    raw = desired(RAW)
    odd = manifest(raw).model_copy(update={"fingerprint": "another"})
    state = CurrentState({RAW: odd}.get, lambda _: True)
    assert differences(odd, raw, state) == ("it was recorded by another version of smart-assets",)
    assert planned([raw], {RAW: odd})[0].status == "stale"
    assert fingerprint_of(manifest(raw)) == manifest(raw).fingerprint != fingerprint_of(manifest(desired(RAW, more=1)))


def test_an_input_that_does_not_count_decides_nothing() -> None:
    raw, subset = desired(RAW), desired(SUBSET, Input(RAW, counts=False))
    made = {RAW: manifest(raw)}
    made[SUBSET] = manifest(subset, made)
    assert made[SUBSET].inputs == {}
    assert [step.status for step in planned([raw, subset], {**made, RAW: manifest(raw, version="v2")})] == [
        "current"
    ] * 2


@pytest.mark.parametrize(
    ("changed", "kept", "keeps"),
    [
        pytest.param({"outside": {"a": "2"}}, True, True, id="moved lines"),
        pytest.param({"outside": {"a": "2"}}, False, False, id="other rows"),
        pytest.param({"outside": {"a": "2"}, "split": 1}, True, False, id="a parameter too"),
    ],
)
def test_only_moved_lines_keep_the_content(changed: dict[str, Any], kept: bool, keeps: bool) -> None:
    raw, subset = desired(RAW, outside={"a": "1"}), desired(SUBSET, Input(RAW))
    made = {RAW: manifest(raw)}
    made[SUBSET] = manifest(subset, made)
    first, second = planned([desired(RAW, **changed), subset], made, Rows(kept))
    assert (first.status, first.keeps_content) == ("stale", keeps)
    assert (second.status, second.after) == (("current", ()) if keeps else ("waiting", (RAW,)))
    without = planned([desired(RAW, **changed), subset], made)
    assert not without[0].keeps_content, "unknown is not the same"


def test_forgotten_rows_make_what_holds_them_stale_and_not_only_waiting() -> None:
    raw, subset = desired(RAW, outside={"a": "1"}), desired(SUBSET, Input(RAW))
    made = {RAW: manifest(raw)}
    made[SUBSET] = manifest(subset, made)
    changed = desired(RAW, outside={"a": "2"})
    _, step = planned([changed, subset], made, Rows(gone=("holds 1 forgotten row",)))
    assert (step.status, step.reasons, step.after) == ("stale", ("holds 1 forgotten row",), (RAW,))
    _, step = planned([changed, subset], made, Rows())
    assert (step.status, step.reasons) == ("waiting", ())
    _, step = planned([raw, subset], made, Rows(gone=("holds 1 forgotten row",)))
    assert (step.status, step.reasons) == ("current", ()), "what is current was made without them"
    _, step = planned([raw, desired(SUBSET, Input(RAW), seed=1)], made, Rows(gone=("holds 1 forgotten row",)))
    assert (step.status, step.reasons) == ("stale", ("seed: None -> 1", "holds 1 forgotten row"))


def test_lost_files_are_made_again_after_what_they_are_made_from() -> None:
    raw, subset = desired(RAW), desired(SUBSET, Input(RAW))
    made = {RAW: manifest(raw)}
    made[SUBSET] = manifest(subset, made)
    first, second = planned([raw, subset], made, whole=False)
    assert first.why == ("its files are missing or cut short",)
    assert second.why == ("its files are missing or cut short", "after raw_tasks[small]")


def test_a_step_says_what_comes_first_and_how_many_more() -> None:
    sources = [desired(AssetPartition("raw_tasks", name)) for name in ("one", "two", "three")]
    subset = desired(SUBSET, *(Input(source.key) for source in sources), Input(sources[0].key, facet="validation"))
    *_, step = planned([*sources, subset], {})
    assert step.after == tuple(source.key for source in sources)
    assert step.why == ("never made", "after raw_tasks[one] and 2 more")
    assert PlanStep(SUBSET, "missing", ("never made",), (RAW,)).why == ("never made", "after raw_tasks[small]")
    assert PlanStep(SUBSET, "stale", ("changed",)).why == ("changed",)


@pytest.mark.parametrize(
    ("status", "to_do"),
    [("missing", True), ("stale", True), ("waiting", True), ("current", False), ("blocked", False)],
)
def test_what_a_run_takes_up(status: Any, to_do: bool) -> None:
    assert PlanStep(SUBSET, status, ()).to_do is to_do


def test_a_blocked_optional_input_blocks_nothing_and_a_blocked_one_that_was_made_is_used() -> None:
    broken = DesiredState(RAW, (), {}, "1", problem="the folder is gone")
    optional, needed = desired(SUBSET, Input(RAW, optional=True)), desired(SUBSET, Input(RAW))
    assert [step.status for step in planned([broken, optional], {})] == ["blocked", "missing"]
    assert planned([broken, needed], {})[1].reasons == ("needs raw_tasks[small], which is not made",)
    assert [step.status for step in planned([broken, needed], {RAW: manifest(desired(RAW))})] == ["blocked", "missing"]


def test_the_state_of_a_step_is_that_of_the_question() -> None:
    raw, made = desired(RAW), {RAW: manifest(desired(RAW))}
    [step] = planned([raw], made)
    assert step.state
    assert step.state == planned([raw], made)[0].state
    others = [
        planned([desired(RAW, seed=1)], made)[0],
        planned([raw], {})[0],
        planned([raw], {RAW: made[RAW].model_copy(update={"made": {"at": "later"}})})[0],
        planned([raw], {RAW: made[RAW].model_copy(update={"fingerprint": "another"})})[0],
    ]
    assert len({step.state, *(other.state for other in others)}) == 5
    [lost] = planned([raw], made, whole=False)
    assert lost.state == step.state
