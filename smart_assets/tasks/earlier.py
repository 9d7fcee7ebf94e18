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

from smart_assets.errors import SourceError
from smart_assets.tasks import digests, reasons
from smart_assets.tasks.collection import ORIGINS, REJECTED, ROWS, SourceFile
from smart_assets.tasks.digests import Digests

# A row that has an id, accepted or a duplicate; `file` is its place among the source's files, sorted by name.
CANDIDATES = pa.schema(
    [
        ("id", pa.binary(16)),
        ("prompt_hash", pa.binary(16)),
        ("task", pa.string()),
        ("template", pa.string()),
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]
)
# A row or file that has none.
REFUSALS = pa.schema(
    [
        ("file", pa.int32()),
        ("line", pa.int64()),
        ("task", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The rows of an earlier collection by the files they stood in."""

    instances: Path  # instances.parquet
    ids: Digests  # its ids, in order
    files: Mapping[str, SourceFile]  # by path
    rows: pa.Table  # ROWS
    _candidates: pa.Table  # CANDIDATES and REFUSALS, but with the names of files
    _refusals: pa.Table

    def has(self, file: SourceFile) -> bool:
        """Whether a file was read then as it is now."""
        before = self.files.get(file.path)
        return before is not None and before.sha256 == file.sha256 != ""

    def taken_over(self, names: Sequence[str | None]) -> tuple[pa.Table, pa.Table]:
        """Return CANDIDATES and REFUSALS of some files, in no particular order.

        Args:
            names: The files by their place; None for those that are read again.
        """
        known = pa.array(names, pa.string())
        return _placed(self._candidates, known, CANDIDATES), _placed(self._refusals, known, REFUSALS)


def read_earlier(content: Path, origins: Path) -> Earlier:
    """Return what the folders of an earlier artifact and of its attachment `origins` hold, texts left aside.

    Raises:
        SourceError: They cannot be read, or do not belong together.
    """
    try:
        instances = content / "instances.parquet"
        rows = pq.read_table(instances, columns=ROWS.names).cast(ROWS)
        ids = digests.from_hex(rows["id"])
        stood = pq.read_table(origins / "origins.parquet").cast(ORIGINS)
        rejected = pq.read_table(origins / "rejected.parquet", columns=REJECTED.names).cast(REJECTED)
        if not (np.all(ids[1:] > ids[:-1]) and rows["id"].equals(stood["id"])):
            raise ValueError("its instances and origins do not belong together")
        files = json.loads((origins / "files.json").read_bytes())["files"]
        duplicate = pc.equal(rejected["reason"], reasons.DUPLICATE)
        candidates = [_accepted(rows, stood), _duplicates(rows, ids, rejected.filter(duplicate))]
        return Earlier(
            instances=instances,
            ids=ids,
            files={file["path"]: _source_file(file) for file in files},
            rows=rows,
            _candidates=pa.concat_tables(candidates),
            _refusals=rejected.filter(pc.invert(duplicate)).select(REFUSALS.names),
        )
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"the earlier artifact {content} cannot be used: {error}") from error


def _source_file(file: Mapping[str, Any]) -> SourceFile:
    return SourceFile(file["path"], file["sha256"], file["bytes"], file["task"])


def _accepted(rows: pa.Table, origins: pa.Table) -> pa.Table:
    hashes = [digests.to_arrow(digests.from_hex(rows[name])) for name in ("id", "prompt_hash")]
    return pa.table([*hashes, rows["task"], rows["template"], origins["file"], origins["line"]], names=CANDIDATES.names)


def _duplicates(rows: pa.Table, ids: Digests, rejected: pa.Table) -> pa.Table:
    found = digests.from_hex(rejected["id"])
    at, there = digests.positions_in(ids, found)
    if not there.all():
        raise ValueError("a duplicate's instance is missing")
    prompts = digests.to_arrow(digests.from_hex(rows["prompt_hash"].take(pa.array(at))))
    columns = [rejected[name] for name in ("task", "template", "file", "line")]
    return pa.table([digests.to_arrow(found), prompts, *columns], names=CANDIDATES.names)


def _placed(rows: pa.Table, names: pa.Array, schema: pa.Schema) -> pa.Table:
    """Return the rows of the named files, with their places for names."""
    places = pc.index_in(rows["file"], value_set=names)
    rows = rows.set_column(rows.column_names.index("file"), "file", places)
    return rows.filter(pc.is_valid(places)).cast(schema)
