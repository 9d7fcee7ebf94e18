"""The plan: which partitions are out of date, and why in words. A pure function of the current and desired states."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from smart_assets.assets.step import AssetPartition, DesiredState, Input, split_grid_key
from smart_assets.planning.changed_rows import ChangedRows
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version
from smart_assets.tasks.source_kind import REVISION

_TEXTS_ONCE = "texts that stand under several tasks are taken once"
_HASH = re.compile(r"[0-9a-f]{32,64}")

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
    keeps_content: bool = False  # only what lies outside its data version is made anew, such as moved lines' origins
    state: str = ""  # a hash of what is there and what is desired: the same question asked twice has the same one

    @property
    def to_do(self) -> bool:
        """Whether a run of the plan takes this partition up."""
        return self.status in ("missing", "stale", "waiting")

    @property
    def why(self) -> tuple[str, ...]:
        """The reasons, and what is made first."""
        more = f" and {len(self.after) - 1} more" if len(self.after) > 1 else ""
        return (*self.reasons, f"after {self.after[0]}{more}") if self.after else self.reasons


def fingerprint(desired: DesiredState, versions: Mapping[str, str]) -> str:
    """Return the hash of all that decides a partition's content; `versions` are its inputs' as `Input` -> version."""
    return json_version(
        {
            "inputs": dict(versions),
            "outside": dict(desired.outside),
            "parameters": dict(desired.parameters),
            "code": desired.code_version,
        }
    )


def fingerprint_of(manifest: Manifest) -> str:
    """Return the fingerprint that a manifest's own words give.

    Another than it names means that somebody changed them.
    """
    return json_version(
        {
            "inputs": manifest.inputs,
            "outside": manifest.outside,
            "parameters": manifest.parameters,
            "code": manifest.code_version,
        }
    )


def input_versions(desired: DesiredState, current: Callable[[AssetPartition], Manifest | None]) -> dict[str, str]:
    """Return the versions of those inputs that count and are there."""
    inputs = ((item, current(item.source)) for item in desired.inputs if item.counts)
    return {str(item): item.version(manifest) for item, manifest in inputs if manifest is not None}


@dataclass(frozen=True, slots=True)
class CurrentState:
    """What is there: the newest manifest of a partition, whether a manifest's files still are, and what changed."""

    current: Callable[[AssetPartition], Manifest | None]
    whole: Callable[[Manifest], bool]
    details: ChangedRows | None = None  # without it a change is told in versions, not in rows


def make_plan(
    desired: Sequence[DesiredState], current_state: CurrentState, only: frozenset[AssetPartition]
) -> list[PlanStep]:
    """Compare what is there with what is desired.

    Args:
        desired: every partition of the project, inputs before what is made from them.
        current_state: what is there.
        only: the partitions that the run may make; the others count as they stand.
    """
    steps: dict[AssetPartition, PlanStep] = {}
    for item in desired:
        if item.key in only:
            steps[item.key] = _step(item, current_state, steps)
    return list(steps.values())


def _step(desired: DesiredState, current_state: CurrentState, above: Mapping[AssetPartition, PlanStep]) -> PlanStep:
    current = current_state.current
    if desired.problem is not None:
        return PlanStep(desired.key, "blocked", (desired.problem,))
    planned = {item: above[item.source] for item in desired.inputs if item.source in above}
    blocked = [item for item, step in planned.items() if step.status == "blocked" and not item.optional]
    absent = [
        item
        for item in desired.inputs
        if not item.optional and current(item.source) is None and not (item in planned and planned[item].to_do)
    ]
    # What is there already can still be used while its own source is in trouble.
    lacking = [item for item in absent if item not in blocked] + [i for i in blocked if current(i.source) is None]
    if lacking:
        return PlanStep(desired.key, "blocked", tuple(f"needs {item.source}, which is not made" for item in lacking))
    manifest = current(desired.key)
    held = (item.source for item, step in planned.items() if step.to_do and not _kept(item, step, current))
    after = tuple(dict.fromkeys(held))
    print_ = fingerprint(desired, input_versions(desired, current))
    state = json_version([print_, [manifest.fingerprint, manifest.made] if manifest else None])
    if manifest is None:
        return PlanStep(desired.key, "missing", ("never made",), after, state=state)
    stands = manifest.fingerprint == print_
    forgotten = current_state.details.forgotten(manifest) if current_state.details and (after or not stands) else ()
    if not stands:
        reasons = (*differences(manifest, desired, current_state), *forgotten)
        return PlanStep(desired.key, "stale", reasons, after, _keeps_content(manifest, desired, current_state), state)
    if not current_state.whole(manifest):
        return PlanStep(desired.key, "stale", ("its files are missing or cut short",), after, state=state)
    status: Status = "current" if not after else "stale" if forgotten else "waiting"
    return PlanStep(desired.key, status, forgotten if after else (), after, state=state)


def _keeps_content(manifest: Manifest, desired: DesiredState, current_state: CurrentState) -> bool:
    """Return whether making a partition anew can only change what lies outside its data version."""
    before = replace(desired, outside=manifest.outside)
    only_outside = manifest.fingerprint == fingerprint(before, input_versions(desired, current_state.current))
    return only_outside and current_state.details is not None and current_state.details.rows_kept(desired)


def _kept(item: Input, step: PlanStep, current: Callable[[AssetPartition], Manifest | None]) -> bool:
    """Return whether an input's step leaves what counts of it as it is: an attachment lies outside the data version."""
    manifest = current(item.source)
    return step.keeps_content and manifest is not None and item.facet not in manifest.attachments


def differences(manifest: Manifest, desired: DesiredState, current_state: CurrentState) -> tuple[str, ...]:
    """Return why a partition is stale, in words: code, parameters, files outside, inputs.

    In rows where details tell.
    """
    details = current_state.details
    reasons: list[str] = []
    if manifest.code_version != desired.code_version:
        reasons.append(f"code version {manifest.code_version} -> {desired.code_version}")
    reasons += parameter_differences(desired.key, manifest.parameters, desired.parameters)
    outside = list(_file_changes(manifest.outside, desired.outside))
    if details is not None and (outside or manifest.parameters.get("forgotten") != desired.parameters.get("forgotten")):
        outside += details.outside(desired)
    reasons += outside
    now = {
        str(item): (item, made)
        for item in desired.inputs
        if item.counts and (made := current_state.current(item.source))
    }
    for name, (item, made) in now.items():
        before = manifest.inputs.get(name)
        if before is None:
            reasons.append(f"{name} is new")
        elif before != item.version(made):
            words = details.input(item, before, made) if details is not None else ()
            reasons += words or (f"{name} changed",)
    reasons += [f"{name} is gone" for name in manifest.inputs if name not in now]
    return tuple(reasons) or ("it was recorded by another version of smart-assets",)


def parameter_differences(key: AssetPartition, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells two states of a partition's parameters apart, in words; none where nothing does."""
    changes = value_changes(dict(before), dict(after))
    return tuple(_parameter_words(key, path, old, new) for path, old, new in changes)


def _parameter_words(key: AssetPartition, path: str, before: Any, after: Any) -> str:
    """Return a changed parameter in words; one of a recipe is named by the recipe."""
    if path == "names" and key.asset == "raw_tasks":
        return "tasks or columns that the names of files give changed"
    if path.startswith("recipe.") and key.partition is not None:
        path = f"recipe `{split_grid_key(key.partition)[1]}`: {path.removeprefix('recipe.')}"
    path = {"engine": "code version of the selection engine", "texts_once": _TEXTS_ONCE}.get(path, path)
    path = path.replace("redundancy_weight", "redundancy_weight (lambda)")
    if isinstance(before, list | None) and isinstance(after, list | None):
        before, after = before or [], after or []
        added = [f"{_brief(value)} is new" for value in after if value not in before]
        removed = [f"{_brief(value)} is gone" for value in before if value not in after]
        if added or removed:
            return f"{path}: {', '.join(added + removed)}"
    if all(isinstance(value, str) and _HASH.fullmatch(value) for value in (before, after)):
        return f"{path} changed"
    return f"{path}: {_brief(before)} -> {_brief(after)}"


def _file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    changed = [name for name in after if name in before and before[name] != after[name]]
    if REVISION in changed:  # of a source that is not read file by file
        changed.remove(REVISION)
        yield f"another revision: {before[REVISION][:12]} -> {after[REVISION][:12]}"
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    for names, verb in ((changed, "changed"), (added, "new"), (removed, "gone")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            yield f"{len(names)} file{'s' if len(names) > 1 else ''} {verb}: {shown}"


def value_changes(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, earlier and later value of whatever differs between two JSON values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from value_changes(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif json_version(before) != json_version(after):  # tuples and lists are the same JSON
        yield path, before, after


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
