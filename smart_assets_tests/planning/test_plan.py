"""The plan: current, missing, stale, waiting and blocked, each with a reason in words. No store, no files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.assets.step import AssetPartition, DesiredState, Input
from smart_assets.planning.plan import CurrentState, PlanStep, fingerprint, input_versions, make_plan
from smart_assets.store import Artifact, Manifest

RAW, VECTORS, SCORES, REPORT = (AssetPartition(name) for name in ("raw", "vectors", "scores", "report"))
Manifests = dict[AssetPartition, Manifest]


def want(key: AssetPartition, *inputs: Input, **parameters: object) -> DesiredState:
    return DesiredState(key, inputs, parameters, "1", {"a.jsonl": "x"} if key == RAW else {})


CHAIN = (
    want(RAW),
    want(VECTORS, Input(RAW), model="mini"),
    want(SCORES, Input(VECTORS, facet="tasks")),
    want(REPORT, Input(SCORES), Input(VECTORS, optional=True)),
)


def manifest(desired: DesiredState, made: Manifests, version: str, facets: dict[str, str] | None = None) -> Manifest:
    versions = input_versions(desired, made.get)
    return Manifest(
        asset=desired.key.asset,
        partition=desired.key.partition,
        content_version=version,
        fingerprint=fingerprint(desired, versions),
        inputs=versions,
        outside=dict(desired.outside),
        parameters=dict(desired.parameters),
        code_version=desired.code_version,
        facets=facets or {},
        files=(),
    )


def all_made() -> Manifests:
    made: Manifests = {}
    for desired in CHAIN:
        made[desired.key] = manifest(desired, made, f"{desired.key}-1", {"tasks": "means-1"})
    return made


def plan(
    desired: tuple[DesiredState, ...], made: Manifests, only: set[AssetPartition] | None = None
) -> dict[str, PlanStep]:
    current_state = CurrentState(made.get, lambda manifest: manifest.content_version != "cut short")
    steps = make_plan(
        desired,
        current_state,
        frozenset(only or {item.key for item in desired}),
    )
    return {str(step.key): step for step in steps}


def statuses(desired: tuple[DesiredState, ...], made: Manifests) -> list[str]:
    return [step.status for step in plan(desired, made).values()]


def test_nothing_is_to_do_when_everything_is_as_wanted() -> None:
    assert statuses(CHAIN, all_made()) == ["current"] * 4


def test_everything_is_missing_at_first() -> None:
    steps = plan(CHAIN, {})
    assert [step.status for step in steps.values()] == ["missing"] * 4
    assert steps["vectors"].why == ("never made", "after raw")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param(DesiredState(RAW, (), {}, "2", {"a.jsonl": "x"}), "code version 1 -> 2", id="code"),
        pytest.param(DesiredState(RAW, (), {}, "1", {"a.jsonl": "y"}), "1 file changed: a.jsonl", id="file-changed"),
        pytest.param(
            DesiredState(RAW, (), {}, "1", {"a.jsonl": "x", "b.jsonl": "y"}), "1 file new: b.jsonl", id="file-new"
        ),
        pytest.param(DesiredState(RAW, (), {}, "1", {}), "1 file gone: a.jsonl", id="file-gone"),
        pytest.param(
            DesiredState(RAW, (), {"split": {"fraction": 0.1}}, "1", {"a.jsonl": "x"}),
            "split: None -> {'fraction': 0.1}",
            id="parameter",
        ),
    ],
)
def test_a_change_is_stale_with_its_reason_and_the_rest_waits(changed: DesiredState, reason: str) -> None:
    steps = plan((changed, *CHAIN[1:]), all_made())
    assert (steps["raw"].status, steps["raw"].reasons) == ("stale", (reason,))
    assert [steps[name].status for name in ("vectors", "scores", "report")] == ["waiting"] * 3


def test_an_unchanged_facet_leaves_what_depends_on_it_current() -> None:
    made = all_made()
    made[VECTORS] = manifest(CHAIN[1], made, "vectors-2", {"tasks": "means-1"})
    assert [step.status for step in plan(CHAIN, made).values()] == ["current", "current", "current", "stale"]
    assert plan(CHAIN, made)["report"].reasons == ("vectors changed",)
    made[VECTORS] = manifest(CHAIN[1], made, "vectors-3", {"tasks": "means-2"})
    assert plan(CHAIN, made)["scores"].reasons == ("vectors#tasks changed",)


class SameRows:
    """Changed files whose rows are what they were: lines that moved."""

    def rows_kept(self, desired: DesiredState) -> bool:
        return True

    def outside(self, desired: DesiredState) -> tuple[str, ...]:
        return ("the rows are the same",)

    def input(self, item: Input, before: str, now: Manifest) -> tuple[str, ...]:
        return ()

    def forgotten(self, manifest: Manifest) -> tuple[str, ...]:
        return ()


def test_moved_lines_leave_what_reads_rows_current_and_let_wait_what_reads_the_attachment() -> None:
    def with_lines(desired: DesiredState, lines: str) -> Manifest:
        attached = {"origins": Artifact(asset="raw.origins", version=lines, files=())}
        facets = {"origins": lines, "validation": "held out"}
        return manifest(desired, {}, "rows", facets).model_copy(update={"attachments": attached})

    before, moved = DesiredState(RAW, (), {}, "1", {"a.jsonl": "x"}), DesiredState(RAW, (), {}, "1", {"a.jsonl": "y"})
    chain = (
        want(VECTORS, Input(RAW)),
        want(SCORES, Input(RAW, facet="validation")),
        want(REPORT, Input(RAW), Input(RAW, facet="origins")),
    )
    made = {RAW: with_lines(before, "lines-1")}
    made |= {item.key: manifest(item, made, str(item.key)) for item in chain}

    def planned() -> dict[str, PlanStep]:
        current_state = CurrentState(made.get, lambda _: True, SameRows())  # pyright: ignore[reportArgumentType]
        steps = make_plan((moved, *chain), current_state, frozenset(made))
        return {str(step.key): step for step in steps}

    steps = planned()
    assert {name: step.status for name, step in steps.items()} == {
        "raw": "stale",
        "vectors": "current",
        "scores": "current",
        "report": "waiting",
    }
    assert steps["report"].why == ("after raw",)
    made[RAW] = with_lines(moved, "lines-2")
    steps = planned()
    assert [step.status for step in steps.values()] == ["current", "current", "current", "stale"]
    assert steps["report"].reasons == ("raw#origins changed",)


def test_a_nested_parameter_is_named_by_its_path() -> None:
    before = want(VECTORS, Input(RAW), recipe={"objective": {"redundancy_weight": 0.4}})
    after = want(VECTORS, Input(RAW), recipe={"objective": {"redundancy_weight": 0.3}})
    made = all_made()
    made[VECTORS] = manifest(before, made, "v")
    reasons = plan((CHAIN[0], after), made)["vectors"].reasons
    assert reasons == ("recipe.objective.redundancy_weight (lambda): 0.4 -> 0.3",)


def test_another_engine_of_the_orderings_is_told_as_such() -> None:
    made = all_made()
    made[VECTORS] = manifest(want(VECTORS, Input(RAW), engine="exact-1"), made, "v")
    [reason] = plan((CHAIN[0], want(VECTORS, Input(RAW), engine="exact-2")), made)["vectors"].reasons
    assert reason == "code version of the selection engine: 'exact-1' -> 'exact-2'"


def test_missing_files_are_stale() -> None:
    made = all_made()
    made[SCORES] = manifest(CHAIN[2], made, "cut short", {})
    assert plan(CHAIN, made)["scores"].reasons == ("its files are missing or cut short",)


def test_an_optional_input_is_not_waited_for_and_its_coming_is_noticed() -> None:
    made = all_made()
    del made[VECTORS]
    made[REPORT] = manifest(CHAIN[3], made, "report-1")
    made |= {VECTORS: all_made()[VECTORS]}
    assert plan(CHAIN, made)["report"].reasons == ("vectors is new",)


def test_what_cannot_be_read_blocks_only_what_was_never_made() -> None:
    broken = DesiredState(RAW, (), {}, "", problem="the folder is gone")
    assert plan((broken, *CHAIN[1:]), all_made())["raw"].reasons == ("the folder is gone",)
    assert statuses((broken, *CHAIN[1:]), all_made()) == ["blocked", "current", "current", "current"]
    assert statuses((broken, *CHAIN[1:]), {}) == ["blocked"] * 4


def test_without_its_input_in_the_selection_a_step_is_blocked() -> None:
    step = plan(CHAIN, {}, {SCORES})["scores"]
    assert (step.status, step.reasons) == ("blocked", ("needs vectors, which is not made",))


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3))
def test_equal_wishes_have_equal_fingerprints(parameters: dict[str, object]) -> None:
    one = DesiredState(RAW, (), parameters, "1")
    other = DesiredState(RAW, (), dict(reversed(parameters.items())), "1")
    assert fingerprint(one, {}) == fingerprint(other, {})
    assert fingerprint(one, {}) != fingerprint(DesiredState(RAW, (), {**parameters, "more": 1}, "1"), {})
