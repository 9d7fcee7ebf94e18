"""What the store may lose: artifacts that were replaced long ago, what killed runs left, and copies of what is gone."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smart_assets.assets import catalog
from smart_assets.core.errors import StoreError
from smart_assets.lineage.history import history_of
from smart_assets.store import Manifest, Store
from smart_assets.store.drafts import DAY
from smart_assets.store.inventory import Name, Recorded, kept_of, name_of, recorded, redacted
from smart_assets.store.places import Place
from smart_assets.store.settings import Retention

# Segments and saved steps that a killed run left, single files of a remote store, and answers of models that nobody
# evaluates again.
_PASSING = tuple(Path("cache") / name for name in ("vectors", "training", "files", "evaluation"))


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that may go."""

    place: Place
    path: Path
    size: int  # bytes
    what: str  # the asset, or what else it is
    why: str
    modified: float | None  # seconds since the epoch; it stays if a file of it is written after that


def find_garbage(store: Store, retention: Retention, pinned: frozenset[str] = frozenset()) -> list[Garbage]:
    """List what no manifest within the kept window names. Nothing that a living run of this machine reads is in it.

    A materialization is kept as one of the `newest` of its partition, when it was current within the last `days` or
    since the oldest run under way began, and when its content version is pinned. What was refused is kept until
    something is made of its partition. A kept checkpoint, evaluation or
    subset keeps the subset and the rows that it comes from. Partitions that `smart.yaml` names no longer are judged by
    the same rules: another project may share the store. Manifests all stay.

    Args:
        store: the store; of one on a URL, the remote and this machine's mirror are looked through.
        retention: the kept window.
        pinned: content versions that stay whatever their age.

    Raises:
        StoreError: a manifest cannot be relied on, so that what it names is unknown.
    """
    histories = recorded(store)
    if store.remote is not None and not histories and store.local.files(store.root / "manifests"):
        raise StoreError(
            f"{store.url} holds no manifest though this machine's mirror does: check the address and the credentials; "
            "nothing is removed"
        )
    for item in (item for history in histories for item in history if item.manifest is None):
        raise StoreError(
            f"what the manifest {item.path} names is unknown, since {item.problem}: nothing is removed before "
            "`smart verify --repair` has moved it away"
        )
    kept = kept_artifacts(histories, retention, _since(store, retention), pinned)
    kept |= kept_of(redaction for name, redaction in redacted(store).items() if name in kept).keys()
    known = {name_of(artifact) for history in histories for item in history for artifact in item.artifacts}
    garbage = [*not_kept(store, store.remote or store.local, kept, known, DAY), *_leftovers(store, retention)]
    if store.remote is not None:
        garbage += [
            *not_kept(store, store.local, kept, known, DAY, " (mirror)"),
            *_forgotten_manifests(store, histories),
        ]
    return garbage


def remove_garbage(garbage: Iterable[Garbage]) -> list[Garbage]:
    """Remove what was listed, and give what is gone: what a run took into use since then stays.

    In a folder each thing leaves its place in one step before it is deleted; an object store deletes file by file.
    """
    return [item for item in garbage if item.place.remove(item.path, item.modified)]


def kept_artifacts(
    histories: Sequence[Sequence[Recorded]], retention: Retention, since: datetime, pinned: frozenset[str]
) -> set[Name]:
    """Return the artifacts that stay.

    Args:
        histories: the manifests of each partition, newest first.
        retention: how many of each partition stay.
        since: what was current at this time or later stays.
        pinned: content versions that stay.
    """
    left: list[tuple[Manifest, bool]] = []  # with whether its own artifacts are kept
    for history in histories:
        left += [(item.manifest, True) for item in history[:1] if item.refused and item.manifest is not None]
        states = [item for item in history if not item.refused]
        for index, item in enumerate(states):
            if item.manifest is not None and (
                index < retention.newest or states[index - 1].at >= since or item.manifest.content_version in pinned
            ):
                left.append((item.manifest, True))
    history = history_of(histories)
    kept: set[Name] = set()
    explained: set[tuple[str, str | None, str]] = set()
    while left:
        manifest, stays = left.pop()
        if stays:
            kept |= {name_of(artifact) for artifact in manifest.artifacts}
        key = (manifest.asset, manifest.partition, manifest.fingerprint)
        asset = catalog.find(manifest.asset)
        if asset is not None and asset.explained and key not in explained:
            explained.add(key)
            left += [(source, _explains(source)) for source in history.inputs(manifest)]
    return kept


def _explains(manifest: Manifest) -> bool:
    asset = catalog.find(manifest.asset)
    return asset is not None and asset.explains


def _since(store: Store, retention: Retention) -> datetime:
    now = datetime.now(UTC)
    started = store.drafts.started_first()
    # A run has read what is current some moments before its draft is there.
    running = now if started is None else datetime.fromtimestamp(started, UTC) - timedelta(hours=1)
    return min(now - timedelta(days=retention.days), running)


def not_kept(
    store: Store, place: Place, kept: set[Name], known: set[Name], age: float, where: str = ""
) -> Iterator[Garbage]:
    """Return the artifacts in a place that do not stay.

    Args:
        store: whose place it is.
        place: the folder, the remote or its mirror.
        kept: those that stay.
        known: those that manifests name.
        age: seconds since they were written; younger ones stay.
        where: how the place is called.
    """
    root = store.root / "artifacts"
    folders: dict[Name, list[tuple[int, float]]] = {}
    for path, file in place.files(root).items():
        parts = path.relative_to(root).parts
        if len(parts) > 2:
            folders.setdefault((parts[0], parts[1]), []).append((file.size, file.modified))
    for (asset, version), files in sorted(folders.items()):
        modified = max(time for _, time in files)
        # A run writes its manifest after its artifacts: what is young may have one any moment.
        if (asset, version) not in kept and time.time() - modified > age:
            why = "replaced long ago" if (asset, version) in known else "no manifest names it"
            size = sum(size for size, _ in files)
            yield Garbage(place, store.artifact_folder(asset, version), size, asset + where, why, modified)


def _leftovers(store: Store, retention: Retention) -> Iterator[Garbage]:
    """Return drafts of dead runs, and vectors that waited for a run that never came."""
    for path in store.drafts.leftovers():
        size = sum(file.size for file in store.local.files(path).values())
        yield Garbage(store.local, path, size, "drafts", "a killed run left it", None)
    for folder in _PASSING:
        for path, file in store.local.files(store.root / folder).items():
            if time.time() - file.modified > retention.days * DAY:
                why = "nothing came back to it"
                yield Garbage(store.local, path, file.size, folder.name, why, file.modified)


def _forgotten_manifests(store: Store, histories: Sequence[Sequence[Recorded]]) -> Iterator[Garbage]:
    paths = {item.path for history in histories for item in history}
    for path, file in store.local.files(store.root / "manifests").items():
        if path not in paths and time.time() - file.modified > DAY:
            why = "the remote store has it no more"
            yield Garbage(store.local, path, file.size, "manifests (mirror)", why, file.modified)
