"""Training rows whose text stands under another task as well: the same prompt, response and turns."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks
from smart_assets.assets.declaration import NO_DIGEST
from smart_assets.assets.reading.rows import read_rows
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.core.files import written
from smart_assets.core.safe_text import printable
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version
from smart_assets.tasks.forgotten import text_id
from smart_assets.tasks.read_result import INSTANCES_FILE

REPEATS = pa.schema([*((name, pa.string()) for name in ("id", "source", "task")), ("text", pa.int64())])
"""Equal texts have equal numbers, which say nothing else."""
_MOST_NAMED = 5


def repeated_texts(project: Project, manifests: Mapping[str, Manifest]) -> pa.Table:
    """Return the training rows of some sources whose text stands under several tasks, as REPEATS.

    They are remembered by the versions of the rows: a plan asks for each subset.

    Args:
        project: Whose store has the rows.
        manifests: Of `raw_tasks`, by source.

    Raises:
        StoreError: The rows are not there.
    """
    known = project.store.cache_folder("repeated_texts") / f"{version_of(manifests)}.parquet"
    with suppress(OSError, pa.ArrowException):  # not there, or another process has just replaced it
        return pq.read_table(known)
    inputs = Inputs(
        project.store, {AssetPartition(raw_tasks.NAME, source): manifest for source, manifest in manifests.items()}
    )
    repeats = same_texts(inputs, list(manifests))
    for old in known.parent.glob("*.parquet"):
        old.unlink(missing_ok=True)
    with written(known) as path:
        pq.write_table(repeats, path)
    return repeats


def version_of(manifests: Mapping[str, Manifest]) -> str:
    """Return the version of all rows of some sources."""
    return json_version({source: manifest.content_version for source, manifest in manifests.items()})


def same_texts(inputs: Inputs, sources: Sequence[str], ids: pa.Array | None = None) -> pa.Table:
    """Return the training rows of some sources that say the same as another one of them, as REPEATS.

    Only the texts of rows are read whose prompt stands twice. Rows without a text, which were forgotten, say nothing.

    Args:
        inputs: Hold the rows.
        sources: Whose rows.
        ids: Of the rows that count; None for all.
    """
    if not sources:
        return REPEATS.empty_table()
    tables = [
        pq.read_table(inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE, columns=["id", "prompt_hash", "split"])
        for source in sources
    ]
    rows = pa.concat_tables(tables)
    counts = pc.and_(pc.equal(rows["split"], "train"), pc.not_equal(rows["prompt_hash"], NO_DIGEST))
    rows = rows.filter(counts if ids is None else pc.and_(counts, pc.is_in(rows["id"], value_set=ids)))
    prompts = rows.group_by("prompt_hash").aggregate([("id", "count")])
    twice = prompts.filter(pc.greater(prompts["id_count"], 1))["prompt_hash"].combine_chunks()
    if not len(twice):
        return REPEATS.empty_table()
    texts = read_rows(inputs, sources, rows.filter(pc.is_in(rows["prompt_hash"], value_set=twice))["id"])
    said = zip(*(texts[name].to_pylist() for name in ("prompt", "response", "messages")), strict=True)
    numbers: dict[str, int] = {}
    column = [numbers.setdefault(text_id(*row), len(numbers)) for row in said]
    repeats = texts.append_column("text", pa.array(column, pa.int64())).select(REPEATS.names).cast(REPEATS)
    return _standing_twice(repeats)


def among(repeats: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    """Return the rows of REPEATS that are among some rows, where their text still stands twice there."""
    return _standing_twice(repeats.filter(pc.is_in(repeats["id"], value_set=ids.combine_chunks())))


def _standing_twice(rows: pa.Table) -> pa.Table:
    counts = rows.group_by("text").aggregate([([], "count_all")])
    several = counts.filter(pc.greater(counts["count_all"], 1))["text"].combine_chunks()
    return rows.filter(pc.is_in(rows["text"], value_set=several)).sort_by("id")


def by_tasks(repeats: pa.Table) -> dict[tuple[str, ...], int]:
    """Return how many texts stand under which tasks, the most first."""
    tasks: defaultdict[int, set[str]] = defaultdict(set)
    for row in repeats.select(["task", "text"]).to_pylist():
        tasks[row["text"]].add(row["task"])
    counts = Counter(tuple(sorted(names)) for names in tasks.values())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def in_words(counts: Mapping[tuple[str, ...], int]) -> str:
    """Return in words how many texts stand under which tasks; empty where none does."""
    shown = [
        f"{count:,} text{'s' * (count != 1)} under {' and '.join(f'`{printable(name)}`' for name in names)}"
        for names, count in list(counts.items())[:_MOST_NAMED]
    ]
    more = len(counts) - len(shown)
    return "; ".join([*shown, f"and {more} more groups of tasks"] if more else shown)
