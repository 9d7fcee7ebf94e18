"""What of a source's rows is not read: counted by file and name, so that nothing vanishes without a word."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import in_line
from smart_assets.tasks.likely_columns import likely_settings
from smart_assets.tasks.raw_rows import shorten

Kind = Literal["read as", "column", "key of a turn", "key of a content part", "turns"]

COLUMNS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("layout", pa.string(), nullable=False),  # as which the rows were read
        pa.field("kind", pa.string(), nullable=False),  # of what is not read; READ_AS for what is
        pa.field("column", pa.string(), nullable=False),  # its name; "" for READ_AS
        pa.field("rows", pa.int64(), nullable=False),  # that have a value there
    ]
)
"""How many rows were read as what, and how many had something that was not read."""
COLUMNS_FILE = "columns.parquet"
READ_AS = "read as"
NO_LAYOUT = "(no layout that is known)"
OTHERS = "(others)"
_MOST_NAMES = 200  # of one file: keys of JSON may be texts, another one in each row
_SHOWN = 100  # characters of a name
_MOST_LINES = 30
_Key = tuple[str, str, str]  # layout, kind, name
_MASK = (1 << 63) - 1


class UnreadValues:
    """What one row holds beyond what is read of it."""

    __slots__ = ("columns", "others")

    def __init__(self, columns: Sequence[tuple[str, object]] = ()) -> None:
        self.columns = columns  # that are read of no row of its shape, in one order, with their values
        self.others: list[tuple[Kind, str, object]] = []

    def add(self, kind: Kind, name: str, value: object) -> None:
        """Take another value that is not read."""
        self.others.append((kind, name, value))

    def digest(self) -> int:
        """Return a number in [1, 2^63) that equal values share; 0 for none."""
        if not self.columns and not self.others:
            return 0
        try:
            others = sorted(self.others, key=lambda other: other[:2]) if self.others else ()
            content = repr((self.columns, others)).encode("utf-8", "surrogatepass")
        except (RecursionError, ValueError):  # the latter: a number of too many digits
            return 1
        return (int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") & _MASK) or 1


class ReadColumns:
    """As what the rows of one file, or of a piece of it, were read, and how many had what is not read."""

    def __init__(self) -> None:
        self._counts: Counter[_Key] = Counter()
        self._alike: Counter[tuple[Any, ...]] = Counter()  # rows with the same of it, not yet counted

    def add(self, layout: str, unread: UnreadValues) -> None:
        """Take a row that has a layout."""
        others = frozenset([other[:2] for other in unread.others]) if unread.others else ()
        self._alike[layout, tuple([name for name, _ in unread.columns]), others] += 1
        if len(self._alike) > _MOST_NAMES:
            self._count_alike()

    def add_all(self, later: "ReadColumns") -> None:
        """Take what the next piece of the file has."""
        self._counts.update(later.counts)
        self._prune()

    @property
    def counts(self) -> Mapping["_Key", int]:
        """Rows by layout, kind and name. Of many names those that come first by the alphabet, the rest together.

        So it is the same for a file and for its pieces, one after the other.
        """
        self._count_alike()
        self._prune()
        return self._counts

    def as_json(self) -> list[list[Any]]:
        """Return it for another process."""
        return [[*key, rows] for key, rows in self.counts.items()]

    @classmethod
    def from_json(cls, value: list[list[Any]]) -> "ReadColumns":
        """Return what another process gave."""
        columns = cls()
        columns._counts.update({(layout, kind, name): rows for layout, kind, name, rows in value})
        return columns

    def _count_alike(self) -> None:
        for (layout, columns, others), rows in self._alike.items():
            self._counts[layout, READ_AS, ""] += rows
            for kind, name in (*(("column", name) for name in columns), *others):
                self._counts[layout, kind, shorten(name)[:_SHOWN]] += rows
        self._alike.clear()
        if len(self._counts) > 2 * _MOST_NAMES:
            self._prune()

    def _prune(self) -> None:
        if len(self._counts) <= _MOST_NAMES:
            return
        names = sorted(key for key in self._counts if key[1] != READ_AS and key[2] != OTHERS)
        for key in names[_MOST_NAMES:]:
            self._counts[*key[:2], OTHERS] += self._counts.pop(key)


def column_table(names: Sequence[str], files: Sequence[ReadColumns], earlier: Iterable[pa.Table] = ()) -> pa.Table:
    """Return COLUMNS, sorted by file.

    Args:
        names: of the files.
        files: what was read of each.
        earlier: COLUMNS of files that were not read again.
    """
    rows = [
        {"file": file, "layout": layout, "kind": kind, "column": name, "rows": rows}
        for file, columns in zip(names, files, strict=True)
        for (layout, kind, name), rows in columns.counts.items()
    ]
    table = pa.concat_tables([pa.Table.from_pylist(rows, COLUMNS), *(part.cast(COLUMNS) for part in earlier)])
    return table.sort_by([(name, "ascending") for name in ("file", "layout", "kind", "column")])


def listed(names: Collection[str]) -> str:
    """Return a sentence that names the columns that are there; "" where there are none."""
    return f"Its columns are {listed_names(names)}. " if names else ""


def listed_names(names: Collection[str]) -> str:
    """Return names of columns as a text, of many the first."""
    shown = ", ".join(f"`{in_line(shorten(name))[:_SHOWN]}`" for name in list(names)[:_MOST_LINES])
    return shown + (" and more" if len(names) > _MOST_LINES else "")


def lines_of(columns: pa.Table) -> Iterator[str]:
    """Yield what COLUMNS say in sentences: how the rows were read, and what was not."""
    for layout, rows, files in _grouped(columns, ["layout"], pc.equal(columns["kind"], READ_AS)):
        if layout != NO_LAYOUT:
            yield f"read as {layout}: {count(rows, 'row')} of {_files(columns, layout, files)}"
            continue
        is_column = pc.and_(pc.equal(columns["layout"], layout), pc.equal(columns["kind"], "column"))
        names = dict.fromkeys(columns.filter(is_column)["column"].to_pylist())
        settings = likely_settings(names)
        meant = settings and f"; perhaps {settings} is meant"
        yield f"of no layout that is known: {count(rows, 'row')} of {_files(columns, layout, files)}{meant}"
    rest = list(unread_names(columns).items())
    for name, rows in rest[:_MOST_LINES]:
        yield f"not read: {name} ({count(rows, 'row')} {'has' if rows == 1 else 'have'} a value)"
    if len(rest) > _MOST_LINES:
        yield f"not read: {len(rest) - _MOST_LINES:,} more; the view `source_columns` of `smart sql` names them"


def summed_up(columns: pa.Table) -> dict[str, int]:
    """Return `unread_names`, of many only those with the most rows."""
    names = list(unread_names(columns).items())
    rest = len(names) - _MOST_LINES
    return dict(names[:_MOST_LINES]) | ({f"{rest:,} more": names[_MOST_LINES][1]} if rest > 0 else {})


def unread_names(columns: pa.Table) -> Mapping[str, int]:
    """Return how many rows have a value in each thing that is not read, the most first."""
    chosen = pc.not_equal(columns["kind"], READ_AS)
    return {_named(kind, name): rows for kind, name, rows, _ in _grouped(columns, ["kind", "column"], chosen)}


def _named(kind: str, name: str) -> str:
    return f"{kind} {name}" if kind == "turns" else f"{kind} `{in_line(name)}`"


def _grouped(columns: pa.Table, keys: list[str], chosen: pa.ChunkedArray) -> list[tuple[Any, ...]]:
    """Return keys, the sum of their rows and the number of their files, most rows first."""
    sums = columns.filter(chosen).group_by(keys).aggregate([("rows", "sum"), ("file", "count_distinct")])
    order = [("rows_sum", "descending"), *((key, "ascending") for key in keys)]
    rows = sums.sort_by(order).to_pylist()
    return [(*(row[key] for key in keys), row["rows_sum"], row["file_count_distinct"]) for row in rows]


def _files(columns: pa.Table, layout: str, files: int) -> str:
    if files > 1:
        return f"{files:,} files"
    chosen = pc.and_(pc.equal(columns["layout"], layout), pc.equal(columns["kind"], READ_AS))
    return columns.filter(chosen)["file"][0].as_py()
