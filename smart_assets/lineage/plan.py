"""The plan: which partitions are out of date, and why in words. A pure function of manifests and the wanted state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from smart_assets.pipeline.step import AssetPartition, Wanted
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version

Status = Literal["current", "missing", "stale", "waiting", "blocked"]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One partition and what is to be done about it.

    `waiting` means that an input is out of date: whether this partition changes shows when that input is made.
    `blocked` means that it cannot be made now; the reason says what to do.
    """

    key: AssetPartition
    status: Status
    reasons: tuple[str, ...]
    after: tuple[AssetPartition, ...] = ()  # inputs that are to be made first
    state: str = ""  # a hash of what is there and what is wanted: the same question asked twice has the same one

    @property
    def to_do(self) -> bool:
        """Whether a run of the plan takes this partition up."""
        return self.status in ("missing", "stale", "waiting")


def fingerprint(wanted: Wanted, versions: Mapping[str, str]) -> str:
    """The hash of all that decides a partition's content; `versions` are its inputs' as `Input` -> version."""
    return json_version(
        {
            "inputs": dict(versions),
            "outside": dict(wanted.outside),
            "parameters": dict(wanted.parameters),
            "code": wanted.code_version,
        }
    )


def input_versions(wanted: Wanted, current: Callable[[AssetPartition], Manifest | None]) -> dict[str, str]:
    """The versions of those inputs that count and are there."""
    found = ((item, current(item.source)) for item in wanted.inputs if item.counts)
    return {str(item): item.version(manifest) for item, manifest in found if manifest is not None}


@dataclass(frozen=True, slots=True)
class Present:
    """What is there: the newest manifest of a partition, and whether a manifest's files still are."""

    current: Callable[[AssetPartition], Manifest | None]
    whole: Callable[[Manifest], bool]


def make_plan(wanted: Sequence[Wanted], present: Present, only: frozenset[AssetPartition]) -> list[PlanStep]:
    """Compare what is there with what is wanted.

    Args:
        wanted: every partition of the project, inputs before what is made from them.
        present: what is there.
        only: the partitions that the run may make; the others count as they stand.
    """
    steps: dict[AssetPartition, PlanStep] = {}
    for item in wanted:
        if item.key in only:
            steps[item.key] = _step(item, present, steps)
    return list(steps.values())


def _step(wanted: Wanted, present: Present, above: Mapping[AssetPartition, PlanStep]) -> PlanStep:
    current = present.current
    if wanted.problem is not None:
        return PlanStep(wanted.key, "blocked", (wanted.problem,))
    planned = {item: above[item.source] for item in wanted.inputs if item.source in above}
    blocked = [item for item, step in planned.items() if step.status == "blocked" and not item.optional]
    absent = [
        item
        for item in wanted.inputs
        if not item.optional and current(item.source) is None and not (item in planned and planned[item].to_do)
    ]
    # What is there already can still be used while its own source is in trouble.
    lacking = [item for item in absent if item not in blocked] + [i for i in blocked if current(i.source) is None]
    if lacking:
        return PlanStep(wanted.key, "blocked", tuple(f"needs {item.source}, which is not made" for item in lacking))
    manifest = current(wanted.key)
    after = tuple(item.source for item, step in planned.items() if step.to_do)
    print_ = fingerprint(wanted, input_versions(wanted, current))
    state = json_version([print_, [manifest.fingerprint, manifest.made] if manifest else None])
    pending = tuple(f"{source} is made first" for source in after)
    if manifest is None:
        return PlanStep(wanted.key, "missing", ("never made", *pending), after, state)
    if manifest.fingerprint != print_:
        reasons = (*differences(manifest, wanted, current), *pending)
        return PlanStep(wanted.key, "stale", reasons, after, state)
    if not present.whole(manifest):
        return PlanStep(wanted.key, "stale", ("its files are missing or cut short", *pending), after, state)
    return PlanStep(wanted.key, "waiting" if pending else "current", pending, after, state)


def differences(
    manifest: Manifest, wanted: Wanted, current: Callable[[AssetPartition], Manifest | None]
) -> tuple[str, ...]:
    """Why a partition is stale, in words: code, parameters, files outside, inputs."""
    reasons: list[str] = []
    if manifest.code_version != wanted.code_version:
        reasons.append(f"code version {manifest.code_version} -> {wanted.code_version}")
    reasons += [
        f"{path}: {_brief(before)} -> {_brief(after)}"
        for path, before, after in _changes(manifest.parameters, dict(wanted.parameters))
    ]
    reasons += _file_changes(manifest.outside, wanted.outside)
    now = input_versions(wanted, current)
    reasons += [f"{name} changed" for name in now if name in manifest.inputs and manifest.inputs[name] != now[name]]
    reasons += [f"{name} is new" for name in now if name not in manifest.inputs]
    reasons += [f"{name} is gone" for name in manifest.inputs if name not in now]
    return tuple(reasons)


def _file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    changed = [name for name in after if name in before and before[name] != after[name]]
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    for names, verb in ((changed, "changed"), (added, "new"), (removed, "gone")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            yield f"{len(names)} file{'s' if len(names) > 1 else ''} {verb}: {shown}"


def _changes(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif json_version(before) != json_version(after):  # tuples and lists are the same JSON
        yield path, before, after


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
