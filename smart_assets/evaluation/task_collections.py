"""Task collections that are only ever evaluated on: read like a source, by the same code."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_assets.core.progress import Log
from smart_assets.evaluation.rows import Benchmark
from smart_assets.evaluation.settings import Evaluate, SourceCollection
from smart_assets.store.hashing import json_version
from smart_assets.tasks.read_result import ReadResult
from smart_assets.tasks.reader import ReadOptions, read_source
from smart_assets.tasks.source_kind import hashes_of, outside_of
from smart_assets.training.formatting import ChatInstance

_NAMED = 100  # rejected rows that a record names
_BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class ReadCollection:
    """The rows of a collection, and what reading it says."""

    benchmark: Benchmark
    record: Mapping[str, Any]  # files or revision, rows, rejected rows by reason and place; no texts


def read_collections(evaluate: Evaluate, log: Log, hashes: Path | None = None) -> list[ReadCollection]:
    """Read the collections, in their order. Relative paths start at the working folder.

    Args:
        evaluate: what is measured.
        log: told of it.
        hashes: as `collections_state` has it; without it, files of URLs are fetched again.

    Raises:
        SourceError: a collection cannot be read, or none of its rows is accepted.
    """
    return [_read(name, settings, evaluate, log, hashes) for name, settings in evaluate.collections.items()]


def collections_state(evaluate: Evaluate, hashes: Path) -> dict[str, Any]:
    """Return all that decides the rows of the collections: their settings, and file hashes or the commit.

    Args:
        evaluate: with absolute paths of folders.
        hashes: a folder in which the hashes of files are remembered.

    Raises:
        SourceError: a collection cannot be found or reached.
    """
    return {name: _state(settings, _memory(name, settings, hashes)) for name, settings in evaluate.collections.items()}


def _memory(name: str, settings: SourceCollection, hashes: Path) -> Path:
    return hashes / f"evaluate.{name}-{json_version(settings.label)[:8]}.json"


def _state(settings: SourceCollection, memory: Path) -> dict[str, Any]:
    snapshot = settings.snapshot(Path(), memory)
    source = settings.parameters_without_place(Path())
    if snapshot.names:
        source["names"] = json_version(dict(snapshot.names))
    return {"source": source, "outside": outside_of(snapshot.files, snapshot.revision)}


def settings_record(evaluate: Evaluate) -> dict[str, Any]:
    """Return the settings of an evaluation without the places of folders, which are no content."""
    settings = evaluate.model_dump(mode="json", exclude={"include_path"})
    return settings | {
        "collections": {
            name: collection.parameters_without_place(Path()) for name, collection in evaluate.collections.items()
        },
        "local_data": sorted(evaluate.local_data),
    }


def _read(name: str, settings: SourceCollection, evaluate: Evaluate, log: Log, hashes: Path | None) -> ReadCollection:
    options = ReadOptions(hashes=hashes and _memory(name, settings, hashes))
    result = read_source(settings, Path(), log, options)
    most = settings.max_rows_per_task or evaluate.max_rows_per_task
    benchmark = Benchmark(name, list(_instances(result)), most, evaluate.choices)
    rejected = _rejected(result)
    log(f"{name}: {len(benchmark.instances):,} rows, {rejected['rows']:,} rejected")
    record = {
        "rows": len(benchmark.instances),
        "rejected": rejected,
        "license": settings.license,
        "files": hashes_of(result.files),
        "revision": result.revision,
    }
    return ReadCollection(benchmark, record)


def _instances(result: ReadResult) -> Iterator[ChatInstance]:
    for table in result.instances(_BATCH_ROWS):
        columns = (table[field].to_pylist() for field in ("id", "task", "prompt", "response", "messages"))
        for values in zip(*columns, strict=True):
            yield ChatInstance(*values)


def _rejected(result: ReadResult) -> dict[str, Any]:
    rows = result.rejected.select(["file", "line", "reason"]).to_pylist()
    reasons = Counter(row["reason"] for row in rows)
    return {"rows": len(rows), "reasons": dict(sorted(reasons.items())), "first": rows[:_NAMED]}
