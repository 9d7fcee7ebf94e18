"""What an earlier reading of the same source left, so that files which did not change need not be read again."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.core.errors import SourceError
from smart_assets.tasks import digests, reasons
from smart_assets.tasks.digests import Digests
from smart_assets.tasks.forgotten import Forgotten
from smart_assets.tasks.judge import JUDGED, REFUSED
from smart_assets.tasks.kept import KEPT, KEPT_FILE
from smart_assets.tasks.read_result import INSTANCES_FILE, ORIGINS, REJECTED, ROWS
from smart_assets.tasks.source_kind import SourceFile
from smart_assets.tasks.unread import COLUMNS, COLUMNS_FILE

_FILE = pa.field("file", pa.int32())
# A row that has an id, accepted or a duplicate; `file` is its place among the source's files, sorted by name.
CANDIDATES = JUDGED.insert(JUDGED.get_field_index("line"), _FILE)
# A row or file that has none; `id` where the excerpt is forgotten.
REFUSALS = pa.schema([_FILE, *REFUSED, pa.field("id", pa.string())])
_PLACE = ("file", "line")
_STOOD = (*_PLACE, "unread")
_NO_PROMPT = bytes(16)  # the prompt hash of a forgotten row


@dataclass(frozen=True, slots=True)
class Earlier:
    """The rows of an earlier result by the files they stood in."""

    instances: Path  # instances.parquet
    ids: Digests  # its ids, in order
    files: Mapping[str, SourceFile]  # by path
    rows: pa.Table  # ROWS
    _columns: pa.Table  # COLUMNS
    _candidates: pa.Table  # CANDIDATES and REFUSALS, but with the names of files
    _refusals: pa.Table
    _again: frozenset[str]  # files with rows that were forgotten then and are not any more

    def has(self, file: SourceFile) -> bool:
        """Return whether a file was read then as it is now, and reading it again would say no more."""
        before = self.files.get(file.path)
        return before is not None and before.sha256 == file.sha256 != "" and file.path not in self._again

    def taken_over(self, names: Sequence[str | None]) -> tuple[pa.Table, pa.Table]:
        """Return CANDIDATES and REFUSALS of some files, in no particular order.

        Args:
            names: The files by their place; None for those that are read again.
        """
        known = pa.array(names, pa.string())
        return _placed(self._candidates, known, CANDIDATES), _placed(self._refusals, known, REFUSALS)

    def columns_of(self, names: Sequence[str | None]) -> pa.Table:
        """Return COLUMNS of some files.

        Args:
            names: As in `taken_over`.
        """
        known = pa.array([name for name in names if name is not None], pa.string())
        return self._columns.filter(pc.is_in(self._columns["file"], value_set=known))


def read_earlier(content: Path, origins: Path, forgotten: Forgotten) -> Earlier:
    """Return what the folders of an earlier artifact and of its attachment `origins` hold, texts left aside.

    Args:
        content: The artifact.
        origins: The attachment.
        forgotten: What is to be forgotten now.

    Raises:
        SourceError: They cannot be read, or do not belong together.
    """
    try:
        instances = content / INSTANCES_FILE
        rows = pq.read_table(instances, columns=ROWS.names).cast(ROWS)
        ids = digests.from_hex(rows["id"])
        stood = pq.read_table(origins / "origins.parquet").cast(ORIGINS)
        rejected = pq.read_table(origins / "rejected.parquet", columns=REJECTED.names).cast(REJECTED)
        if not (np.all(ids[1:] > ids[:-1]) and rows["id"].equals(stood["id"])):
            raise ValueError("its instances and origins do not belong together")
        files = json.loads((origins / "files.json").read_bytes())["files"]
        duplicate = pc.is_in(rejected["reason"], value_set=pa.array(reasons.DUPLICATES))
        erased = pc.equal(rejected["reason"], reasons.FORGOTTEN)
        refused = rejected.filter(pc.invert(pc.or_(duplicate, erased)))
        kept = KEPT.empty_table()
        if (origins / KEPT_FILE).exists():
            kept = pq.read_table(origins / KEPT_FILE).cast(KEPT)
        candidates = [
            _accepted(rows, stood, ids, kept.filter(pc.invert(kept["duplicate"]))),
            _duplicates(rows, ids, rejected.filter(duplicate), kept.filter(kept["duplicate"])),
            _forgotten(rejected.filter(erased)),
        ]
        return Earlier(
            instances=instances,
            ids=ids,
            files={file["path"]: _source_file(file) for file in files},
            rows=rows,
            _columns=pq.read_table(origins / COLUMNS_FILE).cast(COLUMNS),
            _candidates=pa.concat_tables(candidates),
            _refusals=refused.select(REFUSALS.names),
            _again=_remembered([rejected.filter(erased), refused.filter(pc.is_valid(refused["id"]))], forgotten),
        )
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"the earlier artifact {content} cannot be used: {error}") from error


def _source_file(file: Mapping[str, Any]) -> SourceFile:
    return SourceFile(file["path"], file["sha256"], file["bytes"], file["task"])


def _accepted(rows: pa.Table, origins: pa.Table, ids: Digests, kept: pa.Table) -> pa.Table:
    hashes = [digests.to_arrow(digests.from_hex(rows[name])) for name in ("id", "prompt_hash")]
    columns = [*hashes, rows["task"], rows["template"], *(origins[name] for name in _STOOD)]
    positions, known = digests.positions_in(ids, digests.from_hex(kept["id"]))
    if not known.all():
        raise ValueError("a row of its kept values is missing")
    return pa.table([*columns, _scattered(kept["kept"], positions, len(ids))], names=CANDIDATES.names)


def _scattered(values: pa.ChunkedArray, positions: NDArray[np.int64], rows: int) -> pa.ChunkedArray:
    """Return values at distinct positions of so many rows, null elsewhere."""
    places = np.full(rows, -1, np.int64)
    places[positions] = np.arange(len(positions))
    return values.take(pa.array(places, mask=places < 0))


def _duplicates(rows: pa.Table, ids: Digests, rejected: pa.Table, kept: pa.Table) -> pa.Table:
    """Return the CANDIDATES of rejected rows."""
    duplicates = digests.from_hex(rejected["id"])
    positions, known = digests.positions_in(ids, duplicates)
    if not known.all():
        raise ValueError("a duplicate's instance is missing")
    prompts = digests.to_arrow(digests.from_hex(rows["prompt_hash"].take(pa.array(positions))))
    columns = [rejected[name] for name in ("task", "template", *_STOOD)]
    values = _scattered(kept["kept"], _positions(rejected, kept), rejected.num_rows)
    return pa.table([digests.to_arrow(duplicates), prompts, *columns, values], names=CANDIDATES.names)


def _positions(rows: pa.Table, wanted: pa.Table) -> NDArray[np.int64]:
    """Return which of some rows stand at the places of others.

    Raises:
        KeyError: None does.
    """
    if not wanted.num_rows:
        return np.empty(0, np.int64)
    places, asked = (zip(*(table[name].to_pylist() for name in _PLACE), strict=True) for table in (rows, wanted))
    positions = {place: row for row, place in enumerate(places)}
    return np.array([positions[place] for place in asked], np.int64)


def _forgotten(rejected: pa.Table) -> pa.Table:
    ids = digests.to_arrow(digests.from_hex(rejected["id"]))
    columns = [rejected[name] for name in ("task", "template", *_STOOD)]
    nothing = pa.nulls(len(ids), pa.large_string())
    return pa.table([ids, digests.to_arrow([_NO_PROMPT] * len(ids)), *columns, nothing], names=CANDIDATES.names)


def _remembered(parts: Sequence[pa.Table], forgotten: Forgotten) -> frozenset[str]:
    """Return the files of those rows that are not to be forgotten any more."""
    rows = pa.concat_tables([part.select(["file", "id", "task"]) for part in parts])
    still = forgotten.covers(rows["id"], rows["task"])
    return frozenset(rows.filter(pc.invert(still))["file"].to_pylist())


def _placed(rows: pa.Table, names: pa.Array, schema: pa.Schema) -> pa.Table:
    """Return the rows of the named files, with their places for names."""
    places = pc.index_in(rows["file"], value_set=names)
    rows = rows.set_column(rows.column_names.index("file"), "file", places)
    return rows.filter(pc.is_valid(places)).cast(schema)
