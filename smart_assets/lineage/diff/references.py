"""Names of subsets and checkpoints, current or past: `400|smart`, `400|smart@VERSION`, or a version alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from smart_assets.assets import finetuned_checkpoint, selected_subset
from smart_assets.assets.step import grid_key, split_grid_key
from smart_assets.core.errors import SmartError
from smart_assets.store import Manifest, Store

SUBSET, CHECKPOINT = selected_subset.NAME, finetuned_checkpoint.NAME
KINDS = {SUBSET: "subset", CHECKPOINT: "checkpoint"}
_FORM = re.compile(r"(?:(?P<budget>[0-9]{1,18})[|/](?P<recipe>[^|/@]+))?(?P<at>@)?(?P<version>[0-9a-fA-F]{8,32})?")
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name; None is what it leaves open."""

    text: str
    partition: str | None
    version: str | None  # the first digits of a content version

    def fits(self, made: "StoredVersion") -> bool:
        """Whether it may mean a materialization."""
        return (self.partition in (None, made.partition)) and made.version.startswith(self.version or "")


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A manifest's file, told by its name."""

    partition: str
    version: str
    path: Path

    def __str__(self) -> str:
        return f"{self.partition}@{self.version[:12]}"


def parse_reference(text: str) -> Reference:
    """Read a name.

    Raises:
        SmartError: it has no such form.
    """
    parts = _FORM.fullmatch(text.strip())
    named = parts is not None and parts["budget"] is not None
    # The sign stands between a partition and its version, and nowhere else.
    if parts is None or bool(parts["at"]) != (named and parts["version"] is not None) or not parts[0]:
        raise SmartError(
            f"{text!r} names no subset or checkpoint: write 'BUDGET|RECIPE' or BUDGET/RECIPE for the newest one, "
            "'BUDGET|RECIPE@VERSION' for one of its versions, or the first 8 digits or more of a version"
        )
    partition = grid_key(int(parts["budget"]), parts["recipe"]) if named else None
    return Reference(text, partition, parts["version"] and parts["version"].lower())


def find_one(store: Store, reference: Reference, asset: str) -> Manifest | None:
    """Return the materialization of an asset that a name means, the newest where several are of one version.

    None if none is.

    Raises:
        SmartError: it may mean several versions.
    """
    versions = [version for version in stored_versions(store, asset) if reference.fits(version)]
    if reference.version is None:
        versions = versions[:1]
    newest = {str(version): version for version in reversed(versions)}
    if len(newest) > 1:
        raise SmartError(f"{reference.text!r} may mean {_listed(sorted(newest))}: write one of these")
    return store.read(next(iter(newest.values())).path) if newest else None


def find_pair(store: Store, a: str, b: str, checkpoints: bool) -> tuple[Manifest, Manifest]:
    """Return two subsets, or two checkpoints; subsets where names may mean either.

    Args:
        store: where they lie.
        a: a name, as `parse_reference` reads it.
        b: another.
        checkpoints: names mean checkpoints alone.

    Raises:
        SmartError: one does not exist, or they are of two kinds; the message says what there is.
    """
    snapshot = store.snapshot()
    references = [parse_reference(text) for text in (a, b)]
    assets = [CHECKPOINT] if checkpoints else [SUBSET, CHECKPOINT]
    manifests = {asset: [find_one(snapshot, reference, asset) for reference in references] for asset in assets}
    for first, second in manifests.values():
        if first is not None and second is not None:
            return first, second
    for index, reference in enumerate(references):
        if not any(pair[index] for pair in manifests.values()):
            raise SmartError(
                f"there is no {_kinds(assets)} {reference.text!r}; {_what_there_is(snapshot, reference, assets)}"
            )
    raise SmartError(f"{a!r} and {b!r} are a subset and a checkpoint: name two of one kind")


def find_subset(store: Store, budget: int, recipe: str, version: str | None) -> Manifest:
    """Return a subset, the newest one or that of a version.

    Raises:
        SmartError: there is none; the message says what there is.
    """
    snapshot = store.snapshot()
    suffix = "" if version is None else f"@{version}"
    reference = parse_reference(f"{grid_key(budget, recipe)}{suffix}")
    manifest = find_one(snapshot, reference, SUBSET)
    if manifest is None:
        raise SmartError(f"there is no subset {reference.text!r}; {_what_there_is(snapshot, reference, [SUBSET])}")
    return manifest


def stored_versions(store: Store, asset: str) -> list[StoredVersion]:
    """Return all of an asset, also of partitions that `smart.yaml` does not name any more.

    Newest first in each partition.
    """
    return [
        StoredVersion(unquote(folder.name), path.stem.partition("-")[2], path)
        for folder in store.manifest_folders()
        if folder.parent.name == asset
        for path in store.manifests_in(folder)
    ]


def _kinds(assets: Sequence[str]) -> str:
    return " or ".join(KINDS[asset] for asset in assets)


def _what_there_is(store: Store, reference: Reference, assets: Sequence[str]) -> str:
    """Return the versions of the named partition, or where it has none the newest of all others."""
    lists: list[str] = []
    for asset in assets:
        every = stored_versions(store, asset)
        own = [manifest for manifest in every if manifest.partition == reference.partition]
        newest = {manifest.partition: manifest for manifest in reversed(every)}
        names = list(dict.fromkeys(map(str, own or sorted(newest.values(), key=_by_budget))))
        lists.append(f"{KINDS[asset]}s: {_listed(names) if names else 'none was made yet'}")
    return f"there are {'; '.join(lists)}"


def _by_budget(made: StoredVersion) -> tuple[int, str]:
    return split_grid_key(made.partition)


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
