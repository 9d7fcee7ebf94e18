"""The words in which the catalog says what an asset is: its place in the graph, its files, and the texts in them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets.step import Input, Step
from smart_assets.assets.work import Work
from smart_assets.core.errors import CatalogError
from smart_assets.settings import Settings
from smart_assets.store.records import ManifestRecord

PartitionedBy = Literal["source", "budget and recipe", "nothing"]
Job = Literal["update_sources", "update_subsets", "update_results"]
Requester = Literal["task_sources", "report", "retrain"]
"""The sensor or schedule that asks for an asset: sensors for whatever is out of date, `retrain` for what is due."""

NAMES = frozenset(
    {
        "id", "other_id", "evaluation_id", "key", "prompt_hash", "cluster", "source", "task", "other_task",
        "evaluation_task", "template", "benchmark", "split", "kind", "why", "objective", "engine", "metric", "filter",
        "file", "reason", "layout", "column",
    }
)  # fmt: skip
"""Columns of strings that hold ids, names and set phrases, in whatever table. All others hold texts."""
NO_DIGEST = "0" * 32
"""The digest of a text that was taken out."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An asset that another one is made from."""

    asset: str
    when: Callable[[Settings], bool] = lambda _: True
    looked_up: bool = False
    """Only read: what matters of it is in another upstream's version, so that Dagster is not told of it."""


def row_ids(rows: pa.Table) -> pa.Array:
    """Return the column `id` of a table: the rows that it holds something of."""
    return rows["id"].combine_chunks()


@dataclass(frozen=True, slots=True)
class Table:
    """A Parquet file of an artifact.

    Raises:
        CatalogError: It has no columns, or a column of strings is neither in NAMES nor declared as a text.
    """

    path: str  # in the artifact; `*/rows.parquet` stands in a folder for each model
    columns: pa.Schema
    _: KW_ONLY
    texts: frozenset[str]  # columns that quote rows of sources, or what a model wrote about them
    digests: frozenset[str] = frozenset()  # columns that are computed from a row's texts; NO_DIGEST, or 0, without them
    outside_texts: frozenset[str] = frozenset()  # texts that are of no source's rows
    ids: Callable[[pa.Table], pa.Array] = row_ids  # of which rows the texts are,
    ids_from: tuple[str, ...] = ("id",)  # by these columns
    view: str | None = None  # its name in SQL
    attachment: str | None = None  # that holds it; None for the artifact itself
    of_refused: bool = False  # its view also shows what was refused since the last artifact was made

    def __post_init__(self) -> None:
        if not self.columns.names:
            raise CatalogError(f"{self.path} declares no columns: name them with their types")
        declared = self.texts | self.digests | self.outside_texts
        if unknown := declared - {*self.columns.names}:
            raise CatalogError(f"{self.path} declares texts in {_listed(unknown)}, which is none of its columns")
        undeclared = {field.name for field in self.columns if _holds_strings(field.type)} - declared - NAMES
        if undeclared:
            raise CatalogError(
                f"{self.path} has strings in {_listed(undeclared)}: declare whether they are `texts` of rows, "
                "`outside_texts`, or names (`NAMES`)"
            )
        if (self.texts or self.digests) and (lacking := {*self.ids_from} - {*self.columns.names}):
            raise CatalogError(f"{self.path} holds texts and does not say of which rows: it has no {_listed(lacking)}")

    @property
    def hidden(self) -> frozenset[str]:
        """The columns that leave the project only where texts are asked for."""
        return self.texts | self.outside_texts

    @property
    def blanks(self) -> dict[str, str | int | None]:
        """What stands in the columns of texts and digests of a row that was taken out."""
        texts = {name: None if self.columns.field(name).nullable else "" for name in sorted(self.texts)}
        is_number = {name: pa.types.is_integer(self.columns.field(name).type) for name in sorted(self.digests)}
        return texts | {name: 0 if number else NO_DIGEST for name, number in is_number.items()}


@dataclass(frozen=True, slots=True)
class Array:
    """A NumPy file of an artifact."""

    path: str
    rows_of: str | None = None  # the table whose texts it is computed from, row by row: 0 where these are taken out
    attachment: str | None = None


@dataclass(frozen=True, slots=True)
class OtherFiles:
    """Files of an artifact that are neither tables nor arrays, and hold no text of a row unless all of it goes."""

    path: str  # a pattern; `*` stands for folders, too
    attachment: str | None = None


@dataclass(frozen=True, slots=True)
class FromTexts:
    """What is computed from texts and no single row can be taken out of: all of it goes.

    `listed`: from the rows that a table of its own names; `all`: from the sources' rows; `training`: from those that
    are not held out.
    """

    rows: Literal["listed", "all", "training"]
    listed_in: str = ""
    refused_rows: bool = False  # it quotes refused rows, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """All that the rest of the product knows of an asset.

    Raises:
        CatalogError: It declares no files, or contradicts itself.
    """

    step: Step
    description: str
    partitioned_by: PartitionedBy
    job: Job
    requested_by: Requester
    group: str
    kinds: frozenset[str]
    upstream: tuple[Upstream, ...]
    files: tuple[Table | Array | OtherFiles, ...]
    summary: type[ManifestRecord] | None  # what its manifests sum up; None: goes by model, or has no record
    from_texts: FromTexts | None  # None: nothing but the texts of its tables
    work: Work | None = None  # None: each run of it costs as much as the last
    on_gpu: Callable[[Settings], bool] = lambda _: False
    explained: bool = False  # what it is made from is kept as long as it is kept itself,
    explains: bool = False  # if that is one of these

    def __post_init__(self) -> None:
        if not self.files:
            raise CatalogError(f"{self.name} declares no files")
        listed = self.from_texts.listed_in if self.from_texts else ""
        named = {*([listed] if listed else []), *(array.rows_of for array in self._arrays if array.rows_of)}
        if lacking := named - {table.path for table in self.tables}:
            raise CatalogError(f"{self.name} declares no table {_listed(lacking)}")

    @property
    def name(self) -> str:
        """The asset's key in Dagster, and its folder in the store."""
        return self.step.NAME

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its Parquet files."""
        return tuple(file for file in self.files if isinstance(file, Table))

    @property
    def _arrays(self) -> tuple[Array, ...]:
        return tuple(file for file in self.files if isinstance(file, Array))

    def with_texts(self, attachment: str | None) -> tuple[Table, ...]:
        """Return the tables of the artifact, or of an attachment, that hold texts of rows, or digests of such."""
        return tuple(
            table for table in self.tables if table.attachment == attachment and (table.texts or table.digests)
        )

    def arrays_of(self, table: Table) -> Iterator[Array]:
        """Yield the arrays that are computed from the texts of a table, row by row."""
        yield from (
            array for array in self._arrays if array.rows_of == table.path and array.attachment == table.attachment
        )

    def upstream_of(self, settings: Settings) -> tuple[str, ...]:
        """Return the assets that it depends on in Dagster, as the settings make it."""
        return tuple(upstream.asset for upstream in self.upstream if upstream.when(settings) and not upstream.looked_up)

    def require_declared_inputs(self, inputs: Sequence[Input], settings: Settings) -> None:
        """Check what its step is made from.

        Raises:
            CatalogError: An input is of an asset that is not declared as upstream, or not under these settings.
        """
        declared = {upstream.asset for upstream in self.upstream if upstream.when(settings)}
        undeclared = {item.source.asset for item in inputs} - declared
        if undeclared:
            raise CatalogError(f"{self.name} is made from {_listed(undeclared)}, which its `upstream` does not declare")

    def require_declared_files(self, folder: Path, attachment: str | None = None) -> None:
        """Check what its step wrote, before it is in the store.

        Raises:
            CatalogError: A file, or a column of strings, is not declared: nobody would take forgotten rows out of it.
        """
        known = [file for file in self.files if file.attachment == attachment]
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            declared = [file for file in known if fnmatch(name, file.path)]
            if path.is_file() and not declared:
                raise CatalogError(f"{self.name} wrote {name}, which the catalog does not declare")
            if path.suffix == ".parquet":
                columns = {column for file in declared if isinstance(file, Table) for column in file.columns.names}
                strings = {field.name for field in pq.read_schema(path) if _holds_strings(field.type)}
                if undeclared := strings - columns:
                    raise CatalogError(
                        f"{self.name} wrote {name} with strings in {_listed(undeclared)}, which the catalog does not "
                        "declare"
                    )


def _holds_strings(kind: pa.DataType) -> bool:
    """Return whether values of a type can hold a text, however deep."""
    if pa.types.is_dictionary(kind):
        return _holds_strings(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_holds_strings(kind.field(index).type) for index in range(kind.num_fields))
    return not (pa.types.is_primitive(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind))


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
