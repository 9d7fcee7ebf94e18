"""`smart gc --forgotten`: forgotten rows leave everything of the past, and what lies beside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from smart_assets.core.environment import user_name
from smart_assets.core.errors import SmartError, StoreError
from smart_assets.core.progress import Log, Progress
from smart_assets.forgetting.affected import AffectedArtifact, ForgottenScan
from smart_assets.forgetting.exports import Exported, exports_with
from smart_assets.forgetting.redact import redact
from smart_assets.lineage.history import History, read_history
from smart_assets.settings import Project
from smart_assets.store import Store
from smart_assets.store.drafts import DAY
from smart_assets.store.inventory import kept_of, name_of, redacted
from smart_assets.store.log import now
from smart_assets.tasks.tombstones import TombstoneRecord, Tombstones, read_tombstones, write_record
from smart_assets.upkeep.gc import Garbage, not_kept, remove_garbage
from smart_assets.upkeep.verify import DAMAGED

# All that texts or vectors of rows may lie in, and that can be made again; models and hashes of files are not of these.
_CACHES = ("vectors", "training", "files", "evaluation")


@dataclass(frozen=True, slots=True)
class Removal:
    """What still holds something of forgotten rows."""

    tombstones: Tombstones
    past: tuple[AffectedArtifact, ...]
    current: tuple[AffectedArtifact, ...]  # the next run makes these anew; nothing is done about them here
    beside: tuple[Garbage, ...]  # caches, damaged files, and what killed runs left, artifacts without a manifest too
    exports: tuple[Exported, ...]

    @property
    def due(self) -> tuple[TombstoneRecord, ...]:
        """The tombstones that become final when all is removed."""
        return tuple(tombstone for tombstone in self.tombstones.active if tombstone.key not in self.tombstones.final)


def find_removal(project: Project) -> Removal:
    """Look through the store and what was exported from it.

    Raises:
        SmartError: nothing is forgotten, or a run is at work.
        StoreError: a manifest cannot be relied on or a file cannot be read, so that what holds rows is unknown.
    """
    store = project.store
    tombstones = read_tombstones(store)
    if not tombstones.active:
        raise SmartError("nothing is forgotten: `smart forget` names rows, tasks or texts to forget")
    if store.drafts.started_first() is not None:
        raise SmartError("a run is at work on this store, and may read what would be removed: wait until it has ended")
    history = read_history(project)
    if history.unreadable:
        raise StoreError(
            f"the manifest {history.unreadable[0].path} cannot be relied on: what it names is unknown, and nothing is "
            "removed before `smart verify --repair` has moved it away"
        )
    affected = ForgottenScan(store, history, tombstones.forgotten).find()
    return Removal(
        tombstones,
        past=tuple(artifact for artifact in affected if not artifact.current),
        current=tuple(artifact for artifact in affected if artifact.current),
        beside=(*_unnamed(store, history), *_beside(store)),
        exports=tuple(exports_with(project, history, tombstones)),
    )


def carry_out(project: Project, removal: Removal, log: Log) -> bool:
    """Remove what was found, and give whether the tombstones are final now: no artifact holds their rows any more.

    Exports that were changed since, or lie on another machine, are left to people.

    Raises:
        StoreError: something cannot be read, written or removed; what was done until then stays done.
    """
    because = [tombstone.key for tombstone in removal.tombstones.active]
    remove_garbage(removal.beside)  # first: what no record named yet may be what one names below
    progress = Progress("taking forgotten rows out of the past", log, "artifacts")
    for index, affected in enumerate(removal.past, 1):
        redact(project.store, affected, because)
        progress.at(index, index / len(removal.past))
    for exported in removal.exports:
        if exported.state == "as written":
            exported.remove()
    final = not removal.current
    if final and removal.due:
        keys = tuple(tombstone.key for tombstone in removal.due)
        write_record(
            project.store,
            TombstoneRecord(at=now(), action="removed", who=user_name(), of=keys),
        )
    return final


def _unnamed(store: Store, history: History) -> Iterator[Garbage]:
    """Yield artifacts that nothing names: no run is at work here, so no manifest of theirs comes any more."""
    named = {name_of(artifact) for item in history.made for artifact in item.manifest.artifacts}
    named |= kept_of(redacted(store).values()).keys()
    yield from not_kept(store, store.local, named, named, age=0)
    if store.remote is not None:  # another machine may be at work
        yield from not_kept(store, store.remote, named, named, age=DAY)


def _beside(store: Store) -> Iterator[Garbage]:
    folders = {store.root / "cache" / name: "may hold texts, vectors or answers; made again when wanted"
               for name in _CACHES}  # fmt: skip
    folders |= {store.root / DAMAGED: "`smart verify --repair` put it there, and what it holds is unknown"}
    folders |= dict.fromkeys(store.drafts.leftovers(age=0), "a killed run left it")
    for folder, why in folders.items():
        for place in (store.local, store.remote):
            files = place.files(folder) if place is not None else {}
            if place is not None and files:
                size = sum(file.size for file in files.values())
                yield Garbage(place, folder, size, folder.relative_to(store.root).parts[0], why, None)
