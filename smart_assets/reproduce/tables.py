"""The first row at which two tables differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class TableDifference:
    """The first place at which a stored table and the one that was made again differ."""

    position: int  # counts from 0
    columns: tuple[str, ...]  # what differs there; none where one of the tables has no such row
    stored: Mapping[str, Any] | None  # the row; None behind the last one
    reproduced: Mapping[str, Any] | None


def first_difference(
    stored: pa.Table, reproduced: pa.Table, figures: frozenset[str] = frozenset()
) -> TableDifference | None:
    """Return the first place at which two tables of the same columns differ; None where they are equal.

    Args:
        stored: a table.
        reproduced: another.
        figures: columns that count only where all others are equal, being computed and so equal to some digits only.
    """
    common = min(stored.num_rows, reproduced.num_rows)
    differs = {
        name: np.asarray(_unequal(stored[name].slice(0, common), reproduced[name].slice(0, common)))
        for name in stored.column_names
    }
    places = np.flatnonzero(np.any([where for name, where in differs.items() if name not in figures], axis=0))
    if not len(places) and stored.num_rows == reproduced.num_rows:
        places = np.flatnonzero(np.any(list(differs.values()), axis=0))
        if not len(places):
            return None
    position = int(places[0]) if len(places) else common
    columns = tuple(name for name, where in differs.items() if len(places) and where[position])
    return TableDifference(position, columns, _row(stored, position), _row(reproduced, position))


def _unequal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    values = pc.fill_null(pc.not_equal(before, after), False)
    return pc.or_(values, pc.xor(pc.is_null(before), pc.is_null(after)))


def _row(rows: pa.Table, position: int) -> dict[str, Any] | None:
    return next(iter(rows.slice(position, 1).to_pylist()), None)
