"""Whether the store holds what its manifests say: all bytes of all artifacts read again, and what is damaged mended."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from smart_assets.core.errors import StoreError
from smart_assets.core.files import rename_in
from smart_assets.core.progress import Log, Progress
from smart_assets.planning.plan import fingerprint_of
from smart_assets.store import Artifact, Store
from smart_assets.store.inventory import Name, Recorded, kept_of, name_of, recorded, redacted
from smart_assets.store.places import Found, Place
from smart_assets.store.redaction import Redaction, log_of
from smart_assets.store.remote import Remote
from smart_assets.tasks.tombstones import read_tombstones

DAMAGED = "damaged"
"""The folder of the store that damaged files are moved to."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A file or artifact that is not what its manifest says, or a manifest that cannot be relied on."""

    path: Path
    what: str
    extra: bool = False  # a file that does not belong there; the artifact itself is whole
    where: str = ""  # which copy, for a store on a URL


@dataclass(slots=True)
class Verified:
    """What was read, what of it is damaged, and what was done about it."""

    manifests: int = 0
    artifacts: int = 0
    files: int = 0
    size: int = 0  # bytes
    collected: int = 0  # artifacts of the past that are not there any more
    redacted: int = 0  # artifacts of the past that forgotten rows were taken out of, or that went because of them
    damages: list[Damage] = field(default_factory=list[Damage])
    repairs: list[str] = field(default_factory=list[str])


def verify(store: Store, log: Log, repair: bool = False) -> Verified:
    """Compare everything that manifests name with what is there.

    An artifact that is not there at all is damage where a current manifest names it, unless it was redacted; else
    `smart gc` removed it. Of a store on a URL the remote is read, all of it, and what this machine's mirror holds. A
    manifest carries no sum over itself: it is held against its file's name and its lists of files.

    Args:
        store: the store.
        log: told the rate and the time left.
        repair: move what is damaged to `damaged/` in the store, so that `smart run` makes it again, and a manifest's
            partition falls back to the one before. Of a store on a URL the good copy replaces the damaged one.
    """
    result = Verified()
    histories = recorded(store)
    for item in (item for history in histories for item in history):
        result.manifests += 1
        if item.manifest is None:
            _manifest(store, item, result, repair)
        elif item.manifest.fingerprint != fingerprint_of(item.manifest):
            changed = "its inputs, parameters or code version are not those of its fingerprint"
            _manifest(store, replace(item, problem=changed), result, repair)
    current = {name_of(artifact) for history in histories for item in _newest(history) for artifact in item.artifacts}
    named = {name_of(artifact): artifact for history in histories for item in history for artifact in item.artifacts}
    redactions = {name: redaction for name, redaction in redacted(store).items() if name in named}
    _without_reason(store, redactions.values(), result)
    named |= kept_of(redactions.values())
    places: list[tuple[str, Place]] = [("", store.local)]
    if store.remote is not None:
        places = [("in the remote store", store.remote), ("in the mirror", store.local)]
    listings = {where: _by_folder(place.files(store.root / "artifacts"), store.root) for where, place in places}
    reading = _Reading(sum(_size(named, listed) for listed in listings.values()), log)
    for name, artifact in sorted(named.items()):
        folder = store.artifact_folder(*name)
        files = {where: listings[where].get(name, {}) for where, _ in places}
        # What is redacted may be a partition's newest state: of one that `smart.yaml` names no longer.
        if not files[places[0][0]] and (name not in current or name in redactions):
            result.redacted += name in redactions
            result.collected += name not in redactions
            continue
        damages = {
            where: list(_damages(place, where, folder, artifact, files[where], reading))
            for where, place in places
            if files[where] or place is places[0][1]
        }
        result.artifacts += 1
        result.damages += [damage for found_there in damages.values() for damage in found_there]
        if repair:
            result.repairs += _repair(store, artifact, places, damages)
    result.files, result.size = reading.files, reading.size
    return result


def _without_reason(store: Store, redactions: Iterable[Redaction], result: Verified) -> None:
    """Name the records that say that rows were forgotten which nobody forgot: they would hide a change."""
    given = {record.key: record for record in read_tombstones(store).records}
    ids = {key: frozenset(record.ids) for key, record in given.items()}
    for redaction in redactions:
        keys = [key for key in redaction.because if key in given]
        tasks = any(given[key].task is not None for key in keys)
        if not tasks and not set(redaction.ids) <= set[str]().union(*(ids[key] for key in keys)):
            folder = store.root / log_of(redaction.asset, redaction.version)
            result.damages.append(Damage(folder, "says that rows are forgotten which no tombstone names"))


def _newest(history: Sequence[Recorded]) -> list[Recorded]:
    """Return the current manifest, once those that cannot be relied on are moved away."""
    return [item for item in history if item.manifest is not None and not item.refused][:1]


def _by_folder(files: Mapping[Path, Found], root: Path) -> dict[Name, dict[str, Found]]:
    folders: dict[Name, dict[str, Found]] = {}
    for path, file in files.items():
        parts = path.relative_to(root / "artifacts").parts
        if len(parts) > 2:
            folders.setdefault((parts[0], parts[1]), {})["/".join(parts[2:])] = file
    return folders


def _size(named: Mapping[Name, Artifact], listed: Mapping[Name, Mapping[str, Found]]) -> int:
    return sum(file.size for name in named for file in listed.get(name, {}).values())


class _Reading:
    """Counts what was read."""

    def __init__(self, total: int, log: Log) -> None:
        self.files, self.size = 0, 0
        self._total, self._progress = total, Progress("reading the store", log, "MB")

    def add(self, size: int) -> None:
        """Take note of a file that was read."""
        self.files += 1
        self.size += size
        self._progress.at(self.size // 10**6, self.size / max(self._total, self.size, 1))


def _damages(
    place: Place, where: str, folder: Path, artifact: Artifact, files: Mapping[str, Found], reading: _Reading
) -> Iterator[Damage]:
    if not files:
        yield Damage(folder, "is missing as a whole", where=where)
        return
    for file in artifact.files:
        path = folder / file.path
        if file.path not in files:
            yield Damage(path, "is missing", where=where)
        elif files[file.path].size != file.size:
            how = "is cut short" if files[file.path].size < file.size else "has grown"
            yield Damage(path, f"{how}: {files[file.path].size:,} bytes of {file.size:,}", where=where)
        else:
            try:
                same = place.sha256(path) == file.sha256
            except (OSError, StoreError) as error:
                yield Damage(path, f"cannot be read: {error}", where=where)
            else:
                if not same:
                    yield Damage(path, "has changed: its size is right, its bytes differ", where=where)
            reading.add(file.size)
    expected = {file.path for file in artifact.files}
    for path in sorted(files.keys() - expected):
        yield Damage(folder / path, "does not belong to the artifact", extra=True, where=where)


def _manifest(store: Store, item: Recorded, result: Verified, repair: bool) -> None:
    result.damages.append(Damage(item.path, f"cannot be relied on: {item.problem}"))
    if not repair:
        return
    # The mirror never reads a manifest twice: what is wrong may be its copy alone.
    if store.remote is not None and _fetched_again(store, store.remote, item.path):
        result.repairs.append(f"{item.path}: fetched again from the remote store")
        return
    for place in (store.remote, store.local):
        if place is not None:
            aside = _aside(store, item.path)
            place.move(item.path, aside)
            result.repairs.append(f"{item.path}: moved to {aside}; its partition falls back to the one before")


def _fetched_again(store: Store, remote: Remote, path: Path) -> bool:
    """Whether the remote's copy differs; it then takes the place of the mirror's, and the next look judges it."""
    if not path.exists():  # what bears no manifest's name is not fetched
        return False
    with store.draft() as draft:
        remote.pull(path, draft / path.name)
        if (draft / path.name).read_bytes() == path.read_bytes():
            return False
        rename_in(draft / path.name, path)
    return True


def _repair(
    store: Store, artifact: Artifact, places: Sequence[tuple[str, Place]], damages: Mapping[str, Sequence[Damage]]
) -> Iterator[str]:
    """Mend one artifact; yield what was done."""
    folder = store.artifact_folder(artifact.asset, artifact.version)
    broken = {where for where, problems in damages.items() if any(not damage.extra for damage in problems)}
    whole = damages.keys() - broken
    for where, place in places:
        for damage in damages.get(where, ()):
            if damage.extra and where not in broken:
                aside = _aside(store, damage.path)
                place.move(damage.path, aside)
                yield f"{damage.path}: moved to {aside}"
        if where not in broken:
            continue
        if isinstance(place, Remote) and whole:
            for file in artifact.files:
                place.push(folder / file.path)
            yield f"{folder}: pushed again from the mirror"
            continue
        if place.files(folder):
            aside = _aside(store, folder)
            place.move(folder, aside)
            yield f"{folder}: moved to {aside}" + ("" if whole else f"; `smart run` makes {artifact.asset} again")
    if store.remote is not None and whole and "in the mirror" in broken:
        store.folder(artifact)
        yield f"{folder}: fetched again from the remote store"


def _aside(store: Store, path: Path) -> Path:
    """Return a new name under `damaged/` that still says what it was."""
    name = "-".join(path.relative_to(store.root).parts[1:])
    return store.root / DAMAGED / f"{uuid.uuid4().hex[:8]}-{name[-150:]}"
