"""Kept columns: what rows say of themselves beside prompt and response, such as author and licence.

They are no part of a row's id, and stand beside the origins of `raw_tasks`, outside its content version: what is
computed from rows stays current when only they change. A row's are one JSON object in canonical form. Those of exact
duplicates stand there, too, since the text that is trained on is also theirs.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.stored_chat import canonical_json
from smart_assets.tasks import reasons
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.turns import is_nan

KEPT_FILE = "kept.parquet"
KEPT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("duplicate", pa.bool_(), nullable=False),  # the row was rejected as an exact duplicate of `id`
        pa.field("kept", pa.large_string()),  # null where it was taken out
    ]
)
"""A row for each accepted row and each exact duplicate that has a value in a kept column, in reading order."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LARGEST = 2**53  # integers up to here are exact as floats


def kept_of(row: Mapping[str, object], columns: Sequence[tuple[str, str]]) -> str | None:
    """Return the kept values of a row as canonical JSON: an object by name; None where it has none.

    Null and NaN are no values. Times and dates are texts by ISO 8601, decimals as they are written.

    Args:
        row: As its format gave it.
        columns: Name and column of each that is kept, where the row's table has it.

    Raises:
        RowError: A value is none that JSON has, or holds what cannot be stored as text.
    """
    values = {name: value for name, column in columns if (value := row.get(column)) is not None and not is_nan(value)}
    if not values:
        return None
    try:
        text = canonical_json(values, _plain)
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(reasons.NOT_UTF8) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(reasons.BAD_KEPT) from error
    if "\\u0000" in text and _NUL.search(text):
        raise RowError(reasons.NUL)
    return text


def values_of(kept: str | None) -> dict[str, Any]:
    """Return the kept values of a row by name; none where it has none, or they were taken out."""
    return {} if kept is None else json.loads(kept)


def columns_of(kept: Iterable[str | None]) -> pa.Table:
    """Return the kept values of rows as a column for each name that has one, sorted by name.

    Texts, whole numbers, floats and booleans are columns of their types where all values are; else texts, and JSON
    where they are none.
    """
    rows = [values_of(text) for text in kept]
    names = sorted({name for row in rows for name in row})
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def count_values(kept: pa.ChunkedArray, names: Iterable[str]) -> dict[str, int]:
    """Return how many rows have a value of each name."""
    counts = Counter(name for batch in kept.chunks for text in batch.to_pylist() for name in values_of(text))
    return {name: counts[name] for name in names}


def kept_rows(accepted: pa.Table, duplicates: pa.Table) -> pa.Table:
    """Return KEPT with the places of files for their names, of rows with ids in hex."""
    with_values = [rows.filter(pc.is_valid(rows["kept"])) for rows in (accepted, duplicates)]
    rows = pa.concat_tables(
        rows.append_column("duplicate", pa.repeat(is_duplicate, rows.num_rows))
        for rows, is_duplicate in zip(with_values, (False, True), strict=True)
    )
    return rows.sort_by([("file", "ascending"), ("line", "ascending")]).select(KEPT.names)


def _plain(value: object) -> str:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            raise TypeError(f"{type(value)} has no form in JSON")


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    if kinds in ({float}, {int, float}) and all(abs(value or 0) <= _LARGEST for value in values if type(value) is int):
        return pa.array([value if value is None else float(value) for value in values], pa.float64())
    return pa.array([_text(value) for value in values], pa.large_string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return canonical_json(value)
